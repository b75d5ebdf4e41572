import CTTDevice
import Foundation
import Synchronization
import XCTest

@testable import Wormhole

/// Discovery over a made-up `/dev` and `/sys`, with a driver that answers recorded bytes.
final class CardDiscoveryTests: XCTestCase {
  private var root = ""

  private var roots: CardDiscovery.Roots {
    CardDiscovery.Roots(devices: "\(root)/dev", classes: "\(root)/class", module: "\(root)/module")
  }

  override func setUpWithError() throws {
    root = NSTemporaryDirectory() + "CardDiscoveryTests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
  }

  override func tearDownWithError() throws {
    try FileManager.default.removeItem(atPath: root)
  }

  private func write(_ text: String, to path: String) throws {
    let path = "\(root)/\(path)"
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try text.write(toFile: path, atomically: false, encoding: .utf8)
  }

  /// Card `index` as the driver's sysfs shows it; no node where `node` is nil.
  private func addCard(
    _ index: Int, type: String?, address: String, subsystem: String = "0018", node: String? = "0"
  ) throws {
    let attributes = "class/tenstorrent!\(index)"
    try write("", to: "dev/\(index)")
    try write(
      """
      DRIVER=tenstorrent
      PCI_CLASS=120000
      PCI_ID=1E52:401E
      PCI_SUBSYS_ID=1E52:\(subsystem)
      PCI_SLOT_NAME=\(address)
      MODALIAS=pci:v00001E52d0000401E

      """, to: "\(attributes)/device/uevent")
    if let type { try write("\(type)\n", to: "\(attributes)/tt_card_type") }
    if let node { try write("\(node)\n", to: "\(attributes)/device/numa_node") }
  }

  private func cards(_ driver: FakeDriver) throws -> [CardInformation] {
    defer { XCTAssertEqual(driver.openDescriptors, [], "every opened card is closed") }
    return try CardDiscovery.cards(under: roots, calls: driver.calls)
  }

  func testNoDirectories() throws {
    XCTAssertEqual(try cards(FakeDriver([:])), [])
  }

  func testNoCards() throws {
    try write("", to: "dev/by-id/wormhole-1")
    try write("2.6.0\n", to: "module/version")
    XCTAssertEqual(try cards(FakeDriver([:])), [])
  }

  func testOneCard() throws {
    try addCard(0, type: "n150", address: "0000:01:00.0")
    let found = try cards(FakeDriver([0: .answering(driver: .v2_6_0, device: .n150)]))
    let card = try XCTUnwrap(found.first)
    XCTAssertEqual(found.count, 1)
    XCTAssertEqual(card.index, 0)
    XCTAssertEqual(card.devicePath, "\(root)/dev/0")
    XCTAssertEqual(card.board, .n150)
    XCTAssertEqual(card.driver, DriverVersion(major: 2, minor: 6, patch: 0))
    XCTAssertEqual(card.pciAddress?.rawValue, "0000:01:00.0")
    XCTAssertEqual(card.numaNode, 0)
    XCTAssertFalse(card.nearestCores.isEmpty)
    XCTAssertNil(card.problem)
    XCTAssertTrue(card.isUsable)
    XCTAssertEqual(
      card.description,
      "card 0: n150, driver 2.6.0, PCI 0000:01:00.0, NUMA node 0, cores "
        + CardInformation.ranges(of: card.nearestCores))
  }

  func testOneWithoutPermissionHidesNoOther() throws {
    try addCard(0, type: "n300", address: "0000:c1:00.0", subsystem: "0014", node: "-1")
    try addCard(1, type: "n150", address: "0000:01:00.0")
    try write("2.6.0\n", to: "module/version")
    let found = try cards(
      FakeDriver([
        0: .refusing(open: EACCES), 1: .answering(driver: .v2_6_0, device: .n150),
      ]))
    XCTAssertEqual(found.map(\.index), [0, 1])
    XCTAssertEqual(found.map(\.board), [.n300, .n150])
    XCTAssertEqual(found.map(\.isUsable), [false, true])
    XCTAssertEqual(found[0].pciAddress?.rawValue, "0000:c1:00.0")
    XCTAssertEqual(found[0].driver?.rawValue, "2.6.0")
    XCTAssertNil(found[0].numaNode)
    XCTAssertFalse(found[0].nearestCores.isEmpty)
    let problem = try XCTUnwrap(found[0].problem)
    XCTAssertEqual(problem.card, "\(root)/dev/0")
    XCTAssertEqual(problem.call, "open")
    XCTAssertEqual(problem.code, EACCES)
    XCTAssertEqual(problem.seen, "Permission denied (errno 13)")
    XCTAssertTrue(problem.remedy.contains("udev"), problem.remedy)
    XCTAssertTrue(found[0].description.hasSuffix("cannot be used: \(problem)"))
    XCTAssertFalse(found[0].description.contains("\n"))
  }

  func testDriverTooOld() throws {
    try addCard(0, type: "n150", address: "0000:01:00.0")
    let driver = FakeDriver([0: .answering(driver: .v1, device: .n150)])

    // A driver 1.x does not tell its version; the module does.
    var card = try XCTUnwrap(cards(driver).first)
    XCTAssertNil(card.driver)
    XCTAssertEqual(card.problem?.seen, "driver 1.x, API 1")
    XCTAssertTrue(card.description.contains("driver unknown"), card.description)

    try write("1.29\n", to: "module/version")
    card = try XCTUnwrap(cards(driver).first)
    XCTAssertEqual(card.driver, DriverVersion(major: 1, minor: 29, patch: 0))
    XCTAssertEqual(card.problem?.call, "GET_DRIVER_INFO")
    XCTAssertEqual(card.problem?.seen, "driver 1.29.0, API 1")
    XCTAssertNil(card.problem?.code)
    XCTAssertEqual(
      card.problem?.remedy, "2.0.0 is needed: install tt-kmd 2.6.0 or later")
    XCTAssertEqual(card.pciAddress?.rawValue, "0000:01:00.0")
  }

  func testDriverWorksButNewerIsBetter() throws {
    try addCard(0, type: "n150", address: "0000:01:00.0")
    let driver = FakeDriver([0: .answering(driver: .v2_0_0, device: .n150)])
    let card = try XCTUnwrap(cards(driver).first)
    XCTAssertTrue(card.isUsable)
    XCTAssertTrue(card.description.hasSuffix("; driver 2.6.0 or later is recommended"))
  }

  func testNotAWormhole() throws {
    try addCard(0, type: "p150a", address: "0000:01:00.0", subsystem: "0040")
    let card = try XCTUnwrap(
      cards(FakeDriver([0: .answering(driver: .v2_6_0, device: .p150a)])).first)
    XCTAssertEqual(card.board, .other("p150a"))
    XCTAssertEqual(card.problem?.seen, "PCI device 1e52:b140")
  }

  func testRequestsThatFail() throws {
    try addCard(0, type: nil, address: "0000:01:00.0")
    for code in [ENODEV, ENOTTY] {
      var card = try XCTUnwrap(cards(FakeDriver([0: .refusing(driverInfo: code)])).first)
      XCTAssertEqual(card.problem?.call, "GET_DRIVER_INFO")
      XCTAssertEqual(card.problem?.code, code)
      card = try XCTUnwrap(cards(FakeDriver([0: .refusing(deviceInfo: code)])).first)
      XCTAssertEqual(card.problem?.call, "GET_DEVICE_INFO")
      XCTAssertEqual(card.problem?.code, code)
      XCTAssertEqual(card.driver?.rawValue, "2.6.0")
    }
  }

  /// The driver has the card, but no device file came into the container.
  func testSysfsWithoutDeviceFile() throws {
    try addCard(3, type: "n150", address: "0000:01:00.0")
    try FileManager.default.removeItem(atPath: "\(root)/dev")
    let card = try XCTUnwrap(cards(FakeDriver([3: .refusing(open: ENOENT)])).first)
    XCTAssertEqual(card.index, 3)
    XCTAssertTrue(card.problem?.remedy.contains("--device \(root)/dev/3") == true)
  }

  /// A device file without sysfs: the driver's answers alone.
  func testDeviceFileWithoutSysfs() throws {
    try write("", to: "dev/0")
    let card = try XCTUnwrap(
      cards(FakeDriver([0: .answering(driver: .v2_6_0, device: .n150)])).first)
    XCTAssertEqual(card.board, .n150)
    XCTAssertEqual(card.pciAddress?.rawValue, "0000:01:00.0")
    XCTAssertNil(card.numaNode)
    XCTAssertTrue(card.isUsable)
  }

  func testOddNamesAndOrder() throws {
    for name in ["2", "10", "0", "01", "-1", "+3", "x", "4x", "99999999999999999999", "by-id"] {
      try write("", to: "dev/\(name)")
    }
    for name in ["tenstorrent!10", "tenstorrent!", "tenstorrent!x", "tenstorrent", "5", "ttx!6"] {
      try write("", to: "class/\(name)/tt_card_type")
    }
    let found = try cards(
      FakeDriver([
        0: .refusing(open: EBUSY), 2: .refusing(open: EBUSY), 10: .refusing(open: EBUSY),
      ]))
    XCTAssertEqual(found.map(\.index), [0, 2, 10])
    XCTAssertEqual(found.map(\.board), [.other("unknown"), .other("unknown"), .other("unknown")])
  }

  func testOddSysfsTexts() throws {
    try addCard(0, type: "", address: "nonsense", subsystem: "zz", node: "12 apples")
    try write("two\n", to: "module/version")
    let card = try XCTUnwrap(cards(FakeDriver([0: .refusing(open: EIO)])).first)
    XCTAssertEqual(card.board, .other("unknown"))
    XCTAssertNil(card.pciAddress)
    XCTAssertNil(card.numaNode)
    XCTAssertNil(card.driver)
    XCTAssertFalse(card.nearestCores.isEmpty)
  }

  func testUnreadableDirectory() throws {
    try write("", to: "dev")
    XCTAssertThrowsError(try cards(FakeDriver([:]))) { error in
      let error = error as? CardError
      XCTAssertEqual(error?.card, "\(root)/dev")
      XCTAssertEqual(error?.code, ENOTDIR)
    }
  }

  func testCardsOfThisMachine() throws {
    let cards = try CardDiscovery.cards()
    try XCTSkipIf(cards.isEmpty, "no card in this machine; runs where /dev/tenstorrent/0 is")
    for card in cards {
      XCTAssertEqual(card.devicePath, "/dev/tenstorrent/\(card.index)")
      XCTAssertNotNil(card.pciAddress, card.description)
      XCTAssertFalse(card.nearestCores.isEmpty, card.description)
    }
  }

  func testCodable() throws {
    try addCard(0, type: "galaxy-wormhole", address: "0000:01:00.0", subsystem: "0035")
    let found = try cards(FakeDriver([0: .refusing(open: EACCES)]))
    let encoded = try JSONEncoder().encode(found)
    XCTAssertEqual(try JSONDecoder().decode([CardInformation].self, from: encoded), found)
    let text = String(decoding: encoded, as: UTF8.self)
    XCTAssertTrue(text.contains(#""pciAddress":"0000:01:00.0""#), text)
    XCTAssertTrue(text.contains(#""board":"galaxy-wormhole""#), text)
  }
}

/// The bytes that drivers answer.
private enum Recorded {
  enum Driver {
    case v1, v2_0_0, v2_6_0

    /// GET_DRIVER_INFO from byte 4 on.
    var bytes: [UInt8] {
      switch self {
      case .v1: [8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
      case .v2_0_0: [12, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0]
      case .v2_6_0: [12, 0, 0, 0, 2, 0, 0, 0, 2, 6, 0, 0]
      }
    }
  }

  enum Device {
    case n150, p150a

    /// GET_DEVICE_INFO from byte 4 on.
    var bytes: [UInt8] {
      switch self {
      case .n150:
        [20, 0, 0, 0, 0x52, 0x1E, 0x1E, 0x40, 0x52, 0x1E, 0x18, 0, 0x00, 0x01, 28, 0, 0, 0, 0, 0]
      case .p150a:
        [20, 0, 0, 0, 0x52, 0x1E, 0x40, 0xB1, 0x52, 0x1E, 0x40, 0, 0x00, 0x01, 28, 0, 0, 0, 0, 0]
      }
    }
  }
}

/// A driver with cards by number.
private final class FakeDriver: Sendable {
  struct Card {
    var open: Int32 = 0
    var driverInfo: Int32 = 0
    var deviceInfo: Int32 = 0
    var driver = Recorded.Driver.v2_6_0
    var device = Recorded.Device.n150

    static func refusing(
      open: Int32 = 0, driverInfo: Int32 = 0, deviceInfo: Int32 = 0
    ) -> Card {
      Card(open: open, driverInfo: driverInfo, deviceInfo: deviceInfo)
    }

    static func answering(driver: Recorded.Driver, device: Recorded.Device) -> Card {
      Card(driver: driver, device: device)
    }
  }

  private let cards: [Int32: Card]
  private let opened = Mutex<[Int32]>([])

  init(_ cards: [Int32: Card]) { self.cards = cards }

  var openDescriptors: [Int32] { opened.withLock { $0 } }

  var calls: DriverCalls {
    DriverCalls(
      open: { path in
        guard let name = path.split(separator: "/").last, let index = Int32(name),
          let card = self.cards[index]
        else { return -ENXIO }
        if card.open != 0 { return -card.open }
        self.opened.withLock { $0.append(index) }
        return index
      },
      close: { descriptor in
        self.opened.withLock { $0.removeAll { $0 == descriptor } }
        return 0
      },
      deviceInfo: { descriptor, info in
        guard let card = self.cards[descriptor] else { return -EBADF }
        if card.deviceInfo == 0 { Self.answer(card.device.bytes, into: &info) }
        return -card.deviceInfo
      },
      driverInfo: { descriptor, info in
        guard let card = self.cards[descriptor] else { return -EBADF }
        if card.driverInfo == 0 { Self.answer(card.driver.bytes, into: &info) }
        return -card.driverInfo
      })
  }

  private static func answer<T>(_ bytes: [UInt8], into argument: inout T) {
    withUnsafeMutableBytes(of: &argument) { argument in
      for (index, byte) in bytes.enumerated() { argument[4 + index] = byte }
    }
  }
}
