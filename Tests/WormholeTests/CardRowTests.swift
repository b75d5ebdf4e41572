import Foundation
import XCTest

@testable import Wormhole

/// Norms, rotary embedding and attention on the card against float64.
final class CardRowTests: DeviceTestCase {
  func checkNormalize(
    rows: Int, columns: Int, centred: Bool, weight: Bool, bias: Bool, offset: Float = 0,
    _ format: TileFormat = .bfloat16, shift: Float = 0
  ) throws {
    let card = try card()
    var values = Values(seed: 21)
    let x = values.array(rows * columns, scale: 2).map { $0 + shift }
    let w = values.array(columns), b = values.array(columns)
    let a = try card.matrix(x, rows: rows, columns: columns, format)
    let used = try card.download(a)
    let weightMatrix = weight ? try card.matrix(w, rows: 1, columns: columns, format) : nil
    let biasMatrix = bias ? try card.matrix(b, rows: 1, columns: columns, format) : nil
    let out = try card.allocate(rows: rows, columns: columns, format: format)
    try card.run {
      try $0.normalize(
        a, centred: centred, weight: weightMatrix, offset: offset, bias: biasMatrix,
        epsilon: 1e-6, into: out)
    }
    var want = used
    for row in 0..<rows {
      let values = used[row * columns..<(row + 1) * columns].map(Double.init)
      let mean = centred ? values.reduce(0, +) / Double(columns) : 0
      let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(columns)
      for column in 0..<columns {
        var y = (values[column] - mean) / (variance + 1e-6).squareRoot()
        if weight { y *= Double(offset + w[column]) }
        if bias { y += Double(b[column]) }
        want[row * columns + column] = Float(y)
      }
    }
    assertClose(
      try card.download(out), want, rms: format == .bfloat16 ? 0.003 : 0.001,
      "[\(rows), \(columns)] \(format)")
    for matrix in [a, out, weightMatrix, biasMatrix] { if let matrix { card.free(matrix) } }
  }

  func testRMSNorm() throws {
    try checkNormalize(rows: 51, columns: 64, centred: false, weight: false, bias: false)
    try checkNormalize(
      rows: 51, columns: 1024, centred: false, weight: true, bias: false, offset: 1)
    try checkNormalize(rows: 3, columns: 40, centred: false, weight: true, bias: true, offset: 1)
    try checkNormalize(
      rows: 70, columns: 100, centred: false, weight: true, bias: false, offset: 1, .float32)
  }

  func testLayerNorm() throws {
    try checkNormalize(rows: 70, columns: 128, centred: true, weight: true, bias: true)
    try checkNormalize(rows: 33, columns: 40, centred: true, weight: true, bias: true, shift: 1)
    try checkNormalize(rows: 5, columns: 1152, centred: true, weight: false, bias: true)
    try checkNormalize(rows: 40, columns: 40, centred: true, weight: true, bias: true, .float32)
  }

  /// Rows of the grid share them, each tile of the card a part of their columns.
  func testNormOfManyRows() throws {
    try checkNormalize(rows: 400, columns: 256, centred: false, weight: false, bias: false)
    try checkNormalize(
      rows: 780, columns: 512, centred: false, weight: true, bias: false, offset: 1)
    try checkNormalize(
      rows: 500, columns: 250, centred: false, weight: true, bias: true, offset: 1, .float32)
    try checkNormalize(
      rows: 400, columns: 1130, centred: true, weight: true, bias: true, shift: 1)
    try checkNormalize(rows: 390, columns: 500, centred: true, weight: true, bias: false, .float32)
    try checkNormalize(rows: 1600, columns: 256, centred: true, weight: false, bias: true)
  }

  /// Norms that go on with what tiles have added up, before a product and alone; where a row has more columns than tiles
  /// share it, they read it.
  func testNormOfASum() throws {
    let card = try card()
    try NormOfASum(rows: 51, inner: 1024, columns: 1024, next: 640).check(on: card, isTaken: true)
    try NormOfASum(rows: 20, inner: 2048, columns: 480, next: 640).check(
      on: card, isTaken: true, bias: true)
    try NormOfASum(rows: 64, inner: 1024, columns: 160, next: 640).check(on: card, isTaken: true)
    try NormOfASum(rows: 51, inner: 2048, columns: 256, next: 640, isGated: true).check(
      on: card, isTaken: true)
    try NormOfASum(rows: 51, inner: 1024, columns: 1056, next: 640).check(
      on: card, isTaken: false)
    let alone = NormOfASum(rows: 51, inner: 1024, columns: 512, next: 0)
    try alone.check(on: card, isTaken: true)
    try alone.check(on: card, isTaken: false, inPlace: true)
    // What the product adds is not there yet.
    let sum = NormOfASum(rows: 20, inner: 2048, columns: 256, next: 256)
    try sum.check(on: card, isTaken: true, addsSum: true)
  }

  func testRotate() throws {
    let card = try card()
    var values = Values(seed: 22)
    for (rows, heads, width, half) in [
      (51, 2, 64, 32), (70, 8, 256, 128), (20, 3, 32, 8), (40, 12, 64, 32), (33, 2, 96, 16),
    ] {
      let x = values.array(rows * heads * width)
      let c = values.array(rows * width), s = values.array(rows * width)
      var r = [Float](repeating: 0, count: width * width)
      for i in 0..<2 * half {
        let from = (i + half) % (2 * half)
        r[from * width + i] = i < half ? -1 : 1
      }
      let a = try card.matrix(x, rows: rows, columns: heads * width)
      let cosine = try card.matrix(c, rows: rows, columns: width)
      let sine = try card.matrix(s, rows: rows, columns: width)
      let rMatrix = try card.matrix(r, rows: width, columns: width)
      let out = try card.allocate(rows: rows, columns: heads * width)
      try card.run {
        try $0.rotate(
          a, heads: heads, cosine: cosine, sine: sine, r: rMatrix,
          distance: half % 32 == 0 ? half / 32 : 0, into: out)
      }
      var want = x
      for row in 0..<rows {
        for head in 0..<heads {
          for i in 0..<width {
            let place = (row * heads + head) * width
            let other: Float =
              i >= 2 * half ? 0 : i < half ? -x[place + i + half] : x[place + i - half]
            want[place + i] = x[place + i] * c[row * width + i] + other * s[row * width + i]
          }
        }
      }
      assertClose(try card.download(out), want, rms: 0.003, "\(heads) heads of \(width)")
      for matrix in [a, cosine, sine, rMatrix, out] { card.free(matrix) }
    }
  }

  func checkAttention(
    rows: Int, keys: [Int], heads: Int, sharedHeads: Int, width: Int, batch: Int = 1,
    masked: Bool = false, late: Bool = false, turned: Bool = false
  ) throws {
    let card = try card()
    var values = Values(seed: 23)
    let total = keys.reduce(0, +)
    let scale = 1 / Float(width).squareRoot()
    var q = values.array(batch * rows * heads * width, scale: 3)
    var segments: [CommandBuilder.KeySegment] = []
    var k: [[Float]] = [], v: [[Float]] = []
    for count in keys {
      k.append(values.array(batch * count * sharedHeads * width, scale: 1))
      v.append(values.array(batch * count * sharedHeads * width))
      segments.append(
        .init(
          keys: try card.matrix(k[k.count - 1], rows: batch * count, columns: sharedHeads * width),
          values: try card.matrix(
            v[v.count - 1], rows: batch * count, columns: sharedHeads * width)))
    }
    let blocked: Float = -3e38
    // Row 0 sees the first segment and one key of the last, or late keys alone.
    func sees(_ row: Int, _ key: Int) -> Bool {
      let first = total - (keys.last ?? 0)
      return !masked || row > 0 || (late ? key >= first : key <= first)
    }
    let padded = keys.map { ($0 + 31) / 32 * 32 }
    var mask: Matrix?
    if masked || padded != keys {
      let columns = masked ? rows : 32
      var m = [Float](repeating: blocked, count: padded.reduce(0, +) * columns)
      var top = 0, first = 0
      for (count, room) in zip(keys, padded) {
        for key in 0..<count {
          for row in 0..<columns where sees(masked ? row : 1, first + key) {
            m[(top + key) * columns + row] = 0
          }
        }
        top += room
        first += count
      }
      mask = try card.matrix(m, rows: top, columns: columns)
    }
    let a = try card.matrix(q, rows: batch * rows, columns: heads * width)
    let out = try card.allocate(rows: batch * rows, columns: heads * width)
    if turned {
      let half = width / 2
      let angles = values.array(rows * half, scale: 3)
      func table(_ function: (Float) -> Float) -> [Float] {
        (0..<rows * width).map {
          TileCodec.float(
            TileCodec.bfloat16(function(angles[$0 / width * half + $0 % half])))
        }
      }
      let (c, s) = (table(cos), table(sin))
      func turn(_ x: [Float], _ heads: Int) -> [Float] {
        (0..<rows * heads * width).map {
          let i = $0 % width, place = $0 / (heads * width) * width + i
          let other = i < half ? -x[$0 + half] : x[$0 - half]
          return TileCodec.float(TileCodec.bfloat16(x[$0] * c[place] + other * s[place]))
        }
      }
      let cosine = try card.matrix(c, rows: rows, columns: width)
      let sine = try card.matrix(s, rows: rows, columns: width)
      try card.run {
        XCTAssertTrue(
          try $0.turnedAttention(
            a, segments, heads: heads, cosine: cosine, sine: sine, mask: mask, scale: scale,
            into: out))
      }
      q = turn(q, heads)
      k[1] = turn(k[1], sharedHeads)
      card.free(cosine)
      card.free(sine)
    } else {
      try card.run {
        try $0.attention(
          a, segments, heads: heads, sharedHeads: sharedHeads, batch: batch, mask: mask,
          scale: scale, into: out)
      }
    }
    var want = q
    for item in 0..<batch {
      for head in 0..<heads {
        let shared = head / (heads / sharedHeads)
        func element(_ x: [[Float]], _ key: Int, _ i: Int) -> Double {
          var key = key, segment = 0
          while key >= keys[segment] {
            key -= keys[segment]
            segment += 1
          }
          return Double(
            x[segment][((item * keys[segment] + key) * sharedHeads + shared) * width + i])
        }
        for row in 0..<rows {
          let place = ((item * rows + row) * heads + head) * width
          var scores = [Double](repeating: -.infinity, count: total)
          for key in 0..<total where sees(row, key) {
            var sum = 0.0
            for i in 0..<width { sum += Double(q[place + i]) * element(k, key, i) }
            scores[key] = sum * Double(scale)
          }
          let top = scores.max() ?? 0
          let weights = scores.map { exp($0 - top) }
          let sum = weights.reduce(0, +)
          for i in 0..<width {
            var y = 0.0
            for key in 0..<total where weights[key] != 0 {
              y += weights[key] * element(v, key, i)
            }
            want[place + i] = Float(y / sum)
          }
        }
      }
    }
    assertClose(
      try card.download(out), want, rms: 0.005, "\(rows) rows, \(keys) keys, \(heads) heads")
    for matrix in [a, out, mask] { if let matrix { card.free(matrix) } }
    for segment in segments {
      card.free(segment.keys)
      card.free(segment.values)
    }
  }

  func testAttention() throws {
    try checkAttention(rows: 32, keys: [32], heads: 1, sharedHeads: 1, width: 32)
    try checkAttention(rows: 64, keys: [64], heads: 4, sharedHeads: 4, width: 96, batch: 3)
    try checkAttention(rows: 50, keys: [50], heads: 8, sharedHeads: 1, width: 256)
    // As many keys as a tile has room for.
    try checkAttention(rows: 32, keys: [968], heads: 2, sharedHeads: 2, width: 256)
    // All of a column's tiles have the same keys, and some no work.
    try checkAttention(
      rows: 330, keys: [300, 40], heads: 5, sharedHeads: 1, width: 64, masked: true)
    try checkAttention(
      rows: 51, keys: [268, 51], heads: 8, sharedHeads: 1, width: 256, masked: true)
    // Some columns of the grid have groups of heads of their own, some tiles several.
    try checkAttention(rows: 64, keys: [64], heads: 16, sharedHeads: 16, width: 64, batch: 3)
    try checkAttention(rows: 32, keys: [32], heads: 260, sharedHeads: 260, width: 32)
    // The first keys are masked, so probabilities by their maximum do not do.
    try checkAttention(
      rows: 330, keys: [300, 40], heads: 5, sharedHeads: 1, width: 64, masked: true, late: true)
    try checkAttention(
      rows: 70, keys: [150, 70], heads: 6, sharedHeads: 2, width: 32, masked: true, late: true)
    // As many keys as Dst has room for in each part, and more.
    try checkAttention(
      rows: 33, keys: [820, 33], heads: 2, sharedHeads: 1, width: 128, masked: true)
    try checkAttention(
      rows: 33, keys: [850, 33], heads: 2, sharedHeads: 1, width: 128, masked: true)
    try checkAttention(
      rows: 33, keys: [1340, 33], heads: 2, sharedHeads: 1, width: 128, masked: true, turned: true)
    try checkAttention(
      rows: 51, keys: [140, 51], heads: 8, sharedHeads: 1, width: 256, masked: true, turned: true)
    try checkAttention(
      rows: 70, keys: [40, 70], heads: 3, sharedHeads: 1, width: 128, turned: true)
    try checkAttention(rows: 33, keys: [7, 33], heads: 6, sharedHeads: 2, width: 32, masked: true)
  }
}

/// A product whose sum is taken in parts, its norm, and a product of that.
struct NormOfASum {
  let rows: Int
  let inner: Int
  let columns: Int
  /// Of the last product; 0 where there is none.
  let next: Int
  /// Whether the sum is multiplied by a row.
  var isGated = false

  /// The same bytes whether the commands follow one another or others stand between them, and the norm's values.
  func check(
    on card: Card, isTaken: Bool, bias: Bool = false, inPlace: Bool = false, addsSum: Bool = false
  ) throws {
    var values = Values(seed: 24)
    func matrix(
      _ rows: Int, _ columns: Int, _ scale: Float = 1, _ format: TileFormat = .bfloat16
    ) throws -> Matrix {
      let values = values.array(rows * columns, scale: scale)
      return try card.matrix(values, rows: rows, columns: columns, format)
    }
    let a = try matrix(rows, inner), weight = try matrix(inner, columns, 0.05, .bfp8)
    let residual = try matrix(rows, columns), scale = try matrix(1, columns)
    let biasMatrix = bias ? try matrix(1, columns) : nil
    let gate = isGated ? try matrix(1, columns) : nil
    let last = next == 0 ? nil : try matrix(columns, next, 0.1, .bfp8)
    let sum = try card.allocate(rows: rows, columns: columns)
    let normed = inPlace ? sum : try card.allocate(rows: rows, columns: columns)
    let out = next == 0 ? nil : try card.allocate(rows: rows, columns: next)
    let all =
      [a, weight, residual, scale, sum, biasMatrix, gate, last, out] + (inPlace ? [] : [normed])
    defer { for matrix in all { if let matrix { card.free(matrix) } } }

    func results(apart: Bool) throws -> [[Float]] {
      var builder = CommandBuilder(for: card)
      for _ in 0..<2 {  // twice, so that the second follows the first
        if let gate {
          XCTAssertTrue(try builder.linear(a, weight, gate: gate, residual: residual, into: sum))
        } else {
          try builder.linear(a, weight, bias: biasMatrix, residual: residual, into: sum)
        }
        if apart { builder.nothing() }
        try builder.normalize(
          sum, centred: false, weight: scale, offset: 1, bias: biasMatrix, epsilon: 1e-6,
          into: normed)
        XCTAssertEqual(builder.commands.last?.isIndependent, isTaken && !apart)
        if apart { builder.nothing() }
        if let last, let out {
          try builder.linear(normed, last, residual: addsSum ? sum : nil, into: out)
        }
      }
      let list = try card.load(builder)
      defer { card.free(list) }
      for matrix in [sum, normed, out] {
        guard let matrix else { continue }
        try card.upload([Float](repeating: 7, count: matrix.rows * matrix.columns), to: matrix)
      }
      try card.run(list, deadline: .seconds(120))
      return try [sum, normed, out].compactMap { try $0.map(card.download) }
    }
    let name = "[\(rows), \(inner)] x [\(inner), \(columns)], \(card.tiles.count) tiles"
    let got = try results(apart: false)
    XCTAssertEqual(got, try results(apart: true), name)
    guard !inPlace else { return }
    let w = try card.download(scale), b = try biasMatrix.map(card.download)
    var want = got[0]
    for row in 0..<rows {
      let values = got[0][row * columns..<(row + 1) * columns].map(Double.init)
      let mean = values.reduce(0) { $0 + $1 * $1 } / Double(columns)
      for column in 0..<columns {
        let y = values[column] / (mean + 1e-6).squareRoot() * Double(1 + w[column])
        want[row * columns + column] = Float(y) + (b?[column] ?? 0)
      }
    }
    assertClose(got[1], want, rms: 0.003, name)
  }
}
