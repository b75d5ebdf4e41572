import Foundation
import XCTest

@testable import PI0Kit

final class LatencyHistogramTests: XCTestCase {
  func testPercentilesOfSortedNumbers() {
    var random = SplitMix64(seed: 3)
    var histogram = LatencyHistogram()
    XCTAssertNil(histogram.percentile(0.5))
    // Over nine powers of ten.
    var nanoseconds = (0..<10_000).map { _ in Int(pow(10, 9 * random.uniform())) }
    for number in nanoseconds { histogram.record(.nanoseconds(number)) }
    nanoseconds.sort()
    for share in [0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999] {
      let rank = max(1, Int((Double(nanoseconds.count) * share).rounded(.up)))
      let expected = Double(nanoseconds[rank - 1])
      let actual = (histogram.percentile(share) ?? .zero) / .nanoseconds(1)
      XCTAssertEqual(actual, expected, accuracy: expected / 100 + 1, "\(share)")
    }
    XCTAssertEqual(histogram.maximum, .nanoseconds(nanoseconds.last ?? 0))
    XCTAssertEqual(histogram.count, 10_000)
  }

  func testExtremes() {
    var histogram = LatencyHistogram()
    histogram.record(.seconds(-1))
    XCTAssertEqual(histogram.percentile(1), .zero)
    histogram.record(.seconds(1 << 62))
    XCTAssertEqual(histogram.maximum, .seconds(1 << 62))
    XCTAssertGreaterThan(histogram.percentile(1) ?? .zero, .seconds(1 << 30))
  }

  func testSteps() {
    var histogram = StepHistogram()
    XCTAssertNil(histogram.percentile(0.5))
    for steps in 0..<100 { histogram.record(steps) }
    XCTAssertEqual(histogram.percentile(0.5), 49)
    XCTAssertEqual(histogram.percentile(0.95), 94)
    XCTAssertEqual(histogram.percentile(0), 0)
    histogram.record(5000)
    XCTAssertEqual(histogram.maximum, 5000)
    XCTAssertEqual(histogram.percentile(1), 5000)
  }
}
