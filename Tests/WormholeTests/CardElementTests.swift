import XCTest

@testable import Wormhole

/// Element-wise commands on the card against float32.
final class CardElementTests: DeviceTestCase {
  func testCombinations() throws {
    let card = try card()
    var values = Values(seed: 4)
    for (rows, columns) in [(1, 1), (51, 32), (70, 100), (300, 1024)] {
      let x = values.array(rows * columns)
      let a = try card.matrix(x, rows: rows, columns: columns)
      for (bRows, bColumns) in Set([[rows, columns], [1, columns], [rows, 1], [1, 1]])
        .sorted(by: { $0.lexicographicallyPrecedes($1) })  // in the same order on each device
        .map({ ($0[0], $0[1]) })
      {
        let y = values.array(bRows * bColumns)
        let b = try card.matrix(y, rows: bRows, columns: bColumns)
        let sum = try card.allocate(rows: rows, columns: columns)
        let scaled = try card.allocate(rows: rows, columns: columns)
        try card.run { builder in
          try builder.binary(.add, a, b, into: sum)
          try builder.binary(.multiply, a, b, into: scaled)
        }
        func second(_ i: Int) -> Float {
          y[(bRows == 1 ? 0 : i / columns) * bColumns + (bColumns == 1 ? 0 : i % columns)]
        }
        let what = "[\(rows), \(columns)] and [\(bRows), \(bColumns)]"
        assertClose(
          try card.download(sum), x.indices.map { x[$0] + second($0) }, rms: 0.003, "add \(what)")
        assertClose(
          try card.download(scaled), x.indices.map { x[$0] * second($0) }, rms: 0.003,
          "multiply \(what)")
        for matrix in [b, sum, scaled] { card.free(matrix) }
      }
      card.free(a)
    }
  }

  /// Several blocks a tile: what the activation changes must not last.
  func testActivationOfABroadcastSum() throws {
    let card = try card()
    var values = Values(seed: 7)
    let x = values.array(300 * 512)
    let a = try card.matrix(x, rows: 300, columns: 512)
    let out = try card.allocate(rows: 300, columns: 512)
    for (rows, columns) in [(1, 512), (300, 1), (1, 1)] {
      let y = values.array(rows * columns)
      let b = try card.matrix(y, rows: rows, columns: columns)
      try card.run { try $0.binary(.add, a, b, activation: .gelu, into: out) }
      let want = x.indices.map { i in
        gelu(x[i] + y[(rows == 1 ? 0 : i / 512) * columns + (columns == 1 ? 0 : i % 512)])
      }
      assertClose(try card.download(out), want, rms: 0.003, "[\(rows), \(columns)]")
      card.free(b)
    }
    for matrix in [a, out] { card.free(matrix) }
  }

  /// float32 with float32 keeps every bit that it can; with bfloat16, eleven.
  func testFloat32() throws {
    let card = try card()
    var values = Values(seed: 6)
    let x = (0..<70 * 100).map { _ in values.next() }, y = x.map { _ in values.next() }
    let a = try card.matrix(x, rows: 70, columns: 100, .float32)
    let b = try card.matrix(y, rows: 70, columns: 100, .float32)
    let out = try card.allocate(rows: 70, columns: 100, format: .float32)
    try card.run { try $0.binary(.add, a, b, scale: -0.1, into: out) }
    assertClose(
      try card.download(out), x.indices.map { x[$0] - 0.1 * y[$0] }, rms: 1e-7, "x - y / 10")
    try card.run { try $0.binary(.multiply, a, b, into: out) }
    assertClose(try card.download(out), x.indices.map { x[$0] * y[$0] }, rms: 1e-7, "x y")
    try card.run { try $0.binary(.add, a, b, activation: .silu, into: out) }
    assertClose(
      try card.download(out), x.indices.map { silu(x[$0] + y[$0]) }, rms: 1e-5, "silu(x + y)")
    let row = try card.matrix(Array(y.prefix(100)), rows: 1, columns: 100)
    try card.run { try $0.binary(.add, a, row, into: out) }
    assertClose(
      try card.download(out),
      x.indices.map { x[$0] + TileCodec.float(TileCodec.bfloat16(y[$0 % 100])) }, rms: 0.001,
      "x + row")
    for matrix in [a, b, out, row] { card.free(matrix) }
  }

  func testUnary() throws {
    let card = try card()
    var values = Values(seed: 5)
    let x = values.array(51 * 100, scale: 8)
    for format in [TileFormat.bfloat16, .float32] {
      let a = try card.matrix(x, rows: 51, columns: 100, format)
      for outFormat in [TileFormat.bfloat16, .float32] {
        let out = try card.allocate(rows: 51, columns: 100, format: outFormat)
        let limit = outFormat == .float32 ? 2e-5 : 0.003
        try card.run { try $0.unary(a, into: out) }
        XCTAssertEqual(try card.download(out), x, "\(format) to \(outFormat)")
        try card.run { try $0.unary(a, activation: .silu, into: out) }
        assertClose(try card.download(out), x.map(silu), rms: limit, "silu")
        try card.run { try $0.unary(a, activation: .gelu, into: out) }
        assertClose(try card.download(out), x.map(gelu), rms: limit, "gelu")
        if format == .float32 {
          try card.run { try $0.unary(a, scale: -1.25, into: out) }
          assertClose(try card.download(out), x.map { $0 * -1.25 }, rms: limit, "scale")
        }
        card.free(out)
      }
      card.free(a)
    }
  }

  /// Where exp would overflow.
  func testActivationsFarOut() throws {
    let card = try card()
    let x: [Float] = [-3e38, -1e4, -200, -88, -0.0, 0, 88, 200, 1e4, 1e18]
    let a = try card.matrix(x, rows: 1, columns: x.count, .float32)
    let out = try card.allocate(rows: 1, columns: x.count, format: .float32)
    for activation in [Activation.silu, .gelu] {
      try card.run { try $0.unary(a, activation: activation, into: out) }
      let got = try card.download(out)
      for (x, y) in zip(x, got) {
        XCTAssertEqual(y, x > 0 ? x : 0, accuracy: abs(x) * 1e-6, "\(activation)(\(x))")
      }
    }
    card.free(a)
    card.free(out)
  }
}
