/// What can be known of a card without using it. Printed, it is one line.
public struct CardInformation: Hashable, Sendable, Codable, CustomStringConvertible {
  /// The driver's number of the card, the N of `/dev/tenstorrent/N`.
  public var index: Int

  /// The device file, such as `/dev/tenstorrent/0`.
  public var devicePath: String

  /// The product.
  public var board: BoardType

  /// The version of the kernel driver; nil where it does not say.
  public var driver: DriverVersion?

  /// Where the card sits on the PCI bus; nil where unknown.
  public var pciAddress: PCIAddress?

  /// The NUMA node that the card hangs on; nil where the machine does not say.
  public var numaNode: Int?

  /// The kernel's numbers of the processors nearest to the card, rising: those to run its host
  /// threads on. All that this process may use where the place of the card is unknown.
  public var nearestCores: [Int]

  /// Firmware, clock, temperature and power, as far as the driver tells them.
  public var telemetry: CardTelemetry

  /// Why the card cannot be used; nil where it can.
  public var problem: CardError?

  /// Whether the card can be used.
  public var isUsable: Bool { problem == nil }

  /// `card 0: n150, driver 2.6.0, PCI 0000:01:00.0, NUMA node 0, cores 0-7`, the telemetry that there
  /// is, and after it what stands against the card's use or, in a usable one, what would be better.
  public var description: String {
    var line = "card \(index): \(board), driver \(driver?.description ?? "unknown"), "
    line += "PCI \(pciAddress?.description ?? "unknown"), "
    line += "NUMA node \(numaNode.map { "\($0)" } ?? "unknown"), "
    line += "cores \(Self.ranges(of: nearestCores))"
    if telemetry != CardTelemetry() { line += ", \(telemetry)" }
    if let problem {
      line += "; cannot be used: \(problem)"
    } else if let driver, !driver.isRecommended {
      line += "; driver \(DriverVersion.recommended) or later is recommended"
    }
    return line
  }

  /// Rising numbers as Linux writes lists of processors: `0-3,8,10-11`.
  static func ranges(of numbers: [Int]) -> String {
    var ranges: [ClosedRange<Int>] = []
    for number in numbers {
      if let last = ranges.last, number == last.upperBound + 1 {
        ranges[ranges.count - 1] = last.lowerBound...number
      } else {
        ranges.append(number...number)
      }
    }
    if ranges.isEmpty { return "unknown" }
    return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ",")
  }
}
