import Foundation
import Wormhole
import XCTest

@testable import PI0Server

final class MonitoringTests: XCTestCase {
  func testHistogramsCountWhatIsWithinEachBound() {
    var histogram = Histogram()
    for seconds in [0.0005, 0.001, 0.3, 100] { histogram.add(seconds) }
    var state = ServerStatistics.State()
    state.inferenceTimes = histogram
    let text = PrometheusText(state, cards: [], usage: ProcessUsage()).text
    for line in [
      "pi0_inference_seconds_bucket{le=\"0.001\"} 2", "pi0_inference_seconds_bucket{le=\"0.25\"} 2",
      "pi0_inference_seconds_bucket{le=\"0.5\"} 3", "pi0_inference_seconds_bucket{le=\"60.0\"} 3",
      "pi0_inference_seconds_bucket{le=\"+Inf\"} 4", "pi0_inference_seconds_count 4",
    ] {
      XCTAssertTrue(text.contains("\n\(line)\n"), "\(line) is not in\n\(text)")
    }
  }

  /// Each line is a comment or `name{labels} value`, and every name has its type.
  func testPrometheusCanReadIt() throws {
    let text = PrometheusText(ServerStatistics.State(), cards: [], usage: ProcessUsage()).text
    XCTAssertTrue(text.hasSuffix("\n"))
    var types: [Substring: Substring] = [:]
    for line in text.split(separator: "\n") {
      if line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ")
        types[words[2]] = words[3]
      } else if !line.hasPrefix("# HELP ") {
        let parts = try XCTUnwrap(
          line.wholeMatch(of: /([a-z0-9_]+?)(_bucket|_sum|_count)?(\{[a-z]+="[^"]*"\})? (\S+)/),
          "\(line)"
        ).output
        XCTAssertNotNil(types[parts.1] ?? types[parts.1 + (parts.2 ?? "")], "\(line)")
        XCTAssertNotNil(Double(parts.4), "\(line)")
      }
    }
    XCTAssertGreaterThan(types.count, 8)
  }

  func testCards() throws {
    let json = """
      [{"index": 0, "devicePath": "/dev/tenstorrent/0", "board": "n300", "nearestCores": [],
        "telemetry": {"temperature": 45.5, "power": 22}},
       {"index": 3, "devicePath": "/dev/tenstorrent/3", "board": "n150", "nearestCores": [],
        "telemetry": {"temperature": 61}}]
      """
    let cards = try JSONDecoder().decode([CardInformation].self, from: Data(json.utf8))
    let text = PrometheusText(ServerStatistics.State(), cards: cards, usage: ProcessUsage()).text
    XCTAssertTrue(text.contains("\npi0_card_temperature_celsius{card=\"0\"} 45.5\n"), text)
    XCTAssertTrue(text.contains("\npi0_card_temperature_celsius{card=\"3\"} 61.0\n"), text)
    XCTAssertTrue(text.contains("\npi0_card_power_watts{card=\"0\"} 22.0\n"), text)
    XCTAssertFalse(text.contains("pi0_card_power_watts{card=\"3\"}"), text)

    let status = StatusJSON(ServerStatistics(), policy: EchoPolicy(), cards: cards)
    XCTAssertEqual(status.cards.map(\.name), ["n300 0", "n150 3"])
    XCTAssertEqual(status.cards.map(\.temperature), [45.5, 61])
  }

  func testProcessUsageIsThisProcess() throws {
    let before = ProcessUsage()
    let files = try (0..<20).map { _ in try XCTUnwrap(FileHandle(forReadingAtPath: "/dev/null")) }
    let after = ProcessUsage()
    XCTAssertEqual(after.openDescriptors, before.openDescriptors.map { $0 + files.count })
    XCTAssertGreaterThan(try XCTUnwrap(after.residentBytes), 1 << 20)
    XCTAssertGreaterThan(after.processorSeconds, 0)
  }

  func testThePageLoadsNothingFromElsewhere() {
    let html = StatusPage.html.replacing("http://www.w3.org/2000/svg", with: "")
    for text in ["http:", "https:", "//cdn", "src=", "@import", "innerHTML"] {
      XCTAssertFalse(html.contains(text), text)
    }
  }
}
