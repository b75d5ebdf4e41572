import XCTest

@testable import Wormhole
@testable import WormholeEmulator

/// Many cards in one process, one after the other: each gives its memory back.
final class LifetimeTests: XCTestCase {
  func testCardsGiveTheirMemoryBack() throws {
    weak var emulator: WormholeEmulator?
    weak var tile: Tile?
    weak var core: RISCVCore?
    weak var coprocessor: Coprocessor?
    weak var l1: L1?
    do {
      let made = try WormholeEmulator()
      (emulator, tile) = (made, made.tiles.first)
      (core, coprocessor, l1) = (tile?.cores.first, tile?.coprocessor, tile?.l1)
      let transport = try SimulatedTransport(bus: made)
      let card = try Card(transport: transport)
      card.close()
    }
    XCTAssertNil(emulator)
    XCTAssertNil(tile)
    XCTAssertNil(core)
    XCTAssertNil(coprocessor)
    XCTAssertNil(l1)
  }
}
