import Foundation
import XCTest

#if canImport(FoundationXML)
  import FoundationXML
#endif

@testable import pi0

final class ActionPlotTests: XCTestCase {
  func testOneLineADimensionAndItsLegend() throws {
    for (horizon, dimensions) in [(50, 7), (10, 14), (50, 32), (2, 1), (1, 32), (200, 100)] {
      let actions = (0..<horizon).map { step in
        (0..<dimensions).map { sin(Float(step) / 8 + Float($0)) }
      }
      let chart = try Chart(ActionPlot.svg(actions: actions, title: "t"))
      XCTAssertEqual(chart.curves.count, dimensions)
      XCTAssertTrue(Set((0..<dimensions).map { "\($0)" }).isSubset(of: Set(chart.texts)))
      // Neighbours in the legend look different, and a line looks like its entry.
      XCTAssertEqual(Set(chart.curves.map(\.style)).count, min(dimensions, 50))
      XCTAssertEqual(chart.curves.map(\.style), chart.swatches.map(\.style))
      for curve in chart.curves where horizon > 1 {
        XCTAssertEqual(curve.count(of: "M"), 1)
        XCTAssertEqual(curve.count(of: "L"), horizon - 1)
      }
    }
  }

  /// Larger values are higher, later steps are to the right, and all are within the chart.
  func testPlacesPoints() throws {
    let chart = try Chart(ActionPlot.svg(actions: [[-3, 1], [0, 1], [3, 1]], title: "t"))
    let points = chart.curves[0].points
    XCTAssertEqual(points.map(\.x), [72, 456, 840])
    XCTAssertEqual(points[1].y, 248, accuracy: 0.01)
    XCTAssertLessThan(points[2].y, points[1].y)
    XCTAssertEqual(points[0].y - points[1].y, points[1].y - points[2].y, accuracy: 0.01)
    XCTAssertEqual(Set(chart.curves[1].points.map(\.y)).count, 1)
    XCTAssertTrue(["step", "action", "t", "-2", "0", "2"].allSatisfy(chart.texts.contains))
  }

  func testGaps() throws {
    let values: [Float] = [1, 2, .nan, 3, .infinity, 2, 1, -.infinity]
    let chart = try Chart(ActionPlot.svg(actions: values.map { [$0] }, title: "t"))
    XCTAssertEqual(chart.curves[0].count(of: "M"), 3)
    XCTAssertEqual(chart.curves[0].count(of: "L"), 2)
    XCTAssertEqual(chart.dots, 1, "the 3 stands alone")
    // A row that is too short is a gap as well.
    let ragged = try Chart(ActionPlot.svg(actions: [[1, 2], [1], [1, 2]], title: "t"))
    XCTAssertEqual(ragged.curves.map { $0.count(of: "M") }, [1, 2])
  }

  func testValuesThatHaveNoRange() throws {
    let largest = Float.greatestFiniteMagnitude
    let columns: [[Float]] = [
      [0, 0, 0], [0.5, 0.5], [-1e30, -1e30], [.nan, .nan], [], [largest, -largest],
      [.leastNonzeroMagnitude, 0],
      [1_000, 1_000.001],
    ]
    for column in columns {
      let chart = try Chart(ActionPlot.svg(actions: column.map { [$0] }, title: "t"))
      XCTAssertEqual(chart.curves.count, column.isEmpty ? 0 : 1)
      for point in chart.curves.flatMap(\.points) {
        XCTAssertTrue((72...840).contains(point.x) && (48...448).contains(point.y), "\(column)")
      }
    }
  }

  func testTextIsEscaped() throws {
    let title = "a < b & \"c\" > d \u{0}\u{1B}]"
    let chart = try Chart(ActionPlot.svg(actions: [[1]], title: title, names: ["<joint> & co"]))
    XCTAssertTrue(chart.texts.contains("a < b & \"c\" > d \u{FFFD}\u{FFFD}]"))
    XCTAssertTrue(chart.texts.contains("<joint> & co"))
  }
}

/// What an XML parser finds in the document. Throws where it is not well-formed.
private final class Chart: NSObject, XMLParserDelegate {
  struct Path: Equatable {
    let data: String
    let style: String

    func count(of command: Character) -> Int { data.count { $0 == command } }

    var points: [(x: Double, y: Double)] {
      data.split(whereSeparator: "ML".contains).compactMap { part in
        let numbers = part.prefix { $0 != "h" }.split(separator: " ").compactMap { Double($0) }
        return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
      }
    }
  }

  private(set) var curves: [Path] = []
  private(set) var swatches: [Path] = []
  private(set) var texts: [String] = []
  private(set) var dots = 0
  private var depth = 0

  init(_ document: String) throws {
    super.init()
    let parser = XMLParser(data: Data(document.utf8))
    parser.delegate = self
    guard parser.parse() else {
      throw try XCTUnwrap(parser.parserError)
    }
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
    qualifiedName: String?, attributes: [String: String]
  ) {
    depth += 1
    switch name {
    case "text": texts.append("")
    case "circle": dots += 1
    case "path":
      let style = "\(attributes["stroke"] ?? "") \(attributes["stroke-dasharray"] ?? "")"
      let path = Path(data: attributes["d"] ?? "", style: style)
      // Lines are grouped with their dots; the legend's are not.
      if depth == 3 { curves.append(path) } else { swatches.append(path) }
    default: break
    }
  }

  func parser(
    _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
  ) {
    depth -= 1
  }

  func parser(_ parser: XMLParser, foundCharacters text: String) {
    if depth == 2, !texts.isEmpty { texts[texts.count - 1] += text }
  }
}
