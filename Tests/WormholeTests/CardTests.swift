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
      let matrix = try card.matrix(x, rows: rows, columns: columns, .bfp8)
      if x.count > 1 { assertClose(try card.download(matrix), x, rms: 0.01, pcc: 0.9999) }
      card.free(matrix)
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
}
