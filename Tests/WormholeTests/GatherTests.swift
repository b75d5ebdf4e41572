import XCTest

@testable import Wormhole

/// Gather, lookup and reshape on the card against loops over the definition: every bit of the output's
/// tiles, what lies outside the command and the padding included.
final class GatherTests: DeviceTestCase {
  private static let formats = [TileFormat.bfloat16, .float32]

  // MARK: Gather

  func testWholeAndSlices() throws {
    for format in Self.formats {
      try check(Move(rows: 64, columns: 96), from: (64, 96), into: (64, 96), format)
      try check(Move(rows: 51, columns: 100), from: (51, 100), into: (51, 100), format)
      try check(
        Move(row: 5, column: 16, rows: 33, columns: 48, outRow: 1), from: (70, 100), into: (50, 64),
        format)
      try check(
        Move(row: 37, column: 40, rows: 3, columns: 8, outRow: 20, outColumn: 24),
        from: (70, 100), into: (50, 64), format)
      try check(
        Move(row: 69, column: 99, rows: 1, columns: 1), from: (70, 100), into: (1, 1), format)
      try check(
        Move(row: 1, rowStep: 3, rows: 23, columns: 41, outRow: 7), from: (80, 48), into: (40, 48),
        format)
    }
  }

  func testConcatenation() throws {
    for format in Self.formats {
      try check(
        [
          Move(rows: 50, columns: 96, outRow: 1), Move(row: 7, rows: 1, columns: 96),
          Move(rows: 50, columns: 96, outRow: 51),
        ], from: (50, 96), into: (101, 96), format)
      // Columns: at 0, 24, 60; at multiples of 16.
      try check(
        [
          Move(rows: 40, columns: 24), Move(rows: 40, columns: 36, outColumn: 24),
          Move(column: 3, rows: 40, columns: 5, outColumn: 60),
        ], from: (40, 40), into: (40, 70), format)
      try check(
        [Move(rows: 40, columns: 48, outColumn: 16), Move(column: 32, rows: 40, columns: 16)],
        from: (40, 48), into: (40, 64), format)
    }
  }

  func testBlocks() throws {
    for format in Self.formats {
      // [3, 20, 48] and [3, 1, 48] side by side in [3, 50, 48].
      try check(
        [
          Move(
            rows: 20, columns: 48, blocks: 3, blockStride: 20, outRow: 2, outBlockStride: 50),
          Move(row: 10, rows: 1, columns: 48, blocks: 3, blockStride: 0, outBlockStride: 50),
        ], from: (60, 48), into: (150, 48), format)
      // Rows of tiles between the blocks that have none.
      try check(
        Move(
          row: 1, column: 3, rows: 7, columns: 33, blocks: 3, blockStride: 19, outRow: 20,
          outBlockStride: 150, outColumn: 32), from: (60, 48), into: (400, 70), format)
      // Every other row.
      try check(
        Move(rows: 1, columns: 48, blocks: 40, blockStride: 1, outRow: 1, outBlockStride: 2),
        from: (40, 48), into: (82, 48), format)
    }
  }

  func testBroadcasts() throws {
    for format in Self.formats {
      try check(
        Move(row: 3, rowStep: 0, rows: 70, columns: 64), from: (5, 64), into: (70, 64), format)
      try check(
        Move(row: 3, rowStep: 0, column: 1, rows: 70, columns: 60), from: (5, 64), into: (70, 64),
        format)
      try check(
        Move(column: 37, columnStep: 0, rows: 70, columns: 50, outColumn: 3), from: (70, 40),
        into: (70, 64), format)
      try check(
        Move(row: 69, rowStep: 0, column: 7, columnStep: 0, rows: 70, columns: 64), from: (70, 40),
        into: (70, 64), format)
    }
  }

  func testRandomGathers() throws {
    var random = Random(seed: 11)
    for number in 0..<60 {
      let blocks = random.below(4) + 1, rows = random.below(40) + 1, columns = random.below(70) + 1
      let rowStep = random.below(4), columnStep = random.below(5) == 0 ? 0 : 1
      let blockStride = random.below(50), row = random.below(40)
      let column = random.below(2) == 0 ? random.below(4) * 16 : random.below(64)
      let outRow = random.below(70), outBlockStride = rows + random.below(50)
      let outColumn = random.below(2) == 0 ? random.below(4) * 16 : random.below(64)
      let sourceRows = row + (blocks - 1) * blockStride + (rows - 1) * rowStep + 1
      let outRows = outRow + (blocks - 1) * outBlockStride + rows
      try check(
        Move(
          row: row, rowStep: rowStep, column: column, columnStep: columnStep, rows: rows,
          columns: columns, blocks: blocks, blockStride: blockStride, outRow: outRow,
          outBlockStride: outBlockStride, outColumn: outColumn),
        from: (sourceRows + random.below(20), column + columns + random.below(20)),
        into: (outRows + random.below(20), outColumn + columns + random.below(20)),
        number % 3 == 0 ? .float32 : .bfloat16)
    }
  }

  // MARK: Lookup

  func testLookup() throws {
    // Repeated rows, the last one, one too many, and what -1 is.
    var ids = (0..<70).map { UInt32($0 * 37 % 50) }
    (ids[13], ids[14], ids[50], ids[69]) = (100, 99, .max, 0)
    for format in Self.formats {
      try check(Move(ids: ids, columns: 70, outRow: 3), from: (100, 70), into: (80, 70), format)
      try check(
        Move(
          ids: Array(ids[..<35]), column: 7, columns: 40, blocks: 5, outRow: 3, outBlockStride: 15,
          outColumn: 20), from: (100, 70), into: (80, 80), format)
      // Rows that follow one another, over the edges of faces and blocks, and before a row that is none.
      try check(
        Move(
          ids: (0..<90).map { UInt32($0 % 61 + 40) }, columns: 70, blocks: 3, outRow: 1,
          outBlockStride: 31),
        from: (100, 70), into: (100, 70), format)
      try check(
        Move(ids: (0..<45).map { .max - 20 &+ $0 }, column: 1, columns: 60, outRow: 5),
        from: (100, 70), into: (60, 70), format)
      try check(Move(ids: [5], columns: 32), from: (6, 32), into: (1, 32), format)
    }
  }

  /// The same list, other ids.
  func testTableIsReadWhenTheCommandRuns() throws {
    let card = try card()
    var values = Values(seed: 3)
    let x = values.array(300 * 64)
    let a = try card.matrix(x, rows: 300, columns: 64)
    let out = try card.allocate(rows: 48, columns: 64)
    let table = try card.allocateTable(count: 48)
    var builder = CommandBuilder(for: card)
    try builder.lookup(a, table, columns: 64, into: out)
    let list = try card.load(builder)
    for step in [1, 6, 7] {
      try card.upload((0..<48).map { UInt32($0 * step) }, to: table)
      try card.run(list)
      var want: [Float] = []
      for row in 0..<48 {
        let zeros = ArraySlice(repeating: Float(0), count: 64)
        want += row * step < 300 ? x[(row * step * 64)...].prefix(64) : zeros
      }
      XCTAssertEqual(try card.download(out), want)
    }
    card.free(list)
    card.free(table)
    card.free(a)
    card.free(out)
  }

  // MARK: Reshape

  func testReshape() throws {
    let shapes = [
      (36, 24, 32), (32, 36, 24), (36, 24, 36), (64, 32, 1024), (2, 1024, 32), (9, 32, 36),
      (36, 1024, 36), (40, 72, 1), (64, 1, 32), (16, 1152, 72), (50, 7, 35), (3, 32, 96),
      (77, 13, 11), (11, 48, 16), (51, 1024, 1024),
    ]
    for (rows, columns, outColumns) in shapes {
      for format in Self.formats {
        try checkReshape(rows, columns, outColumns, format)
      }
    }
  }

  func testRandomReshapes() throws {
    var random = Random(seed: 12)
    for number in 0..<30 {
      let factor = random.below(9) + 1, a = random.below(20) + 1, b = random.below(20) + 1
      try checkReshape(
        b * (random.below(5) + 1), factor * a, factor * b, number % 3 == 0 ? .float32 : .bfloat16)
    }
  }

  // MARK: Sizes of the model

  func testPrefixOfTheModel() throws {
    try check(
      [
        Move(rows: 768, columns: 2048),
        Move(
          ids: (0..<48).map { UInt32($0 * 997 % 768) }, columns: 2048, outRow: 768),
      ], from: (768, 2048), into: (816, 2048), .bfloat16)
  }

  func testSuffixOfTheModel() throws {
    try check(
      [Move(rows: 1, columns: 1024), Move(row: 1, rows: 50, columns: 1024, outRow: 1)],
      from: (51, 1024), into: (51, 1024), .bfloat16)
    try check(
      [
        Move(rows: 50, columns: 1024),
        Move(row: 50, rowStep: 0, rows: 50, columns: 1024, outColumn: 1024),
      ], from: (51, 1024), into: (50, 2048), .bfloat16)
  }

  // MARK: Other

  func testFewTiles() throws {
    for count in [1, 7] {
      try withCard(tiles: { Array($0.prefix(count)) }) { card in
        try check(
          Move(row: 3, column: 5, rows: 90, columns: 120, outRow: 2, outColumn: 9), on: card,
          from: (100, 130), into: (99, 140), .bfloat16)
        try check(
          Move(rows: 180, columns: 256), on: card, from: (180, 256), into: (180, 256), .float32)
        try checkReshape(36, 1024, 36, .bfloat16, on: card)
      }
    }
  }

  func testWhatDoesNotFitIsRefused() throws {
    let card = try card()
    let a = try card.allocate(rows: 40, columns: 50)
    let out = try card.allocate(rows: 60, columns: 50)
    let other = try card.allocate(rows: 40, columns: 50, format: .float32)
    let weights = try card.allocate(rows: 40, columns: 50, format: .bfp8)
    let table = try card.allocateTable(count: 10)
    func refused(
      _ record: (inout CommandBuilder) throws(CardError) -> Void, _ part: String,
      line: UInt = #line
    ) {
      var builder = CommandBuilder(for: card)
      XCTAssertThrowsError(try record(&builder), line: line) { error in
        let text = "\(error)"
        XCTAssertTrue(text.contains(part) && text.contains(card.transport.name), text, line: line)
      }
      XCTAssertTrue(builder.commands.isEmpty, line: line)
    }
    refused({ b throws(CardError) in try b.gather(a, rows: 41, columns: 50, into: out) }, "gather")
    refused(
      { b throws(CardError) in try b.gather(a, row: 1, rows: 40, columns: 5, into: out) },
      "rows to 40")
    refused(
      { b throws(CardError) in try b.gather(a, column: 1, rows: 4, columns: 50, into: out) },
      "columns")
    refused(
      { b throws(CardError) in try b.gather(a, columnStep: 2, rows: 4, columns: 5, into: out) },
      "columns")
    refused(
      { b throws(CardError) in try b.gather(a, rows: 40, columns: 50, into: out, outRow: 21) },
      "row 21")
    refused(
      { b throws(CardError) in try b.gather(a, rows: 4, columns: 50, into: out, outColumn: 1) },
      "column 1")
    refused({ b throws(CardError) in try b.gather(a, rows: 0, columns: 50, into: out) }, "0 x 50")
    refused(
      { b throws(CardError) in try b.gather(a, row: -1, rows: 1, columns: 50, into: out) }, "-1")
    refused(
      { b throws(CardError) in try b.gather(a, row: .max, rows: 1, columns: 1, into: out) },
      "offsets")
    refused(
      { b throws(CardError) in try b.gather(a, rows: .max, columns: .max, blocks: .max, into: out)
      }, "gather")
    refused(
      { b throws(CardError) in
        try b.gather(a, rows: 4, columns: 5, blocks: 2, into: out, outBlockStride: 3)
      }, "apart")
    refused(
      { b throws(CardError) in try b.gather(a, rows: 4, columns: 5, into: a, outRow: 10) }, "itself"
    )
    refused({ b throws(CardError) in try b.gather(a, rows: 4, columns: 5, into: other) }, "float32")
    refused(
      { b throws(CardError) in try b.gather(weights, rows: 4, columns: 5, into: weights) }, "bfp8")
    refused({ b throws(CardError) in try b.lookup(a, table, columns: 51, into: out) }, "10 x 51")
    refused(
      { b throws(CardError) in try b.lookup(a, table, columns: 50, blocks: 3, into: out) },
      "3 blocks")
    refused(
      { b throws(CardError) in try b.lookup(a, table, columns: 50, into: out, outRow: 51) },
      "row 51")
    refused({ b throws(CardError) in try b.reshape(a, into: out) }, "reshape")
    refused({ b throws(CardError) in try b.reshape(a, into: other) }, "float32")
    XCTAssertThrowsError(try card.upload([1, 2], to: table))
    XCTAssertThrowsError(try card.allocateTable(count: 0))
    for matrix in [a, out, other, weights] { card.free(matrix) }
    card.free(table)
  }

  func testCost() throws {
    let card = try card()
    let a = try card.allocate(rows: 768, columns: 2048)
    let out = try card.allocate(rows: 816, columns: 2048)
    let narrow = try card.allocate(rows: 32768, columns: 48)
    let table = try card.allocateTable(count: 48)
    var builder = CommandBuilder(for: card)
    try builder.gather(a, rows: 768, columns: 2048, into: out, outRow: 5)
    try builder.gather(a, column: 3, rows: 32, columns: 40, into: out)
    try builder.lookup(a, table, columns: 2048, into: out, outRow: 768)
    try builder.reshape(a, into: narrow)
    let costs = builder.commands.map(\.cost)
    // Of 25 rows of 64 tiles the first and the last are parts.
    XCTAssertEqual(costs[0].dramBytesRead, 768 * 2048 * 2 + 2 * 64 * 2048)
    XCTAssertEqual(costs[0].dramBytesWritten, 25 * 64 * 2048)
    // Twenty pages a tile of eighty; some have two parts, which are one page and two to be kept.
    XCTAssertEqual(costs[0].nocBytesOfBusiestTile, (18 + 1 + 2) * 2048)
    // Three segments for 32 columns, one for the other 8, whose tile is a part.
    XCTAssertEqual(costs[1].dramBytesRead, 32 * 3 * 32 + 32 * 32 + 2048)
    XCTAssertEqual(costs[1].dramBytesWritten, 2 * 2048)
    XCTAssertEqual(costs[2].dramBytesRead, 48 * 2048 * 2 + 64 * 48 * 4 + 64 * 2048)
    XCTAssertEqual(costs[3].dramBytesRead, 768 * 2048 * 2 + 1024 * 2048)
    XCTAssertEqual(costs[3].dramBytesWritten, 2 * 1024 * 2048)
    XCTAssertEqual(costs.map(\.products), [0, 0, 0, 0])
    for matrix in [a, out, narrow] { card.free(matrix) }
    card.free(table)
  }

  // MARK: - Comparison

  /// The arguments of a gather, or with `ids` of a lookup.
  private struct Move {
    var ids: [UInt32]?
    var row = 0
    var rowStep = 1
    var column = 0
    var columnStep = 1
    var rows: Int
    var columns: Int
    var blocks = 1
    var blockStride = 0
    var outRow = 0
    var outBlockStride: Int?
    var outColumn = 0

    init(
      row: Int = 0, rowStep: Int = 1, column: Int = 0, columnStep: Int = 1, rows: Int,
      columns: Int, blocks: Int = 1, blockStride: Int = 0, outRow: Int = 0,
      outBlockStride: Int? = nil, outColumn: Int = 0
    ) {
      (self.row, self.rowStep, self.column, self.columnStep) = (row, rowStep, column, columnStep)
      (self.rows, self.columns, self.blocks, self.blockStride) = (
        rows, columns, blocks, blockStride
      )
      (self.outRow, self.outBlockStride, self.outColumn) = (outRow, outBlockStride, outColumn)
    }

    init(
      ids: [UInt32], column: Int = 0, columns: Int, blocks: Int = 1, outRow: Int = 0,
      outBlockStride: Int? = nil, outColumn: Int = 0
    ) {
      self.init(
        column: column, rows: ids.count / blocks, columns: columns, blocks: blocks, outRow: outRow,
        outBlockStride: outBlockStride, outColumn: outColumn)
      self.ids = ids
    }

    /// The definition.
    func apply(_ a: Bits, to out: inout Bits) {
      for q in 0..<blocks {
        for i in 0..<rows {
          let from = ids.map { Int($0[q * rows + i]) } ?? row + q * blockStride + i * rowStep
          for j in 0..<columns {
            out[outRow + q * (outBlockStride ?? rows) + i, outColumn + j] =
              from < a.rows ? a[from, column + j * columnStep] : 0
          }
        }
      }
    }

    func record(_ builder: inout CommandBuilder, _ a: Matrix, _ table: RowTable?, _ out: Matrix)
      throws
    {
      if let table {
        try builder.lookup(
          a, table, column: column, columns: columns, blocks: blocks, into: out, outRow: outRow,
          outBlockStride: outBlockStride, outColumn: outColumn)
      } else {
        try builder.gather(
          a, row: row, rowStep: rowStep, column: column, columnStep: columnStep, rows: rows,
          columns: columns, blocks: blocks, blockStride: blockStride, into: out, outRow: outRow,
          outBlockStride: outBlockStride, outColumn: outColumn)
      }
    }
  }

  /// All elements of a matrix's tiles.
  private struct Bits {
    let rows: Int
    let width: Int
    var values: [Float]

    /// Bits at random, as the format has them; a not-a-number is a quiet one.
    init(_ matrix: Matrix, _ random: inout Random) {
      rows = matrix.rows
      width = matrix.tileColumns * 32
      values = (0..<matrix.tileRows * 32 * width).map { _ in
        let bits = UInt32(truncatingIfNeeded: random.next() >> 32)
        let value = Float(bitPattern: matrix.format == .bfloat16 ? bits & 0xFFFF_0000 : bits)
        return value.isNaN ? Float(bitPattern: bits & 0xFFFF_0000 | 0x40_0000) : value
      }
    }

    subscript(row: Int, column: Int) -> Float {
      get { values[row * width + column] }
      set { values[row * width + column] = newValue }
    }
  }

  private struct Random {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state
    }
    mutating func below(_ limit: Int) -> Int { Int(next() >> 33) % limit }
  }

  private var random = Random(seed: 7)

  override func begin() { random = Random(seed: 7) }

  private func check(
    _ move: Move, on card: Card? = nil, from: (Int, Int), into: (Int, Int), _ format: TileFormat,
    line: UInt = #line
  ) throws {
    try check([move], on: card, from: from, into: into, format, line: line)
  }

  private func check(
    _ moves: [Move], on card: Card? = nil, from: (Int, Int), into: (Int, Int),
    _ format: TileFormat, line: UInt = #line
  ) throws {
    let card = try card ?? self.card()
    let tables = try moves.map { move in
      try move.ids.map { ids in
        let table = try card.allocateTable(count: ids.count)
        try card.upload(ids, to: table)
        return table
      }
    }
    defer { for table in tables { if let table { card.free(table) } } }
    try compare(
      card, from: from, into: into, format, what: "\(moves)", line: line,
      want: { a, out in for move in moves { move.apply(a, to: &out) } },
      record: { builder, a, out in
        for (move, table) in zip(moves, tables) { try move.record(&builder, a, table, out) }
      })
  }

  private func checkReshape(
    _ rows: Int, _ columns: Int, _ outColumns: Int, _ format: TileFormat, on card: Card? = nil,
    line: UInt = #line
  ) throws {
    let outRows = rows * columns / outColumns
    try compare(
      card ?? self.card(), from: (rows, columns), into: (outRows, outColumns), format,
      what: "[\(rows), \(columns)] to [\(outRows), \(outColumns)]", line: line,
      want: { a, out in
        for i in 0..<rows * columns {
          out[i / outColumns, i % outColumns] = a[i / columns, i % columns]
        }
      },
      record: { builder, a, out in try builder.reshape(a, into: out) })
  }

  private func compare(
    _ card: Card, from: (Int, Int), into: (Int, Int), _ format: TileFormat, what: String,
    line: UInt, want: (Bits, inout Bits) -> Void,
    record: (inout CommandBuilder, Matrix, Matrix) throws -> Void
  ) throws {
    let a = try card.allocate(rows: from.0, columns: from.1, format: format)
    let out = try card.allocate(rows: into.0, columns: into.1, format: format)
    defer {
      card.free(a)
      card.free(out)
    }
    let source = Bits(a, &random)
    var expected = Bits(out, &random)
    try card.upload(source.values, to: a.withPadding)
    try card.upload(expected.values, to: out.withPadding)
    want(source, &expected)
    try card.run { builder in try record(&builder, a, out) }
    let got = try card.download(out.withPadding)
    let wrong = got.indices.filter { got[$0].bitPattern != expected.values[$0].bitPattern }
    if let first = wrong.first {
      XCTFail(
        "\(wrong.count) elements of \(format) differ, the first at \(first / expected.width), "
          + "\(first % expected.width): \(what)", line: line)
    }
  }
}

extension Matrix {
  /// The same memory, whose padding counts as elements.
  fileprivate var withPadding: Matrix {
    Matrix(rows: tileRows * 32, columns: tileColumns * 32, format: format, base: base)
  }
}
