#if arch(x86_64)
  import XCTest

  @testable import TensixISA
  @testable import Wormhole

  /// The kernel driver's transport on a card of this process: every load and store reaches the
  /// simulated card's bus, and what the card does reaches the pinned memory.
  final class KernelDriverOnSimulatedCardTests: DeviceTestCase {
    private func withTransport(
      _ body: (KernelDriverTransport, SimulatedCard) throws -> Void
    ) throws {
      Self.closeShared()
      let card = try SimulatedCard(bus: Self.device.bus())
      defer { card.end() }
      let transport = try KernelDriverTransport(
        card: 0, under: CardDiscovery.Roots(devices: "/dev/none", classes: "/sys/none"),
        calls: card.calls)
      defer { transport.close() }
      try body(transport, card)
    }

    func testTransport() throws {
      try withTransport { transport, card in
        XCTAssertEqual(transport.layout.tiles.count, 80)
        XCTAssertEqual(transport.layout.aiClock, 1000)
        try exerciseMemory(of: transport)
        exerciseRefusals(of: transport)
        try transport.multicast((0..<300).map { UInt32($0) }, at: 0x2000)
        for tile in transport.layout.tiles {
          XCTAssertEqual(
            try transport.readWords(3, from: tile, at: 0x2000 + 4 * 297), [297, 298, 299])
          XCTAssertEqual(try transport.read32(from: tile, at: TileMemory.softReset), 0x47800)
        }
        let tile = TileCoordinate(x: 9, y: 11)
        try transport.ring([7, 8], at: tile, address: 0x2004)
        XCTAssertEqual(try transport.readWords(4, from: tile, at: 0x2000), [0, 7, 8, 3])
        for (index, channel) in transport.layout.dram.enumerated() {
          try transport.write32(UInt32(index), to: channel.ports[1], at: channel.offset + 0x1000)
        }
        for (index, channel) in transport.layout.dram.enumerated() {
          XCTAssertEqual(
            try transport.read32(from: channel.ports[2], at: channel.offset + 0x1000), UInt32(index)
          )
        }
        XCTAssertGreaterThan(card.accesses, 1000)
        exerciseClosed(transport)
      }
    }

    /// Programs are booted, compute, and answer into pinned memory.
    func testCard() throws {
      try withTransport { transport, _ in
        let card = try Card(transport: transport)
        var values = Values(seed: 3)
        let x = values.array(40 * 96), w = values.array(96 * 320)
        let a = try card.matrix(x, rows: 40, columns: 96)
        let b = try card.matrix(w, rows: 96, columns: 320)
        let out = try card.allocate(rows: 40, columns: 320)
        let buffer = try card.allocateHostBuffer(for: out)
        var builder = CommandBuilder(for: card)
        try builder.linear(a, b, into: out)
        try builder.download(out, to: buffer)
        let list = try card.load(builder)
        for _ in 0..<3 { try card.run(list) }
        let result = try card.values(of: buffer)
        assertClose(result, product(x, w, rows: 40, inner: 96, columns: 320), rms: 0.003)
        XCTAssertEqual(result, try card.download(out))
        card.close()
      }
    }

    /// The process dies in the middle of a run: the kernel's one write keeps the tiles from memory that
    /// is no longer theirs.
    func testProcessThatDies() throws {
      for (clocks, writes) in [(0, true), (2, true), (5, true), (9, true), (14, true), (5, false)] {
        try withTransport { transport, simulated in
          let card = try Card(transport: transport, checksProducts: false)
          let a = try card.matrix(
            [Float](repeating: 1, count: 256 * 256), rows: 256, columns: 256)
          let buffer = try card.allocateHostBuffer(for: a)
          var builder = CommandBuilder(for: card)
          for _ in 0..<20 { try builder.download(a, to: buffer) }
          let list = try card.load(builder)
          try card.ring(list: list.base, count: list.commands.count)
          for _ in 0..<clocks { transport.advance() }
          let stray = simulated.strayBytes
          simulated.die(writing: writes)
          for _ in 0..<40 { transport.advance() }
          if writes {
            XCTAssertEqual(simulated.strayBytes, stray, "\(clocks)")
          } else {
            XCTAssertGreaterThan(simulated.strayBytes, stray, "without it they go on")
          }
        }
      }
    }
  }
#endif
