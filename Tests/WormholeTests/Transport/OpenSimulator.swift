import XCTest

@testable import Wormhole

private nonisolated(unsafe) weak var opened: SimulatedTransport?

/// The official simulator, freshly opened; skips the test where there is none.
///
/// One process has one simulator: what an earlier test left open is closed first.
func openSimulator() throws -> SimulatedTransport {
  guard SimulatorLibrary.environmentPath != nil else {
    throw XCTSkip("runs on the simulator: set TT_METAL_SIMULATOR to libttsim.so")
  }
  opened?.close()
  let simulator = try SimulatedTransport(bus: SimulatorLibrary.load())
  opened = simulator
  return simulator
}
