internal import CTTDevice

/// Finds the Tenstorrent cards of this machine.
public enum CardDiscovery {
  /// Every card that the kernel driver has, by number; none where there is no card or no driver.
  ///
  /// Each card is opened, asked who it is, and closed; none is woken up. A card that cannot be used
  /// is in the list with its ``CardInformation/problem``, so that it hides no other.
  ///
  /// - Throws: ``CardError`` where the directory of cards exists but cannot be read.
  public static func cards() throws(CardError) -> [CardInformation] {
    try cards(under: Roots(), calls: .kernel)
  }

  /// The directories that discovery reads.
  struct Roots: Sendable {
    /// One device file a card, `N`.
    var devices = "/dev/tenstorrent"

    /// One directory a card, `tenstorrent!N`.
    var classes = "/sys/class/tenstorrent"

    /// The driver's own.
    var module = "/sys/module/tenstorrent"

    /// One directory a card, `N`, whose file `pids` lists the processes that have it open.
    var holders = "/proc/driver/tenstorrent"
  }

  static func cards(
    under roots: Roots, calls: DriverCalls
  ) throws(CardError) -> [CardInformation] {
    let prefix = "tenstorrent!"
    let devices = try SystemFiles.names(in: roots.devices)
    let classes = try SystemFiles.names(in: roots.classes).filter { $0.hasPrefix(prefix) }
    let numbers = Set(
      (devices + classes.map { String($0.dropFirst(prefix.count)) }).compactMap(number))
    if numbers.isEmpty { return [] }

    let version = SystemFiles.text(at: "\(roots.module)/version")
      .flatMap(DriverVersion.init(rawValue:))
    let topology = MachineTopology()
    var cards: [CardInformation] = []
    for index in numbers.sorted() {
      let path = "\(roots.devices)/\(index)"
      let attributes = "\(roots.classes)/\(prefix)\(index)"
      var pci = PCIDevice(uevent: SystemFiles.text(at: "\(attributes)/device/uevent") ?? "")
      var driver = version
      var problem: CardError?
      do throws(CardError) {
        try ask(path, calls, pci: &pci, driver: &driver)
      } catch {
        problem = error
      }
      let node = SystemFiles.text(at: "\(attributes)/device/numa_node").flatMap(number)
      cards.append(
        CardInformation(
          index: index,
          devicePath: path,
          board: BoardType(
            name: SystemFiles.text(at: "\(attributes)/tt_card_type"), upi: pci.subsystem),
          driver: driver,
          pciAddress: pci.address,
          numaNode: node,
          nearestCores: topology?.cores(nearest: pci.address, node: node) ?? [],
          telemetry: CardTelemetry(attributes: attributes),
          problem: problem))
    }
    return cards
  }

  /// Opens a card and asks it; what it answers replaces what sysfs said.
  private static func ask(
    _ path: String, _ calls: DriverCalls, pci: inout PCIDevice, driver: inout DriverVersion?
  ) throws(CardError) {
    let connection = try DriverConnection(opening: path, calls: calls)
    defer { connection.close() }

    let version = try connection.driver()
    if version.api >= 2 { driver = DriverVersion(version) }

    let device = try connection.device()
    pci.address = PCIAddress(
      domain: device.pci_domain, busDeviceFunction: device.bus_device_function)
    pci.subsystem = device.subsystem

    try connection.require(device)
    try connection.require(driver, api: version.api)
  }

  /// The number that `name` is, with digits alone and no zero in front; nil where it is something
  /// else.
  private static func number(_ name: String) -> Int? {
    guard let value = Int(name), value >= 0, String(value) == name else { return nil }
    return value
  }

  /// What the kernel says of a PCI device.
  private struct PCIDevice {
    var address: PCIAddress?
    var subsystem: UInt16?

    /// From the lines `PCI_SLOT_NAME=0000:01:00.0` and `PCI_SUBSYS_ID=1E52:0018` of sysfs.
    init(uevent: String) {
      for line in uevent.split(separator: "\n") {
        let pair = line.split(separator: "=", maxSplits: 1)
        guard pair.count == 2 else { continue }
        switch pair[0] {
        case "PCI_SLOT_NAME":
          address = PCIAddress(rawValue: String(pair[1]))
        case "PCI_SUBSYS_ID":
          subsystem = pair[1].split(separator: ":").last.flatMap { UInt16($0, radix: 16) }
        default:
          continue
        }
      }
    }
  }
}
