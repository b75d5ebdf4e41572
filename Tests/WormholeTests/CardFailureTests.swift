import XCTest

@testable import TensixISA
@testable import Wormhole

/// What happens when something goes wrong, and that the card can be used afterwards.
final class CardFailureTests: DeviceTestCase {
  private func assertFails<T>(
    _ seen: String, _ body: @autoclosure () throws -> T, line: UInt = #line
  ) {
    XCTAssertThrowsError(try body(), line: line) { error in
      guard let error = error as? CardError else { return XCTFail("\(error)", line: line) }
      XCTAssertTrue(error.description.contains(seen), error.description, line: line)
      XCTAssertFalse(error.remedy.isEmpty, line: line)
    }
  }

  private func checkItWorks(_ card: Card) throws {
    var values = Values(seed: 9)
    let x = values.array(64 * 64), w = values.array(64 * 2560)
    let a = try card.matrix(x, rows: 64, columns: 64)
    let b = try card.matrix(w, rows: 64, columns: 2560)
    let out = try card.allocate(rows: 64, columns: 2560)
    try card.run { try $0.linear(a, b, into: out) }
    assertClose(
      try card.download(out), product(x, w, rows: 64, inner: 64, columns: 2560), rms: 0.003)
    for matrix in [a, b, out] { card.free(matrix) }
  }

  func testTileThatNeverArrives() throws {
    try withCard { card in
      let silent = card.tiles[card.tiles.count - 1]
      try card.transport.write32(TileMemory.allHeld, to: silent, at: TileMemory.softReset)
      var builder = CommandBuilder(for: card)
      for _ in 0..<3 { builder.nothing() }
      let list = try card.load(builder)
      let start = ContinuousClock.now
      assertFails(
        "1 tiles from \(silent): announced", try card.run(list, deadline: .milliseconds(500)))
      XCTAssertLessThan(ContinuousClock.now - start, .seconds(5))
      assertFails("an earlier run did not finish", try card.run(list))
      try card.reset()
      try card.run(list)
      try checkItWorks(card)
    }
  }

  /// A deadline that was too short, in the middle of a product: the tiles may finish that.
  func testResetInTheMiddleOfAList() throws {
    var random = Values(seed: 14)
    for _ in 0..<12 {
      try withCard { card in
        let a = try card.matrix([Float](repeating: 1, count: 64 * 512), rows: 64, columns: 512)
        let b = try card.matrix([Float](repeating: 1, count: 512 * 512), rows: 512, columns: 512)
        let out = try card.allocate(rows: 64, columns: 512)
        var builder = CommandBuilder(for: card)
        for _ in 0..<100 { try builder.linear(a, b, activation: .gelu, into: out) }
        let list = try card.load(builder)
        let deadline = Duration.milliseconds(Int((random.next() + 0.5) * 80))
        assertFails("not finished", try card.run(list, deadline: deadline))
        try card.reset()
        try checkItWorks(card)
        assertFails("not finished", try card.run(list, deadline: deadline))
      }
    }
  }

  func testHostMemoryThatIsNoLongerTheirs() throws {
    try withCard { card in
      let a = try card.matrix([Float](repeating: 1, count: 96 * 64), rows: 96, columns: 64)
      let buffer = try card.allocateHostBuffer(for: a)
      try card.transport.write([0, 0] as [UInt32], to: card.master, at: UInt64(Control.hostValid))
      let before = try card.values(of: buffer)
      var builder = CommandBuilder(for: card)
      try builder.download(a, to: buffer)
      let list = try card.load(builder)
      assertFails("not finished", try card.run(list, deadline: .milliseconds(500)))
      XCTAssertEqual(
        try card.transport.read32(from: card.master, at: UInt64(Control.completion)),
        try card.transport.read32(from: card.master, at: UInt64(Control.doorbellRun)),
        "the tiles went through it, and told nobody")
      XCTAssertEqual(try card.values(of: buffer), before)
      try card.reset()
      try card.run(list)
      XCTAssertEqual(try card.values(of: buffer), try card.download(a))
    }
  }

  /// The process dies somewhere in a run that writes into its memory, a hundred times.
  func testProcessThatDies() throws {
    Self.closeShared()
    var random = Values(seed: 12)
    var rows = [Float](repeating: 0, count: 300 * 256)
    for point in 0..<100 {
      let transport = try Self.openTransport()
      let card = try Card(transport: transport, checksProducts: false)
      for i in rows.indices { rows[i] = Float((point + i) % 199) }
      let a = try card.matrix(rows, rows: 300, columns: 256)
      let buffer = try card.allocateHostBuffer(for: a)
      var builder = CommandBuilder(for: card)
      for _ in 0..<3 { try builder.download(a, to: buffer) }
      let list = try card.load(builder)
      if point % 10 == 0 {
        // Nothing of earlier processes passes for this one's.
        XCTAssertEqual(
          try card.values(of: buffer), [Float](repeating: 0, count: rows.count), "\(point)")
        try card.run(list, deadline: .seconds(20))
        XCTAssertEqual(try card.values(of: buffer), rows, "\(point)")
      }
      try card.ring(list: list.base, count: list.commands.count)
      for _ in 0..<Int((random.next() + 0.5) * 60) { try transport.advance() }
      let stray = transport.strayBytes
      transport.abandon()
      // Whoever maps this memory next must not be written to by the old programs.
      for _ in 0..<60 { try card.transport.advance() }
      XCTAssertEqual(transport.strayBytes, stray, "\(point)")
    }
  }

  func testSubsetsOfTiles() throws {
    for count in [1, 7, 64] {
      try withCard(tiles: { Array($0.shuffled().prefix(count)) }) { card in
        XCTAssertEqual(card.tiles.count, count)
        try checkItWorks(card)
      }
    }
    try withCard(tiles: { $0.filter { $0.y != 3 && $0.y != 8 } }) { try checkItWorks($0) }
  }

  func testTilesThatAreNot() throws {
    _ = try card()  // skips where there is none
    for tiles in [
      [], [TileCoordinate(x: 5, y: 5)], Array(repeating: TileCoordinate(x: 1, y: 1), count: 2),
    ] {
      assertFails("tiles to work with", try withCard(tiles: { _ in tiles }) { _ in })
    }
  }

  func testAfterClose() throws {
    try withCard { card in
      let a = try card.allocate(rows: 1, columns: 1)
      var builder = CommandBuilder(for: card)
      builder.nothing()
      let list = try card.load(builder)
      card.close()
      card.close()
      assertFails("closed", try card.run(list))
      assertFails("closed", try card.reset())
      assertFails("closed", try card.upload([1], to: a))
      assertFails("closed", try card.download(a))
      assertFails("closed", try card.allocate(rows: 1, columns: 1))
      card.free(a)
    }
  }

  /// A card that somebody left running is somebody's no longer.
  func testOpenedAgain() throws {
    for _ in 0..<3 { try withCard { try checkItWorks($0) } }
  }

  func testMemoryRunsOut() throws {
    let card = try card()
    let free = card.freeDRAM
    assertFails(
      "of DRAM \(free) bytes are left", try card.allocate(rows: 1 << 20, columns: 1 << 20))
    // What is planned may be more than there is; nothing is written or run then.
    let small = try card.reserve(rows: 32, columns: 32, format: .bfloat16)
    let planned = try card.reserve(rows: 1 << 16, columns: 1 << 16, format: .float32)
    assertFails(
      "bytes of DRAM are needed", try card.upload([Float](repeating: 0, count: 1024), to: small))
    assertFails("keep weights as bfp8", try card.load(CommandBuilder(for: card)))
    assertFails("bytes are left", try card.allocate(rows: 1 << 16, columns: 1 << 16))
    card.free(planned)
    XCTAssertNoThrow(try card.upload([Float](repeating: 0, count: 1024), to: small))
    card.free(small)
    XCTAssertEqual(card.freeDRAM, free)
    assertFails("a matrix of 0 x 5", try card.allocate(rows: 0, columns: 5))
    assertFails("a matrix of 9223372036854775807", try card.allocate(rows: .max, columns: 5))
    let large = try card.reserve(rows: 32 << 10, columns: 64 << 10, format: .float32)
    XCTAssertLessThan(card.freeDRAM, free)
    card.free(large)
    XCTAssertEqual(card.freeDRAM, free)
    let matrix = try card.reserve(rows: 2048, columns: 1024, format: .bfloat16)
    defer { card.free(matrix) }
    assertFails("bytes of host memory", try card.allocateHostBuffer(for: matrix))
  }

  func testShapesThatDoNotFit() throws {
    let card = try card()
    let a = try card.allocate(rows: 40, columns: 64)
    let b = try card.allocate(rows: 96, columns: 64)
    let out = try card.allocate(rows: 40, columns: 64)
    let narrow = try card.allocate(rows: 40, columns: 48, format: .bfp8)
    defer { for matrix in [a, b, out, narrow] { card.free(matrix) } }
    var builder = CommandBuilder(for: card)
    assertFails("40 x 64 bfloat16 and 96 x 64", try builder.linear(a, b, into: out))
    assertFails("96 x 64", try builder.binary(.add, a, b, into: out))
    assertFails("40 x 48 bfp8", try builder.binary(.add, a, narrow, into: out))
    assertFails("96 x 64", try builder.unary(a, into: b))
    assertFails("bfloat16 and 40 x 48 bfp8", try builder.copy(a, into: narrow))
    assertFails("column 16", try builder.copy(a, into: out, outColumn: 16))
    assertFails("column 32", try builder.copy(a, into: out, outColumn: 32))
    assertFails("row 32", try builder.copy(a, into: out, outRow: 32))
    let wide = Matrix(rows: 1, columns: 1_100_000, format: .bfloat16, base: 1 << 20)
    let tall = Matrix(rows: 1_100_000, columns: 1, format: .bfloat16, base: 1 << 20)
    let one = Matrix(rows: 1, columns: 1, format: .bfloat16, base: 1 << 20)
    assertFails("1100000 columns", try builder.linear(wide, tall, into: one))
    XCTAssertTrue(builder.commands.isEmpty)
    assertFails("4 values for 40 x 64", try card.upload([1, 2, 3, 4], to: a))
  }
}

/// Give and take of address ranges.
final class AddressSpaceTests: XCTestCase {
  func testRangesNeverOverlapAndAllComeBack() {
    var space = AddressSpace(1 << 20..<1 << 24, alignment: 64)
    let all = space.freeCount
    var generator = Values(seed: 11)
    var taken: [Int: Int] = [:]
    for _ in 0..<2000 {
      if generator.next() > 0, let start = taken.keys.min() {
        taken[start] = nil
        XCTAssertTrue(space.giveBack(start))
        XCTAssertFalse(space.giveBack(start))
      } else {
        let count = Int((generator.next() + 0.5) * 100_000)
        guard let start = space.take(count) else { continue }
        XCTAssertEqual(start % 64, 0)
        for (other, size) in taken {
          XCTAssertTrue(start + count <= other || other + size <= start)
        }
        taken[start] = max(1, count)
      }
    }
    for start in taken.keys { XCTAssertTrue(space.giveBack(start)) }
    XCTAssertEqual(space.freeCount, all)
    XCTAssertEqual(space.largestCount, all)
    XCTAssertNil(space.take(all + 1))
    XCTAssertNil(space.take(-1))
    XCTAssertNil(space.take(.max))
  }
}
