import Glibc
import Synchronization
import XCTest

/// A request as the shim handed it to the C library's `ioctl`.
struct SentRequest: Equatable {
  var number: UInt
  var bytes: [UInt8]
}

/// A descriptor that no process has: requests on it are recorded and answered here.
let recordedDescriptor: Int32 = 1_000_000

private struct Recording {
  var size = 0
  var answer: [(offset: Int, bytes: [UInt8])] = []
  var code: Int32 = 0
  var sent: [SentRequest] = []
}

private let recording = Mutex(Recording())

/// Runs `call`, whose requests on ``recordedDescriptor`` have `size` bytes, fail with `code` unless
/// it is 0, and otherwise get `answer` written into them.
func record(
  size: Int, answer: [(offset: Int, bytes: [UInt8])] = [], failing code: Int32 = 0,
  _ call: () -> Int32
) -> (result: Int32, sent: [SentRequest]) {
  recording.withLock { $0 = Recording(size: size, answer: answer, code: code) }
  let result = call()
  return (result, recording.withLock { $0.sent })
}

/// A driver made up in this process: answers a request on its descriptor as the kernel would, with 0
/// or an errno.
typealias RequestHandler = @Sendable (_ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32

private let handlers = Mutex<[Int32: RequestHandler]>([:])

/// Hands requests on `descriptor`, which no process has, to `handler`; nil ends that.
func answerRequests(on descriptor: Int32, with handler: RequestHandler?) {
  handlers.withLock { $0[descriptor] = handler }
}

/// Takes the place of the C library's `ioctl` in this test process, because the executable's
/// symbols come first. Requests on other descriptors go on to the real one.
@_cdecl("ioctl")
func interposedRequest(
  _ descriptor: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer?
) -> Int32 {
  if let argument, let handler = handlers.withLock({ $0[descriptor] }) {
    errno = handler(number, argument)
    return errno == 0 ? 0 : -1
  }
  guard descriptor == recordedDescriptor, let argument else {
    typealias Request = @convention(c) (Int32, UInt, UnsafeMutableRawPointer?) -> Int32
    let next = UnsafeMutableRawPointer(bitPattern: -1)  // RTLD_NEXT, a macro that Swift cannot see
    guard let symbol = dlsym(next, "ioctl") else {
      errno = ENOSYS
      return -1
    }
    return unsafeBitCast(symbol, to: Request.self)(descriptor, number, argument)
  }
  return recording.withLock { recording in
    let bytes = UnsafeMutableRawBufferPointer(start: argument, count: recording.size)
    recording.sent.append(SentRequest(number: number, bytes: Array(bytes)))
    if recording.code != 0 {
      errno = recording.code
      return -1
    }
    for part in recording.answer {
      for (index, byte) in part.bytes.enumerated() { bytes[part.offset + index] = byte }
    }
    return 0
  }
}

/// Fields of a structure, to spell its bytes.
enum Field {
  case u8(UInt8)
  case u16(UInt16)
  case u32(UInt32)
  case u64(UInt64)
  case zeros(Int)
}

/// The little-endian bytes of `fields`, without padding.
func bytes(_ fields: Field...) -> [UInt8] {
  func spell<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }
  return fields.flatMap { field in
    switch field {
    case .u8(let value): spell(value)
    case .u16(let value): spell(value)
    case .u32(let value): spell(value)
    case .u64(let value): spell(value)
    case .zeros(let count): [UInt8](repeating: 0, count: count)
    }
  }
}
