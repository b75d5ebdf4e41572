import XCTest

@testable import pi0

final class TextTableTests: XCTestCase {
  func testAlignsColumns() {
    var table = TextTable([("name", .left), ("error", .right), ("note", .left)])
    table.append(["siglip", "1e-06", "fine"])
    table.append(["a longer name", "0.25"])
    table.append(["größer", "12345678", "x", "beyond"])
    XCTAssertEqual(
      table.text,
      """
      name              error  note
      -------------  --------  ----
      siglip            1e-06  fine
      a longer name      0.25
      größer         12345678  x

      """)
  }

  func testWithoutRows() {
    XCTAssertEqual(TextTable([("a", .right), ("bcd", .left)]).text, "a  bcd\n-  ---\n")
    XCTAssertEqual(TextTable([]).text, "\n\n")
  }
}
