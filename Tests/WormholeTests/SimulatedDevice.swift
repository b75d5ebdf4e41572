import XCTest

@testable import Wormhole

#if canImport(WormholeEmulator)
  @testable import WormholeEmulator
#endif

/// The cards in this process that tests of the device path run on: the emulator always, and the
/// official simulator where `TT_METAL_SIMULATOR` names it.
enum SimulatedDevice: String {
  case emulator, simulator

  static var all: [SimulatedDevice] {
    #if canImport(WormholeEmulator)
      SimulatorLibrary.environmentPath == nil ? [.emulator] : [.emulator, .simulator]
    #else
      SimulatorLibrary.environmentPath == nil ? [] : [.simulator]
    #endif
  }

  #if canImport(WormholeEmulator)
    private nonisolated(unsafe) static var last: WormholeEmulator?
  #endif
  private nonisolated(unsafe) static weak var opened: SimulatedTransport?

  /// The card that was there before, with what is in its memories. An emulator that has stopped is
  /// replaced.
  func bus() throws -> any SimulatedBus {
    switch self {
    case .simulator: return try SimulatorLibrary.load()
    case .emulator:
      #if canImport(WormholeEmulator)
        if let emulator = Self.last, emulator.error == nil { return emulator }
        let emulator = try WormholeEmulator()
        Self.last = emulator
        return emulator
      #else
        throw XCTSkip("no emulator - build it with the tests")
      #endif
    }
  }

  /// Opens it. What was opened before is closed, since a card has one owner.
  func open() throws -> SimulatedTransport {
    Self.opened?.close()
    let transport = try SimulatedTransport(bus: bus())
    Self.opened = transport
    return transport
  }
}

/// Tests that run on each of ``SimulatedDevice/all``, one after the other.
class SimulatedDeviceTestCase: XCTestCase {
  nonisolated(unsafe) private(set) static var device = SimulatedDevice.emulator

  required init(name: String, testClosure: @escaping (XCTestCase) throws -> Void) {
    super.init(name: name) { test in
      if SimulatedDevice.all.isEmpty {
        throw XCTSkip("no card to test on - set TT_METAL_SIMULATOR")
      }
      for device in SimulatedDevice.all {
        SimulatedDeviceTestCase.device = device
        try testClosure(test)
      }
    }
  }

  override func recordFailure(
    withDescription description: String, inFile file: String, atLine line: Int, expected: Bool
  ) {
    super.recordFailure(
      withDescription: "on the \(Self.device.rawValue): \(description)", inFile: file,
      atLine: line, expected: expected)
  }
}
