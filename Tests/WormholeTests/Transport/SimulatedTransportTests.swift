import XCTest

@testable import Wormhole

/// Cards of this process through their transport.
final class SimulatedTransportTests: SimulatedDeviceTestCase {
  func testLayout() throws {
    let card = try Self.device.open()
    defer { card.close() }
    XCTAssertEqual(card.layout.tiles.count, 80)
    XCTAssertEqual(card.layout.harvestedRows, [])
    XCTAssertEqual(card.layout.aiClock, 1000)
    XCTAssertEqual(card.telemetry().description, "1000 MHz")
    XCTAssertEqual(card.notes, [])
    XCTAssertNoThrow(try card.bindThread())
    XCTAssertEqual(card.layout.dram.count, 12)
    // A channel is the same behind each of its ports, and no other channel's.
    for (index, channel) in card.layout.dram.enumerated() {
      try card.write32(UInt32(index), to: channel.ports[0], at: channel.offset + 0x20_0000)
    }
    for (index, channel) in card.layout.dram.enumerated() {
      for port in channel.ports {
        XCTAssertEqual(
          try card.read32(from: port, at: channel.offset + 0x20_0000), UInt32(index))
      }
    }
    XCTAssertEqual(card.layout.tiles.first, TileCoordinate(x: 1, y: 1))
    XCTAssertEqual(card.layout.tiles.last, TileCoordinate(x: 9, y: 11))
  }

  func testMemory() throws {
    let card = try Self.device.open()
    defer { card.close() }
    try exerciseMemory(of: card)
    XCTAssertEqual(card.counters.reads, 6 * 8 * 2)
    XCTAssertGreaterThan(card.counters.bytesWritten, 6 * 8 * 256)
    XCTAssertGreaterThan(card.counters.windowMoves, 6)
  }

  func testMulticastAndRing() throws {
    let card = try Self.device.open()
    defer { card.close() }
    try card.multicast([1, 2, 3] as [UInt32], at: 0x2000)
    for tile in card.layout.tiles {
      XCTAssertEqual(try card.readWords(3, from: tile, at: 0x2000), [1, 2, 3])
      XCTAssertEqual(try card.read32(from: tile, at: TileMemory.softReset), 0x47800)
    }
    let tile = try XCTUnwrap(card.layout.tiles.last)
    try card.ring([7, 8], at: tile, address: 0x2004)
    XCTAssertEqual(try card.readWords(3, from: tile, at: 0x2000), [1, 7, 8])
  }

  /// BRISC of a tile writes a word into the host's memory over the NoC.
  func testTileWritesHostMemory() throws {
    let card = try Self.device.open()
    defer { card.close() }
    let host = card.hostMemory
    XCTAssertEqual(try host.load32(at: 64), 0)
    let tile = try XCTUnwrap(card.layout.tiles.first)
    let before = card.strayBytes
    try card.write([0xCAFE_F00D] as [UInt32], to: tile, at: 0x4000)
    try card.run(
      hostWrite(from: 0x4000, to: host.address + 64, count: 4), on: tile,
      until: { try host.load32(at: 64) == 0xCAFE_F00D })
    XCTAssertEqual(card.strayBytes, before)

    // Behind the last byte there is nobody's memory.
    try card.run(
      hostWrite(from: 0x4000, to: host.address + UInt64(host.count), count: 4), on: tile,
      until: { card.strayBytes == before + 4 })
  }

  /// The process of a card dies while a tile writes to the host without end.
  func testAbandonedTile() throws {
    let tile = TileCoordinate(x: 1, y: 1)
    for isStopped in [false, true] {
      let card = try Self.device.open()
      let host = card.hostMemory
      try card.write([UInt32](repeating: 0xBAD, count: 4), to: tile, at: 0x4000)
      // Another word than the one that would stop it.
      if !isStopped { try card.setExitWrite(1, to: tile, at: 0x5000) }
      let code = hostWrite(from: 0x4000, to: host.address + 64, count: 4, forever: true)
      try card.write(code, to: tile, at: 0)
      try card.write32(0x47000, to: tile, at: TileMemory.softReset)
      for _ in 0..<50 where try host.load32(at: 64) == 0 { try card.advance() }
      XCTAssertEqual(try host.load32(at: 64), 0xBAD)

      let before = card.strayBytes
      card.abandon()
      for _ in 0..<10 { try card.advance() }
      if isStopped {
        XCTAssertEqual(card.strayBytes, before)
      } else {
        XCTAssertGreaterThan(card.strayBytes, before, "somebody's memory")
      }
      exerciseClosed(card)

      // The next process stops it before it has memory.
      let next = try Self.device.open()
      for _ in 0..<10 { try next.advance() }
      XCTAssertEqual(try next.hostMemory.load32(at: 64), 0)
      if !isStopped { XCTAssertEqual(try next.read32(from: tile, at: 0x5000), 1) }
      next.close()
    }
  }

  func testRefusals() throws {
    let card = try Self.device.open()
    defer { card.close() }
    exerciseRefusals(of: card)
  }

  func testHostMemoryLimits() throws {
    let card = try Self.device.open()
    let host = card.hostMemory
    for offset in [-4, 1, host.count, host.count - 3, Int.max] {
      XCTAssertThrowsError(try host.load32(at: offset)) { XCTAssertTrue($0 is CardError) }
      XCTAssertThrowsError(try host.store32(1, at: offset)) { XCTAssertTrue($0 is CardError) }
    }
    try host.store32(0x0403_0201, at: host.count - 4)
    var bytes = [UInt8](repeating: 0, count: 4)
    try bytes.withUnsafeMutableBytes { try host.read(into: $0, at: host.count - 4) }
    XCTAssertEqual(bytes, [1, 2, 3, 4])
    XCTAssertThrowsError(
      try bytes.withUnsafeMutableBytes { try host.read(into: $0, at: host.count - 3) })
    XCTAssertThrowsError(try bytes.withUnsafeBytes { try host.write($0, at: host.count - 3) })
    card.close()
    XCTAssertThrowsError(try host.load32(at: 0)) { error in
      XCTAssertEqual((error as? CardError)?.seen, "the card was closed")
    }
  }

  func testCloseTwiceUseAfterCloseAndTwoAtOnce() throws {
    let card = try Self.device.open()
    XCTAssertThrowsError(try SimulatedTransport(bus: Self.device.bus())) { error in
      XCTAssertEqual(
        (error as? CardError)?.seen,
        Self.device == .simulator
          ? "the simulator is open in this process already" : "the card has host memory already")
    }
    let tile = try XCTUnwrap(card.layout.tiles.first)
    try card.write32(5, to: tile, at: 0)
    card.close()
    exerciseClosed(card)

    // As on a card, what was in L1 is still there.
    let again = try Self.device.open()
    XCTAssertEqual(try again.read32(from: tile, at: 0), 5)
    XCTAssertEqual(try again.hostMemory.load32(at: 0), 0)
    again.close()
  }
}

/// RISC-V code that sends `count` bytes of L1 to the host through NoC 0, once or without end.
private func hostWrite(
  from l1: UInt32, to host: UInt64, count: UInt32, forever: Bool = false
) -> [UInt32] {
  // The initiator's registers, from 0xFFB20000.
  let stores: [(offset: UInt32, value: UInt32)] = [
    (0x00, l1), (0x04, 1 << 4 | 1 << 10),  // this is tile (1, 1)
    (0x0C, UInt32(truncatingIfNeeded: host)),
    (0x10, UInt32(truncatingIfNeeded: host >> 32) | 0 << 4 | 3 << 10),
    (0x18, 0), (0x1C, 0x4092), (0x20, count), (0x28, 1),
  ]
  var code: [UInt32] = [0xFFB2_02B7]  // lui t0, 0xFFB20
  for (offset, value) in stores {
    let low = value & 0xFFF
    let high = (value &+ 0x800) >> 12
    code.append(high << 12 | 0x337)  // lui t1, high
    code.append(low << 20 | 0x30313)  // addi t1, t1, low
    code.append((offset >> 5) << 25 | 6 << 20 | 5 << 15 | 2 << 12 | (offset & 31) << 7 | 0x23)
  }
  // jal zero: to itself, or back to the last store, four bytes before.
  code.append(forever ? 0xFFDF_F06F : 0x6F)
  return code
}

extension SimulatedTransport {
  /// Runs `code` on BRISC of `tile` until `done`, at most some thousand clocks.
  fileprivate func run(
    _ code: [UInt32], on tile: TileCoordinate, until done: () throws -> Bool
  ) throws {
    try write(code, to: tile, at: 0)
    try write32(0x47000, to: tile, at: TileMemory.softReset)
    for _ in 0..<50 where try !done() { try advance() }
    try write32(TileMemory.allHeld, to: tile, at: TileMemory.softReset)
    XCTAssertTrue(try done())
  }
}
