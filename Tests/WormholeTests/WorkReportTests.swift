import XCTest

@testable import TensixISA
@testable import Wormhole

/// The split of products, and what lists are said to cost.
final class WorkReportTests: DeviceTestCase {
  /// Every output tile and every step of its sum is in exactly one unit.
  func testSplitsCoverTheProduct() throws {
    for tiles in [1, 7, 56, 64, 72, 80] {
      for (rows, inner, columns) in [
        (1, 1, 1), (2, 1, 32), (2, 32, 32), (2, 64, 32), (2, 32, 1), (32, 128, 128), (26, 36, 64),
        (1, 300, 1), (3, 7, 5), (1, 700, 3),
      ] {
        let shape = WorkSplit.Shape(
          rows: rows, columns: columns, inner: inner, aBytes: 2048, bBytes: 2048, phases: 3)
        let split = try XCTUnwrap(WorkSplit.best(for: shape, tiles: tiles))
        let what = "\(shape) on \(tiles): \(split)"
        XCTAssertLessThanOrEqual(split.blockRows, WorkSplit.maximumRows, what)
        XCTAssertLessThanOrEqual(split.blockRows * split.chunk, Int(Buffer.leftDepth), what)
        XCTAssertGreaterThanOrEqual(split.chunk * split.planes, inner, what)
        XCTAssertLessThan(split.chunk * (split.planes - 1), inner, what)
        let most = min(tiles, rows * inner * columns)
        if inner <= 64 { XCTAssertGreaterThanOrEqual(split.units * 10, most * 9, what) }
      }
    }
  }

  func testReportOfAChain() throws {
    let card = try card()
    let x = try card.reserve(rows: 51, columns: 1024, format: .bfloat16)
    let w = try card.reserve(rows: 1024, columns: 1024, format: .bfloat16)
    let y = try card.reserve(rows: 51, columns: 1024, format: .bfloat16)
    defer { for matrix in [x, w, y] { card.free(matrix) } }
    var builder = CommandBuilder(for: card)
    try builder.linear(x, w, activation: .silu, into: y)
    let buffer = try card.allocateHostBuffer(for: y)
    defer { card.free(buffer) }
    try builder.download(y, to: buffer)
    let list = try card.load(builder)
    defer { card.free(list) }
    let report = card.report(on: list)
    XCTAssertGreaterThanOrEqual(report.matrixShare, 0.9)
    XCTAssertEqual(report.hostBytesOut, 4 + y.byteCount)
    XCTAssertGreaterThanOrEqual(report.dramBytesRead, x.byteCount + w.byteCount + y.byteCount)
    XCTAssertEqual(report.matrixInstructions, 2 * 32 * 32 * 16 * 3)
    XCTAssertGreaterThan(report.microsecondsAtLeast, Double(w.byteCount) / 288_000)
    XCTAssertTrue(report.description.contains("1 doorbell"), report.description)
    print(report)
  }
}
