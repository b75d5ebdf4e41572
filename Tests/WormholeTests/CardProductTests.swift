import XCTest

@testable import Wormhole

/// Products on the card against float64 sums.
final class CardProductTests: DeviceTestCase {
  func check(
    rows: Int, inner: Int, columns: Int, bias: Bool = true, residual: Bool = false,
    activation: Activation = .none, a aFormat: TileFormat = .bfloat16,
    weight format: TileFormat = .bfloat16,
    out outFormat: TileFormat = .bfloat16, rms: Double? = nil, seed: UInt64 = 3
  ) throws {
    let card = try card()
    // With weights in bfp8, activations lose the last of their eight bits.
    let rms = rms ?? (format.isShared ? 0.005 : 0.003)
    var values = Values(seed: seed)
    let x = values.array(rows * inner)
    let w = values.array(inner * columns, scale: 2 / Float(inner).squareRoot())
    let b = values.array(columns), r = values.array(rows * columns)
    let a = try card.matrix(x, rows: rows, columns: inner, aFormat)
    let weight = try card.matrix(w, rows: inner, columns: columns, format)
    let biasMatrix = bias ? try card.matrix(b, rows: 1, columns: columns) : nil
    let residualMatrix = residual ? try card.matrix(r, rows: rows, columns: columns) : nil
    let out = try card.allocate(rows: rows, columns: columns, format: outFormat)
    try card.run { builder in
      try builder.linear(
        a, weight, bias: biasMatrix, residual: residualMatrix, activation: activation, into: out)
    }
    let used = format.isShared ? try card.download(weight) : w
    var want = product(x, used, rows: rows, inner: inner, columns: columns)
    for i in want.indices {
      if bias { want[i] += b[i % columns] }
      if residual { want[i] += r[i] }
      switch activation {
      case .none: break
      case .silu: want[i] = silu(want[i])
      case .gelu: want[i] = gelu(want[i])
      }
    }
    assertClose(
      try card.download(out), want, rms: rms, "[\(rows), \(inner)] x [\(inner), \(columns)]")
    for matrix in [a, weight, out] { card.free(matrix) }
    for matrix in [biasMatrix, residualMatrix] { if let matrix { card.free(matrix) } }
  }

  func testOneTile() throws { try check(rows: 32, inner: 32, columns: 32, bias: false) }
  func testBias() throws { try check(rows: 51, inner: 32, columns: 1024) }
  func testSiLU() throws { try check(rows: 51, inner: 64, columns: 96, activation: .silu) }
  func testGelu() throws { try check(rows: 51, inner: 64, columns: 96, activation: .gelu) }
  func testResidual() throws {
    try check(rows: 100, inner: 96, columns: 64, residual: true, activation: .gelu)
  }
  func testPlanes() throws { try check(rows: 51, inner: 1024, columns: 1024, activation: .silu) }
  func testPlanesWithResidual() throws {
    try check(rows: 70, inner: 512, columns: 40, residual: true)
  }
  /// More planes than L1 has room for go through DRAM.
  func testManyPlanes() throws {
    let shape = WorkSplit.Shape(
      rows: 1, columns: 1, inner: 64, aBytes: 2048, bBytes: 2048, phases: 3)
    let tiles = try card().tiles.count
    let split = try XCTUnwrap(WorkSplit.best(for: shape, tiles: tiles))
    XCTAssertFalse(split.planesFitTiles(shape, tiles: tiles))
    try check(rows: 1, inner: 2048, columns: 32, residual: true)
  }
  func testFloat32Out() throws {
    try check(rows: 51, inner: 64, columns: 96, out: .float32, rms: 0.0005)
  }
  func testBfp8Weights() throws {
    try check(rows: 51, inner: 256, columns: 96, weight: .bfp8)
  }
  /// One chunk, so that the product itself adds bias and residual.
  func testFormatsWithAddends() throws {
    for a in [TileFormat.bfloat16, .float32] {
      for weight in TileFormat.allCases {
        for columns in [40, 5120] {
          try check(
            rows: 70, inner: 64, columns: columns, residual: true, a: a, weight: weight,
            out: columns == 40 ? .float32 : .bfloat16)
        }
      }
    }
  }
  /// Of float32 values eleven bits count, cut off: each operand is less than 2^-10 off.
  func testFloat32Values() throws {
    let card = try card()
    var values = Values(seed: 8)
    let x = (0..<70 * 300).map { _ in values.next() }, y = (0..<300 * 96).map { _ in values.next() }
    let a = try card.matrix(x, rows: 70, columns: 300, .float32)
    let b = try card.matrix(y, rows: 300, columns: 96, .float32)
    let out = try card.allocate(rows: 70, columns: 96, format: .float32)
    try card.run { try $0.linear(a, b, into: out, weightIsConstant: false) }
    assertClose(
      try card.download(out), product(x, y, rows: 70, inner: 300, columns: 96), rms: 2 / 1024)
    for matrix in [a, b, out] { card.free(matrix) }
  }
  func testManyRows() throws { try check(rows: 300, inner: 160, columns: 288) }

  // MARK: - On the whole grid

  /// Widths of groups from one to four, columns of the grid with less work and with none, addends, formats.
  func testGrid() throws {
    for columns in [32, 300, 1000] {
      try check(rows: 350, inner: 100, columns: columns, residual: true, weight: .bfp8)
    }
    try check(rows: 257, inner: 32, columns: 64, bias: false)
    try check(rows: 350, inner: 64, columns: 640, activation: .gelu, weight: .bfp8)
    try check(rows: 350, inner: 320, columns: 640, residual: true, weight: .bfp8LoFi)
    try check(rows: 51, inner: 320, columns: 640, residual: true, weight: .bfp8LoFi)
    try check(
      rows: 350, inner: 64, columns: 640, activation: .silu, weight: .bfp8, out: .float32)
  }
  /// Two rows to a tile, one in the last row of the grid.
  func testGridRows() throws {
    try check(rows: 600, inner: 64, columns: 96, residual: true, weight: .bfp8)
  }
  /// Sums that are added up chunk by chunk.
  func testGridChunks() throws {
    let card = try card()
    let plan = try XCTUnwrap(
      GridPlan(
        GridPlan.Shape(
          rows: 11, columns: 33, inner: 160, weightBytes: 1088, isGated: false,
          gridRows: XCTUnwrap(card.gridRows))))
    XCTAssertLessThan(plan.chunk, 160)
    try check(rows: 340, inner: 5120, columns: 1056, residual: true, weight: .bfp8)
  }
  /// More rows than a command takes.
  func testGridBands() throws { try check(rows: 1500, inner: 32, columns: 32) }
  /// More sums that are not finished than L1 has room for are two bands, too.
  func testBandsOfUnfinishedSums() throws {
    let card = try card()
    let gridRows = try XCTUnwrap(card.gridRows)
    let shape = GridPlan.Shape(
      rows: 4 * gridRows, columns: 56, inner: 128, weightBytes: 1088, isGated: false,
      gridRows: gridRows)
    XCTAssertNil(GridPlan(shape))
    let (rows, inner, columns) = (32 * shape.rows - 20, 32 * shape.inner, 32 * shape.columns)
    let a = try card.allocate(rows: rows, columns: inner)
    let weight = try card.allocate(rows: inner, columns: columns, format: .bfp8)
    let out = try card.allocate(rows: rows, columns: columns)
    defer { for matrix in [a, weight, out] { card.free(matrix) } }
    var builder = CommandBuilder(for: card)
    try builder.linear(a, weight, into: out)
    let half = 2 * gridRows
    XCTAssertEqual(
      builder.commands.map { $0.plan(tiles: card.tiles.count, clock: 1000).shape },
      [String](repeating: "\(half) x 56 x 128", count: 2))
  }

  /// gelu(a g) * (a u)
  func testGatedProduct() throws {
    let card = try card()
    let (rows, inner, columns) = (350, 128, 400)
    for format in [TileFormat.bfp8, .bfp8LoFi, .bfloat16] {
      var values = Values(seed: 5)
      let x = values.array(rows * inner)
      let a = try card.matrix(x, rows: rows, columns: inner)
      let weights = try (0..<2).map { _ in
        try card.matrix(
          values.array(inner * columns, scale: 2 / Float(inner).squareRoot()), rows: inner,
          columns: columns, format)
      }
      let out = try card.allocate(rows: rows, columns: columns)
      try card.run { builder in
        XCTAssertTrue(
          try builder.gatedLinear(
            a, gate: weights[0], up: weights[1], activation: .gelu, into: out))
      }
      let products = try weights.map {
        product(x, try card.download($0), rows: rows, inner: inner, columns: columns)
      }
      assertClose(
        try card.download(out), zip(products[0], products[1]).map { gelu($0) * $1 },
        rms: format.isShared ? 0.008 : 0.004, "\(format)")
      for matrix in [a, out] + weights { card.free(matrix) }
    }
  }
  /// residual + (a w) * gate, of a sum in parts; where it has none, the card has no command for it.
  func testGatedResidual() throws {
    let card = try card()
    for (rows, inner, columns, out) in [
      (51, 1024, 1024, TileFormat.bfloat16), (20, 2048, 40, .float32),
    ] {
      var values = Values(seed: 9)
      let x = values.array(rows * inner), r = values.array(rows * columns)
      let w = values.array(inner * columns, scale: 2 / Float(inner).squareRoot())
      let g = values.array(columns)
      let a = try card.matrix(x, rows: rows, columns: inner)
      let weight = try card.matrix(w, rows: inner, columns: columns, .bfp8)
      let gate = try card.matrix(g, rows: 1, columns: columns)
      let residual = try card.matrix(r, rows: rows, columns: columns)
      let result = try card.allocate(rows: rows, columns: columns, format: out)
      try card.run { builder in
        XCTAssertTrue(
          try builder.linear(a, weight, gate: gate, residual: residual, into: result))
        XCTAssertEqual(builder.commands.count, 2)
      }
      var want = product(x, try card.download(weight), rows: rows, inner: inner, columns: columns)
      for i in want.indices { want[i] = want[i] * g[i % columns] + r[i] }
      assertClose(
        try card.download(result), want, rms: out == .float32 ? 0.0005 : 0.003, "\(columns) columns"
      )
      for matrix in [a, weight, gate, residual, result] { card.free(matrix) }
    }
    let a = try card.allocate(rows: 400, columns: 64)
    let weight = try card.allocate(rows: 64, columns: 64, format: .bfp8)
    let gate = try card.allocate(rows: 1, columns: 64)
    var builder = CommandBuilder(for: card)
    XCTAssertFalse(try builder.linear(a, weight, gate: gate, residual: a, into: a))
    XCTAssertTrue(builder.commands.isEmpty)
    for matrix in [a, weight, gate] { card.free(matrix) }
  }

  func testOddSizes() throws { try check(rows: 3, inner: 7, columns: 5) }

  /// Products of one matrix are one command, where nothing in between is in the way.
  func testJoinedProducts() throws {
    for (rows, rms) in [(51, 0.003), (350, 0.005)] { try checkJoined(rows: rows, rms: rms) }
  }
  private func checkJoined(rows: Int, rms: Double) throws {
    let card = try card()
    var values = Values(seed: 5)
    let inner = 256, widths = [96, 64, 40]
    let x = values.array(rows * inner)
    let a = try card.matrix(x, rows: rows, columns: inner)
    let weights = try widths.map { width in
      try card.matrix(
        values.array(inner * width, scale: 0.1), rows: inner, columns: width, .bfp8)
    }
    let outs = try widths.map { try card.allocate(rows: rows, columns: $0) }
    let other = try card.allocate(rows: rows, columns: 96)
    defer { for matrix in weights + outs + [a, other] { card.free(matrix) } }

    var builder = CommandBuilder(for: card)
    try builder.linear(a, weights[0], into: outs[0])
    try builder.copy(outs[0], into: other)
    try builder.linear(a, weights[1], into: outs[1])
    XCTAssertEqual(builder.commands.count, 2)
    // The copy writes it.
    try builder.linear(a, weights[0], into: other)
    XCTAssertEqual(builder.commands.count, 3)
    try builder.linear(a, weights[2], into: outs[2])
    XCTAssertEqual(builder.commands.count, 3)
    let list = try card.load(builder)
    defer { card.free(list) }
    try card.run(list)
    for (weight, out) in zip(weights + [weights[0]], outs + [other]) {
      let want = product(
        x, try card.download(weight), rows: rows, inner: inner, columns: weight.columns)
      assertClose(try card.download(out), want, rms: rms, "\(weight.columns) columns")
    }
  }
  /// Products of many rows may have a bias each.
  func testJoinedProductsWithBias() throws {
    let card = try card()
    var values = Values(seed: 6)
    let rows = 350, inner = 96, widths = [640, 96, 40]
    let x = values.array(rows * inner)
    let a = try card.matrix(x, rows: rows, columns: inner)
    let weights = try widths.map { width in
      try card.matrix(
        values.array(inner * width, scale: 0.1), rows: inner, columns: width, .bfp8)
    }
    let biases = widths.map { values.array($0) }
    let rowsOfBias = try biases.map { try card.matrix($0, rows: 1, columns: $0.count) }
    let outs = try widths.map { try card.allocate(rows: rows, columns: $0) }
    let plain = try card.allocate(rows: rows, columns: 40)
    defer { for matrix in weights + rowsOfBias + outs + [a, plain] { card.free(matrix) } }

    try card.run { builder in
      for i in 0..<3 {
        try builder.linear(a, weights[i], bias: rowsOfBias[i], into: outs[i])
        XCTAssertEqual(builder.commands.count, 1)
      }
      // There are three already.
      try builder.linear(a, weights[2], into: plain)
      XCTAssertEqual(builder.commands.count, 2)
      // It has a bias, and the one before has none.
      try builder.linear(a, weights[0], bias: rowsOfBias[0], into: outs[0])
      XCTAssertEqual(builder.commands.count, 3)
    }
    for (i, width) in widths.enumerated() {
      var want = product(
        x, try card.download(weights[i]), rows: rows, inner: inner, columns: width)
      for j in want.indices { want[j] += biases[i][j % width] }
      assertClose(try card.download(outs[i]), want, rms: 0.005, "\(width) columns")
    }
    let want = product(x, try card.download(weights[2]), rows: rows, inner: inner, columns: 40)
    assertClose(try card.download(plain), want, rms: 0.005)
  }
}
