import XCTest

@testable import Wormhole

final class AlignedPartsTests: XCTestCase {
  /// Every start and small length: the parts follow each other, and the middle is whole words.
  func testParts() {
    for address in 0..<9 {
      for count in 0..<20 {
        let parts = AlignedParts(address: UInt64(address), count: count)
        XCTAssertEqual(parts.head.lowerBound, 0)
        XCTAssertEqual(parts.head.upperBound, parts.middle.lowerBound)
        XCTAssertEqual(parts.middle.upperBound, parts.tail.lowerBound)
        XCTAssertEqual(parts.tail.upperBound, count)
        XCTAssertEqual(parts.middle.count % 4, 0)
        XCTAssertLessThan(parts.head.count, 4)
        XCTAssertLessThan(parts.tail.count, 4)
        if !parts.middle.isEmpty { XCTAssertEqual((address + parts.middle.lowerBound) % 4, 0) }
        if !parts.tail.isEmpty { XCTAssertEqual((address + parts.tail.lowerBound) % 4, 0) }
        // The head stays within one word.
        if !parts.head.isEmpty {
          XCTAssertEqual(address / 4, (address + parts.head.upperBound - 1) / 4)
        }
      }
    }
  }
}
