import XCTest

@testable import Wormhole

/// Boot, lists, movement and failure, without arithmetic.
final class CardTests: DeviceTestCase {
  func testWhatIsUploadedComesBack() throws {
    let card = try card()
    var values = Values(seed: 1)
    for (rows, columns) in [(1, 1), (32, 32), (33, 65), (51, 1024), (7, 416)] {
      let x = values.array(rows * columns)
      for format in [TileFormat.bfloat16, .float32] {
        let matrix = try card.matrix(x, rows: rows, columns: columns, format)
        XCTAssertEqual(try card.download(matrix), x)
        card.free(matrix)
      }
      // The same transposed, a row of tiles after the other.
      let turned = try card.reserve(rows: columns, columns: rows, format: .bfloat16)
      try card.upload(to: turned) { range, target, stride in
        for (i, row) in range.enumerated() {
          for column in 0..<rows { target[i * stride + column] = x[column * columns + row] }
        }
      }
      XCTAssertEqual(
        try card.download(turned),
        (0..<x.count).map { x[$0 % rows * columns + $0 / rows] })
      card.free(turned)
      let matrix = try card.matrix(x, rows: rows, columns: columns, .bfp8)
      if x.count > 1 { assertClose(try card.download(matrix), x, rms: 0.01, pcc: 0.9999) }
      card.free(matrix)
      let short = try card.matrix(x, rows: rows, columns: columns, .bfp8LoFi)
      let rounded = try card.download(short)
      if x.count > 1 { assertClose(rounded, x, rms: 0.02, pcc: 0.999) }
      XCTAssertTrue(rounded.allSatisfy { $0.significandBitPattern & 0x7_FFFF == 0 })
      card.free(short)
    }
  }

  func testNothingGoesRound() throws {
    let card = try card()
    let report = try card.run { builder in for _ in 0..<500 { builder.nothing() } }
    XCTAssertEqual(report.commands, 500)
    XCTAssertEqual(report.doorbells, 1)
    XCTAssertEqual(report.transport.writes, 1, "the doorbell")
    XCTAssertEqual(report.transport.reads, 0, "completion comes by itself")
  }

  func testCopyAndDownload() throws {
    let card = try card()
    var values = Values(seed: 2)
    let x = values.array(51 * 1024), y = values.array(51 * 64)
    let a = try card.matrix(x, rows: 51, columns: 1024)
    let b = try card.matrix(y, rows: 51, columns: 64)
    let both = try card.allocate(rows: 51, columns: 1088)
    let buffer = try card.allocateHostBuffer(for: both)
    try card.run { builder in
      try builder.copy(a, into: both)
      try builder.copy(b, into: both, outColumn: 1024)
      try builder.download(both, to: buffer)
    }
    var want: [Float] = []
    for row in 0..<51 {
      want += x[(row * 1024)..<(row * 1024 + 1024)]
      want += y[(row * 64)..<(row * 64 + 64)]
    }
    XCTAssertEqual(try card.download(both), want)
    XCTAssertEqual(try card.values(of: buffer), want)
    for matrix in [a, b, both] { card.free(matrix) }
    card.free(buffer)
  }

  /// Commands that do not wait for the one before give what they give one at a time, bit by bit.
  func testIndependentCommands() throws {
    let card = try card()
    var values = Values(seed: 13)
    let starts = (0..<5).map { _ in values.array(70 * 70) }
    func pool() throws -> [Matrix] {
      try starts.map { try card.matrix($0, rows: 70, columns: 70) }
    }
    func pick() -> Int { min(4, Int((values.next() + 0.5) * 5)) }
    for _ in 0..<6 {
      let (together, apart) = (try pool(), try pool())
      defer { for matrix in together + apart { card.free(matrix) } }
      var all = CommandBuilder(for: card)
      for _ in 0..<40 {
        let (a, b, kind) = (pick(), pick(), pick())
        var out = pick()
        while out == a || out == b { out = (out + 1) % 5 }
        func record(_ x: [Matrix], _ builder: inout CommandBuilder) throws {
          switch kind {
          case 0: try builder.linear(x[a], x[b], into: x[out], weightIsConstant: false)
          case 1: try builder.copy(x[a], into: x[out])
          case 2: try builder.binary(.add, x[a], x[b], into: x[out])
          case 3: try builder.unary(x[a], activation: .silu, into: x[out])
          default: try builder.gather(x[a], rows: 70, columns: 70, into: x[out])
          }
        }
        try record(together, &all)
        var one = CommandBuilder(for: card)
        try record(apart, &one)
        let list = try card.load(one)
        try card.run(list, deadline: .seconds(20))
        card.free(list)
      }
      XCTAssertGreaterThan(all.commands.count(where: \.isIndependent), 3)
      XCTAssertTrue(all.commands.contains { !$0.isIndependent })
      let list = try card.load(all)
      try card.run(list, deadline: .seconds(20))
      card.free(list)
      for (a, b) in zip(together, apart) {
        let (x, y) = (try card.download(a), try card.download(b))
        XCTAssertEqual(x.map(\.bitPattern), y.map(\.bitPattern))
      }
    }
  }

  /// Weights come while earlier commands are at work, in both formats, some behind commands that need their buffer.
  /// Commands of one list give what they give one at a time, bit by bit.
  func testWeightsAhead() throws {
    let card = try card()
    var values = Values(seed: 17)
    let rows = 51, width = 1024
    let weights = try [TileFormat.bfloat16, .bfp8].map {
      try card.matrix(
        values.array(width * width, scale: 2 / Float(width).squareRoot()), rows: width,
        columns: width, $0)
    }
    let starts = (0..<4).map { _ in values.array(rows * width) }
    func pool() throws -> [Matrix] {
      try starts.map { try card.matrix($0, rows: rows, columns: width) }
    }
    let (together, apart) = (try pool(), try pool())
    defer { for matrix in together + apart + weights { card.free(matrix) } }
    enum Step { case norm, product(Int), sum(Int), add }
    let steps: [Step] = [
      .norm, .product(1), .sum(1), .product(0), .add, .sum(0), .product(1),
    ]
    func record(_ number: Int, _ x: [Matrix], _ builder: inout CommandBuilder) throws {
      let (a, b, out) = (x[number % 4], x[(number + 3) % 4], x[(number + 1) % 4])
      switch steps[number] {
      case .norm: try builder.normalize(a, centred: false, weight: nil, epsilon: 1e-6, into: out)
      case .product(let weight): try builder.linear(a, weights[weight], into: out)
      case .sum(let weight): try builder.linear(a, weights[weight], residual: b, into: out)
      case .add: try builder.binary(.add, a, b, into: out)
      }
    }
    var all = CommandBuilder(for: card)
    for number in steps.indices {
      try record(number, together, &all)
      try card.run { try record(number, apart, &$0) }
    }
    let list = try card.load(all)
    defer { card.free(list) }
    try card.run(list, deadline: .seconds(20))
    for (a, b) in zip(together, apart) {
      XCTAssertEqual(try card.download(a), try card.download(b))
    }
  }
}
