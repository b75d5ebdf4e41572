import XCTest

@testable import PI0Kit

final class ComparisonTests: XCTestCase {
  private func compare(_ actual: [Float], _ expected: [Float]) throws -> Comparison {
    try Comparison(actual: actual, expected: expected)
  }

  func testFiguresByHand() throws {
    let comparison = try compare([1, 2, 3, 5], [1, 2, 3, 4])
    // Deviations from the means: -1.75 -0.75 0.25 2.25 and -1.5 -0.5 0.5 1.5.
    XCTAssertEqual(comparison.pcc, 6.5 / (8.75 * 5.0).squareRoot(), accuracy: 1e-12)
    XCTAssertEqual(comparison.maximumError, 1)
    XCTAssertEqual(comparison.relativeRMS, (1.0 / 30).squareRoot(), accuracy: 1e-12)
  }

  func testEachFigureSeesWhatTheOthersMiss() throws {
    let expected = (0..<100).map { Float($0) / 100 }
    let scaled = try compare(expected.map { $0 * 1.1 }, expected)
    XCTAssertEqual(scaled.pcc, 1, accuracy: 1e-9)
    XCTAssertFalse(Tolerance.float32.admits(scaled))
    let shifted = try compare(expected.map { $0 + 0.01 }, expected)
    XCTAssertEqual(shifted.pcc, 1, accuracy: 1e-9)
    XCTAssertFalse(Tolerance.float32.admits(shifted))
    XCTAssertTrue(Tolerance.float32.admits(try compare(expected, expected)))
  }

  func testNotANumberAndInfinity() throws {
    XCTAssertEqual(try compare([.nan, 1, 2], [.nan, 1, 2]).maximumError, 0)
    XCTAssertEqual(try compare([.nan, 1, 2], [0, 1, 2]).maximumError, .infinity)
    XCTAssertEqual(try compare([0, 1, 2], [.nan, 1, 2]).maximumError, .infinity)
    XCTAssertEqual(try compare([.infinity, 1], [.infinity, 1]).maximumError, 0)
    XCTAssertEqual(try compare([.infinity, 1], [-.infinity, 1]).maximumError, .infinity)
    XCTAssertFalse(Tolerance.float32.admits(try compare([.nan, 1, 2], [0, 1, 2])))
  }

  func testConstants() throws {
    XCTAssertEqual(try compare([2, 2], [2, 2]).pcc, 1)
    XCTAssertEqual(try compare([1, 2], [2, 2]).pcc, 0)
    XCTAssertEqual(try compare([1, 1], [0, 0]).relativeRMS, .infinity)
    XCTAssertEqual(try compare([], []).maximumError, 0)
    XCTAssertThrowsError(try compare([1], [1, 2]))
  }
}
