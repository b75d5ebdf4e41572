import CTTDevice
import Foundation
import XCTest

@testable import Wormhole

/// The official simulator through its transport.
final class SimulatorTransportTests: XCTestCase {
  func testLayout() throws {
    let simulator = try openSimulator()
    defer { simulator.close() }
    XCTAssertEqual(simulator.layout.tiles.count, 80)
    XCTAssertEqual(simulator.layout.harvestedRows, [])
    XCTAssertEqual(simulator.layout.aiClock, 1000)
    XCTAssertEqual(simulator.telemetry().description, "1000 MHz")
    XCTAssertEqual(simulator.notes, [])
    XCTAssertNoThrow(try simulator.bindThread())
    XCTAssertEqual(simulator.layout.dram.count, 12)
    // A channel is the same behind each of its ports, and no other channel's.
    for (index, channel) in simulator.layout.dram.enumerated() {
      try simulator.write32(UInt32(index), to: channel.ports[0], at: channel.offset + 0x20_0000)
    }
    for (index, channel) in simulator.layout.dram.enumerated() {
      for port in channel.ports {
        XCTAssertEqual(
          try simulator.read32(from: port, at: channel.offset + 0x20_0000), UInt32(index))
      }
    }
    XCTAssertEqual(simulator.layout.tiles.first, TileCoordinate(x: 1, y: 1))
    XCTAssertEqual(simulator.layout.tiles.last, TileCoordinate(x: 9, y: 11))
  }

  func testMemory() throws {
    let simulator = try openSimulator()
    defer { simulator.close() }
    try exerciseMemory(of: simulator)
    XCTAssertEqual(simulator.counters.reads, 6 * 8 * 2)
    XCTAssertGreaterThan(simulator.counters.bytesWritten, 6 * 8 * 256)
    XCTAssertGreaterThan(simulator.counters.windowMoves, 6)
  }

  func testMulticastAndRing() throws {
    let simulator = try openSimulator()
    defer { simulator.close() }
    try simulator.multicast([1, 2, 3] as [UInt32], at: 0x2000)
    for tile in simulator.layout.tiles {
      XCTAssertEqual(try simulator.readWords(3, from: tile, at: 0x2000), [1, 2, 3])
      XCTAssertEqual(try simulator.read32(from: tile, at: TileMemory.softReset), 0x47800)
    }
    let tile = try XCTUnwrap(simulator.layout.tiles.last)
    try simulator.ring([7, 8], at: tile, address: 0x2004)
    XCTAssertEqual(try simulator.readWords(3, from: tile, at: 0x2000), [1, 7, 8])
  }

  /// BRISC of a tile writes a word into the host's memory over the NoC.
  func testTileWritesHostMemory() throws {
    let simulator = try openSimulator()
    defer { simulator.close() }
    let host = simulator.hostMemory
    XCTAssertEqual(try host.load32(at: 64), 0)
    let tile = try XCTUnwrap(simulator.layout.tiles.first)
    let before = simulator.strayBytes
    try simulator.write([0xCAFE_F00D] as [UInt32], to: tile, at: 0x4000)
    try simulator.run(
      hostWrite(from: 0x4000, to: host.address + 64, count: 4), on: tile,
      until: { try host.load32(at: 64) == 0xCAFE_F00D })
    XCTAssertEqual(simulator.strayBytes, before)

    // Behind the last byte there is nobody's memory.
    try simulator.run(
      hostWrite(from: 0x4000, to: host.address + UInt64(host.count), count: 4), on: tile,
      until: { simulator.strayBytes == before + 4 })
  }

  /// The process of a card dies while a tile writes to the host without end.
  func testAbandonedTile() throws {
    let tile = TileCoordinate(x: 1, y: 1)
    for isStopped in [false, true] {
      let simulator = try openSimulator()
      let host = simulator.hostMemory
      try simulator.write([UInt32](repeating: 0xBAD, count: 4), to: tile, at: 0x4000)
      // Another word than the one that would stop it.
      if !isStopped { try simulator.setExitWrite(1, to: tile, at: 0x5000) }
      let code = hostWrite(from: 0x4000, to: host.address + 64, count: 4, forever: true)
      try simulator.write(code, to: tile, at: 0)
      try simulator.write32(0x47000, to: tile, at: TileMemory.softReset)
      for _ in 0..<50 where try host.load32(at: 64) == 0 { try simulator.advance() }
      XCTAssertEqual(try host.load32(at: 64), 0xBAD)

      let before = simulator.strayBytes
      simulator.abandon()
      for _ in 0..<10 { try simulator.advance() }
      if isStopped {
        XCTAssertEqual(simulator.strayBytes, before)
      } else {
        XCTAssertGreaterThan(simulator.strayBytes, before, "somebody's memory")
      }
      exerciseClosed(simulator)

      // The next process stops it before it has memory.
      let next = try openSimulator()
      for _ in 0..<10 { try next.advance() }
      XCTAssertEqual(try next.hostMemory.load32(at: 64), 0)
      if !isStopped { XCTAssertEqual(try next.read32(from: tile, at: 0x5000), 1) }
      next.close()
    }
  }

  func testRefusals() throws {
    let simulator = try openSimulator()
    defer { simulator.close() }
    exerciseRefusals(of: simulator)
  }

  func testHostMemoryLimits() throws {
    let simulator = try openSimulator()
    let host = simulator.hostMemory
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
    simulator.close()
    XCTAssertThrowsError(try host.load32(at: 0)) { error in
      XCTAssertEqual((error as? CardError)?.seen, "the card was closed")
    }
  }

  func testCloseTwiceUseAfterCloseAndTwoAtOnce() throws {
    let simulator = try openSimulator()
    XCTAssertThrowsError(try SimulatedTransport(bus: SimulatorLibrary.load())) { error in
      XCTAssertEqual(
        (error as? CardError)?.seen, "the simulator is open in this process already")
    }
    let tile = try XCTUnwrap(simulator.layout.tiles.first)
    try simulator.write32(5, to: tile, at: 0)
    simulator.close()
    exerciseClosed(simulator)

    // As on a card, what was in L1 is still there.
    let again = try openSimulator()
    XCTAssertEqual(try again.read32(from: tile, at: 0), 5)
    XCTAssertEqual(try again.hostMemory.load32(at: 0), 0)
    again.close()
  }

  func testWrongPathMissingFunctionWrongCard() throws {
    func seen(_ path: String?, line: UInt = #line) -> CardError? {
      var seen: CardError?
      XCTAssertThrowsError(try SimulatorLibrary.load(path), line: line) {
        seen = $0 as? CardError
      }
      return seen
    }
    XCTAssertEqual(seen(nil)?.remedy, "set it to the path of libttsim.so")
    XCTAssertEqual(seen("/nonexistent/libttsim.so")?.call, "dlopen")
    XCTAssertEqual(seen("/etc/passwd")?.call, "dlopen")
    XCTAssertEqual(seen("libm.so.6")?.call, "dlsym")
    XCTAssertEqual(seen("libm.so.6")?.seen, "no function libttsim_clock")

    // A library with all functions that simulates another card.
    let folder = NSTemporaryDirectory() + "SimulatorTransportTests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let source = """
      void libttsim_init() {} void libttsim_exit() {} void libttsim_clock(unsigned n) {}
      void libttsim_set_pci_dma_mem_callbacks(void *r, void *w) {}
      unsigned libttsim_pci_config_rd32(unsigned f, unsigned o) { return o ? 0 : 0xB1401E52; }
      void libttsim_pci_mem_rd_bytes(unsigned long a, void *p, unsigned n) {}
      void libttsim_pci_mem_wr_bytes(unsigned long a, const void *p, unsigned n) {}
      """
    try source.write(toFile: "\(folder)/other.c", atomically: false, encoding: .utf8)
    let compiler = Process()
    compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    compiler.arguments = [
      "clang", "-shared", "-fPIC", "-o", "\(folder)/other.so", "\(folder)/other.c",
    ]
    try compiler.run()
    compiler.waitUntilExit()
    XCTAssertEqual(compiler.terminationStatus, 0)
    let error = try XCTUnwrap(seen("\(folder)/other.so"))
    XCTAssertEqual(error.call, "PCI configuration")
    XCTAssertEqual(error.seen, "0xb1401e52, the simulator of another card")
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
