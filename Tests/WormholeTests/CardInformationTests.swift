import XCTest

@testable import Wormhole

/// The values that describe a card, and their texts.
final class CardInformationTests: XCTestCase {
  func testPCIAddress() {
    XCTAssertEqual(PCIAddress(domain: 0, busDeviceFunction: 0x0100).description, "0000:01:00.0")
    XCTAssertEqual(
      PCIAddress(domain: 0x12, busDeviceFunction: 0xC1 << 8 | 0x1F << 3 | 7).rawValue,
      "0012:c1:1f.7")
    XCTAssertEqual(
      PCIAddress(domain: .max, busDeviceFunction: .max).rawValue, "ffff:ff:1f.7")
    for text in ["0000:01:00.0", "0012:c1:1f.7", "10000:e1:00.0"] {
      XCTAssertEqual(PCIAddress(rawValue: text)?.rawValue, text)
    }
    XCTAssertEqual(
      PCIAddress(rawValue: "0002:03:01.4"),
      PCIAddress(domain: 2, busDeviceFunction: 3 << 8 | 1 << 3 | 4))
    let wrong = [
      "", ":", "::.", "01:00.0", "0000:01:00", "0000:01:20.0", "0000:01:00.8", "0000:100:00.0",
      "0000:01:00.0.0", "0000:01:00.0:0", "000g:01:00.0", "100000000:01:00.0",
    ]
    for text in wrong { XCTAssertNil(PCIAddress(rawValue: text), text) }
  }

  func testBoardType() {
    let boards: [(name: String?, upi: UInt16?, board: BoardType, text: String)] = [
      ("n150", 0x14, .n150, "n150"),  // the driver's name comes before the PCI subsystem
      ("n300", nil, .n300, "n300"),
      ("galaxy-wormhole", 0x35, .galaxy, "Galaxy"),
      ("p150a", 0x40, .other("p150a"), "p150a"),
      ("unknown", 0x35, .galaxy, "Galaxy"),  // drivers before 1.34 have no name for it
      (nil, 0x18, .n150, "n150"),
      (nil, 0x14, .n300, "n300"),
      ("unknown", 0x0B, .other("unknown (UPI 0x0b)"), "unknown (UPI 0x0b)"),
      (nil, nil, .other("unknown"), "unknown"),
    ]
    for (name, upi, board, text) in boards {
      XCTAssertEqual(BoardType(name: name, upi: upi), board)
      XCTAssertEqual(board.description, text)
      XCTAssertEqual(BoardType(rawValue: board.rawValue), board)
    }
  }

  func testDriverVersion() {
    XCTAssertEqual(DriverVersion(rawValue: "2.10.1-pre")?.rawValue, "2.10.1")
    XCTAssertEqual(DriverVersion(rawValue: "1.29")?.rawValue, "1.29.0")
    for text in ["", "2", "2.", ".2", "2..1", "2.1.0.4", "-2.0", "two", "99999999999999999999.1"] {
      XCTAssertNil(DriverVersion(rawValue: text), text)
    }
    let versions: [(text: String, supported: Bool, recommended: Bool)] = [
      ("1.29", false, false), ("1.34.0", false, false), ("2.0.0", true, false),
      ("2.5.9", true, false), ("2.6.0", true, true), ("2.10.1", true, true), ("3.0.0", true, true),
    ]
    for (text, supported, recommended) in versions {
      XCTAssertEqual(DriverVersion(rawValue: text)?.isSupported, supported, text)
      XCTAssertEqual(DriverVersion(rawValue: text)?.isRecommended, recommended, text)
    }
  }

  func testRanges() {
    XCTAssertEqual(CardInformation.ranges(of: [0, 1, 2, 3, 8, 10, 11]), "0-3,8,10-11")
    XCTAssertEqual(CardInformation.ranges(of: [5]), "5")
    XCTAssertEqual(CardInformation.ranges(of: []), "unknown")
  }

  func testErrorText() {
    let error = CardError(card: "/dev/tenstorrent/0", call: "open", code: 2)
    XCTAssertTrue(
      error.description.hasPrefix(
        "/dev/tenstorrent/0: open: No such file or directory (errno 2); the driver has the card"),
      error.description)
  }
}
