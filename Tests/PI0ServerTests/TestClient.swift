import Foundation
import XCTest

@testable import PI0Server

/// A client that does what a test says, proper or not, byte by byte. It shares no code with the
/// server but the codec.
final class TestClient {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  enum Event: Equatable {
    case text(String)
    case binary([UInt8])
    case ping([UInt8])
    case pong([UInt8])
    case close(code: Int)
    /// The connection ended.
    case end
  }

  private let descriptor: Int32
  private var unread: [UInt8] = []
  var answersPings = true

  /// Connects by TCP alone.
  init(port: Int, receiveBuffer: Int32? = nil) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if var receiveBuffer {
      setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4)
    }
    var timeout = timeval(tv_sec: 20, tv_usec: 0)
    setsockopt(
      descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(
      descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw Failure(description: "cannot connect: errno \(errno)") }
  }

  deinit { close(descriptor) }

  /// Connects, upgrades and takes the metadata.
  static func connected(
    port: Int, headers: [String] = [], receiveBuffer: Int32? = nil
  ) throws -> (client: TestClient, metadata: MessagePackValue) {
    let client = try TestClient(port: port, receiveBuffer: receiveBuffer)
    let response = try client.upgrade(headers: headers)
    guard response.hasPrefix("HTTP/1.1 101 ") else { throw Failure(description: response) }
    guard case .binary(let bytes) = try client.receive() else {
      throw Failure(description: "no metadata")
    }
    return (client, try MessagePackDecoder.decode(bytes))
  }

  /// An answer of HTTP, whole.
  static func get(_ path: String, port: Int, headers: [String] = []) throws -> String {
    let client = try TestClient(port: port)
    try client.request("GET \(path) HTTP/1.1", headers: headers)
    return String(decoding: try client.readToEnd(), as: UTF8.self)
  }

  static func upgradeHeaders(_ headers: [String] = []) -> [String] {
    [
      "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ] + headers
  }

  /// Asks for the upgrade; returns the head of the response.
  func upgrade(headers: [String] = []) throws -> String {
    try request("GET / HTTP/1.1", headers: Self.upgradeHeaders(headers))
    var head: [UInt8] = []
    while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) { head += try read(1) }
    let text = String(decoding: head, as: UTF8.self)
    if text.hasPrefix("HTTP/1.1 101 ") {
      // The value that RFC 6455 gives for this key.
      XCTAssertTrue(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), text)
    }
    return text
  }

  func request(_ line: String, headers: [String] = []) throws {
    let lines = [line, "Host: 127.0.0.1"] + headers + ["", ""]
    try write(Array(lines.joined(separator: "\r\n").utf8))
  }

  // MARK: - Messages

  func send(_ value: MessagePackValue) throws { try send(MessagePackEncoder.encode(value)) }

  func send(_ message: [UInt8]) throws { try write(Self.frame(0x82, message)) }

  /// Sends a state and returns the first value of the answer's actions.
  func echo(_ state: Double) throws -> Double {
    try send(.map(["state": .list([.number(state)])]))
    return try receiveActions()
  }

  func receiveActions() throws -> Double {
    let event = try receive()
    guard case .binary(let bytes) = event,
      case .map(let entries) = try MessagePackDecoder.decode(bytes),
      case .array(let actions)? = entries["actions"], let first = actions.numbers.first
    else { throw Failure(description: "no actions: \(event)") }
    return first
  }

  /// The next event but for pings, which are answered unless a test does not want that.
  func receive() throws -> Event {
    while true {
      let event = try receiveAny()
      guard case .ping(let payload) = event else { return event }
      if answersPings { try write(Self.frame(0x8A, payload)) }
    }
  }

  func receiveAny() throws -> Event {
    let head: [UInt8]
    do { head = try read(2) } catch is EndOfStream { return .end }
    XCTAssertEqual(head[1] & 0x80, 0, "a server does not mask")
    var length = Int(head[1] & 0x7F)
    if length >= 126 {
      length = try read(length == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) }
    }
    let payload = try read(length)
    switch head[0] {
    case 0x81: return .text(String(decoding: payload, as: UTF8.self))
    case 0x82: return .binary(payload)
    case 0x88: return .close(code: payload.prefix(2).reduce(0) { $0 << 8 | Int($1) })
    case 0x89: return .ping(payload)
    case 0x8A: return .pong(payload)
    default: throw Failure(description: "frame \(head[0])")
    }
  }

  static func frame(_ first: UInt8, _ payload: [UInt8], isMasked: Bool = true) -> [UInt8] {
    let mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]
    let bit: UInt8 = isMasked ? 0x80 : 0
    var frame = [first]
    switch payload.count {
    case 0..<126: frame.append(bit | UInt8(payload.count))
    case 0..<0x1_0000: frame += [bit | 126, UInt8(payload.count >> 8), UInt8(payload.count & 0xFF)]
    default:
      frame.append(bit | 127)
      frame += (0..<8).reversed().map { UInt8(payload.count >> (8 * $0) & 0xFF) }
    }
    guard isMasked else { return frame + payload }
    frame += mask
    return frame + payload.enumerated().map { $0.element ^ mask[$0.offset % 4] }
  }

  // MARK: - Bytes

  struct EndOfStream: Error {}

  func write(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { throw Failure(description: "cannot send: errno \(errno)") }
      rest = rest.dropFirst(count)
    }
  }

  private func read(_ count: Int) throws -> [UInt8] {
    while unread.count < count {
      let part = try readSome()
      if part.isEmpty { throw EndOfStream() }
      unread += part
    }
    defer { unread.removeFirst(count) }
    return Array(unread.prefix(count))
  }

  func readToEnd() throws -> [UInt8] {
    var bytes = unread
    while case let part = try readSome(), !part.isEmpty { bytes += part }
    return bytes
  }

  private func readSome() throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    if count < 0 && errno == ECONNRESET { return [] }
    guard count >= 0 else { throw Failure(description: "nothing came: errno \(errno)") }
    return Array(buffer.prefix(count))
  }
}
