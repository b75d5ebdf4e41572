import XCTest

@testable import Wormhole
@testable import WormholeEmulator

/// The cards in this process that tests of the device path run on: the emulator always, and the
/// official simulator where `TT_METAL_SIMULATOR` names it.
enum SimulatedDevice: String {
  case emulator, simulator

  static var all: [SimulatedDevice] {
    SimulatorLibrary.environmentPath == nil ? [.emulator] : [.emulator, .simulator]
  }

  private nonisolated(unsafe) static var last: WormholeEmulator?
  private nonisolated(unsafe) static weak var opened: SimulatedTransport?

  /// The card that was there before, with what is in its memories. An emulator that has stopped is
  /// replaced.
  func bus() throws -> any SimulatedBus {
    switch self {
    case .simulator: return try SimulatorLibrary.load()
    case .emulator:
      if let emulator = Self.last, emulator.error == nil { return emulator }
      let emulator = try WormholeEmulator()
      Self.last = emulator
      return emulator
    }
  }

  /// Opens it. What was opened before is closed, since a card has one owner.
  func open() throws -> SimulatedTransport {
    Self.opened?.close()
    let transport = try SimulatedTransport(bus: RecordingBus(bus()))
    Self.opened = transport
    return transport
  }
}

/// Keeps what the host reads at length, which are results: not the words that it polls, nor the
/// control words of a tile that hangs.
private struct RecordingBus: SimulatedBus {
  private let bus: any SimulatedBus

  /// A digest of each read since the last reset.
  private(set) nonisolated(unsafe) static var digests: [Int] = []
  static func reset() -> [Int] {
    defer { digests = [] }
    return digests
  }

  init(_ bus: any SimulatedBus) { self.bus = bus }

  func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(CardError) {
    try bus.read(address, into: bytes)
    guard bytes.count > 512 else { return }
    var hasher = Hasher()
    hasher.combine(bytes: UnsafeRawBufferPointer(bytes))
    Self.digests.append(hasher.finalize())
  }

  var name: String { bus.name }
  var standstill: String? { bus.standstill }
  var strayBytes: Int { bus.strayBytes }
  func readConfiguration(_ offset: UInt32) throws(CardError) -> UInt32 {
    try bus.readConfiguration(offset)
  }
  func write(_ bytes: UnsafeRawBufferPointer, _ address: UInt64) throws(CardError) {
    try bus.write(bytes, address)
  }
  func advance() throws(CardError) { try bus.advance() }
  func attachHostMemory(_ memory: UnsafeMutableRawBufferPointer) throws(CardError) {
    try bus.attachHostMemory(memory)
  }
  func detachHostMemory() { bus.detachHostMemory() }
}

/// Tests that run on each of ``SimulatedDevice/all``, one after the other, and read the same bytes
/// from each.
class SimulatedDeviceTestCase: XCTestCase {
  nonisolated(unsafe) private(set) static var device = SimulatedDevice.emulator

  required init(name: String, testClosure: @escaping (XCTestCase) throws -> Void) {
    super.init(name: name) { test in
      var results: [Int]?
      for device in SimulatedDevice.all {
        SimulatedDeviceTestCase.device = device
        _ = RecordingBus.reset()
        (test as? SimulatedDeviceTestCase)?.begin()
        try testClosure(test)
        let digests = RecordingBus.reset()
        if let results {
          XCTAssertEqual(digests.count, results.count, "results that were read")
          let differing = zip(digests, results).enumerated().filter { $1.0 != $1.1 }.map(\.offset)
          XCTAssertEqual(
            differing.prefix(8), [], "\(differing.count) of \(results.count) results differ")
        }
        results = digests
      }
    }
  }

  /// Called on each device before the test, to make its state what it is for all.
  func begin() {}

  override func recordFailure(
    withDescription description: String, inFile file: String, atLine line: Int, expected: Bool
  ) {
    super.recordFailure(
      withDescription: "on the \(Self.device.rawValue): \(description)", inFile: file,
      atLine: line, expected: expected)
  }
}
