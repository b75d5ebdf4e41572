/// The product that a card is. Its raw value is the driver's name for it.
public enum BoardType: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
  /// One Wormhole chip on a card; UPI 0x18.
  case n150

  /// Two chips on a card, one of them on the PCI bus; UPI 0x14.
  case n300

  /// A module of a Galaxy server; UPI 0x35.
  case galaxy

  /// Any other, by the driver's name or, where it has none, by its UPI.
  case other(String)

  /// The board that the driver calls `rawValue` in the sysfs attribute `tt_card_type`.
  public init(rawValue: String) {
    self =
      switch rawValue {
      case "n150": .n150
      case "n300": .n300
      case "galaxy-wormhole": .galaxy
      default: .other(rawValue)
      }
  }

  /// The board from the driver's name or, where that is missing or `unknown`, from its UPI (unique
  /// part identifier), which the PCI subsystem ID repeats.
  init(name: String?, upi: UInt16?) {
    if let name, name != "unknown" {
      self.init(rawValue: name)
      return
    }
    self =
      switch upi {
      case 0x18: .n150
      case 0x14: .n300
      case 0x35: .galaxy
      case let upi?: .other("unknown (UPI 0x\(hexadecimal(upi, digits: 2)))")
      case nil: .other("unknown")
      }
  }

  /// The driver's name.
  public var rawValue: String {
    switch self {
    case .n150: "n150"
    case .n300: "n300"
    case .galaxy: "galaxy-wormhole"
    case .other(let name): name
    }
  }

  /// The product's name as people write it.
  public var description: String { self == .galaxy ? "Galaxy" : rawValue }
}
