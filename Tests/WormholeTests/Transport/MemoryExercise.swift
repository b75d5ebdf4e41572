import XCTest

@testable import Wormhole

/// Writes and reads that go the same way through every transport: L1 and DRAM, at any alignment and
/// length, across the edges of windows, with a margin that must stay.
func exerciseMemory(of transport: some Transport) throws {
  let places: [(TileCoordinate, UInt64)] = [
    (TileCoordinate(x: 1, y: 1), 0x1000), (TileCoordinate(x: 1, y: 1), 0xF_FF80),
    (TileCoordinate(x: 4, y: 5), 0x16_DF00), (TileCoordinate(x: 0, y: 0), 0xFF_FFC0),
    (TileCoordinate(x: 5, y: 5), 0x7FFF_FF00), (TileCoordinate(x: 0, y: 11), 0x3FFF_FF80),
  ]
  for (tile, base) in places {
    for (offset, count) in [(0, 256), (1, 3), (1, 1), (3, 66), (2, 1), (7, 0), (4, 16), (5, 22)] {
      let place = "\(count) bytes at 0x\(String(base, radix: 16)) + \(offset) of \(tile)"
      try transport.write([UInt8](repeating: 0xEE, count: 256), to: tile, at: base)
      let sent = (0..<count).map { UInt8(truncatingIfNeeded: $0 + 1) }
      try transport.write(sent, to: tile, at: base + UInt64(offset))
      var expected = [UInt8](repeating: 0xEE, count: 256)
      expected.replaceSubrange(offset..<offset + count, with: sent)
      var seen = [UInt8](repeating: 0, count: 256)
      try seen.withUnsafeMutableBytes { try transport.read(into: $0, from: tile, at: base) }
      XCTAssertEqual(seen, expected, place)
      var part = [UInt8](repeating: 0, count: count)
      try part.withUnsafeMutableBytes {
        try transport.read(into: $0, from: tile, at: base + UInt64(offset))
      }
      XCTAssertEqual(part, sent, place)
    }
  }
}

/// Accesses that every transport refuses: they would hang the bus or change another register.
func exerciseRefusals(of transport: some Transport) {
  let tensix = TileCoordinate(x: 1, y: 1)
  let dram = TileCoordinate(x: 0, y: 0)
  let refused: [(TileCoordinate, UInt64, Int)] = [
    (tensix, 0x16_DFFD, 4),  // over the end of L1
    (tensix, 0xFFB1_21B0, 2), (tensix, 0xFFB1_21B2, 4),  // no whole word of a register
    (tensix, 0xFFB0_0000, 4),  // private memory of the cores
    (tensix, .max, 4), (tensix, 1 << 36, 4),
    (dram, 0x8000_0000, 4), (dram, 0x7FFF_FFFF, 2),
    (TileCoordinate(x: 0, y: 3), 0, 4),  // the PCIe tile
    (TileCoordinate(x: 1, y: 0), 0, 4), (TileCoordinate(x: 1, y: 6), 0, 4),  // Ethernet
    (TileCoordinate(x: 10, y: 1), 0, 4), (TileCoordinate(x: -1, y: 1), 0, 4),
    (TileCoordinate(x: 65, y: 1), 0, 4),
  ]
  for (tile, address, count) in refused {
    var bytes = [UInt8](repeating: 0, count: count)
    let place = "\(count) bytes at 0x\(String(address, radix: 16)) of \(tile)"
    XCTAssertThrowsError(try transport.write(bytes, to: tile, at: address), place) {
      XCTAssertEqual(($0 as? CardError)?.call, "write")
      XCTAssertEqual(($0 as? CardError)?.card, transport.name)
    }
    XCTAssertThrowsError(
      try bytes.withUnsafeMutableBytes {
        try transport.read(into: $0, from: tile, at: address)
      }, place
    ) { XCTAssertEqual(($0 as? CardError)?.call, "read") }
  }
  XCTAssertThrowsError(try transport.multicast([1] as [UInt32], at: 0x16_E000))
  XCTAssertThrowsError(try transport.multicast([1, 2, 3] as [UInt8], at: 0x2000))
  XCTAssertThrowsError(try transport.multicast([1] as [UInt32], at: 0x2002))
  XCTAssertThrowsError(try transport.ring([1], at: tensix, address: 0x2002))
  XCTAssertThrowsError(try transport.setExitWrite(1, to: tensix, at: 0x2002))
  XCTAssertThrowsError(try transport.setExitWrite(1, to: tensix, at: 0x16_E000))
  XCTAssertThrowsError(try transport.ring([1], at: tensix, address: 0x1_0000_0000))
}

/// What every transport answers after `close()`, and that closing again does nothing.
func exerciseClosed(_ transport: some Transport) {
  let tile = TileCoordinate(x: 1, y: 1)
  transport.close()
  XCTAssertNoThrow(try transport.advance())
  let uses: [() throws -> Void] = [
    { try transport.write32(1, to: tile, at: 0) },
    { _ = try transport.read32(from: tile, at: 0) },
    { try transport.multicast([1] as [UInt32], at: 0) },
    { try transport.ring([1], at: tile, address: 0) },
    { try transport.setExitWrite(1, to: tile, at: 0) },
    { try transport.bindThread() },
    { _ = try transport.hostMemory.load32(at: 0) },
    { try transport.hostMemory.store32(0, at: 0) },
  ]
  for use in uses {
    XCTAssertThrowsError(try use()) {
      XCTAssertEqual(($0 as? CardError)?.seen, "the card was closed")
      XCTAssertEqual(($0 as? CardError)?.card, transport.name)
    }
  }
}
