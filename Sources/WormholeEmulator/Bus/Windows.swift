/// The 186 windows from BAR 0 onto NoC 0, and their registers (PCIExpressTile/TLBs.md).
struct Windows {
  static let count = 186
  static let registers: Range<UInt32> = 0x1FC0_0000..<0x1FC0_0000 + 8 * UInt32(count)
  /// Of BAR 0.
  static let byteCount: UInt32 = 0x1F00_0000

  private var configuration = [UInt64](repeating: 0, count: count)

  /// What an access reaches.
  struct Target {
    let address: UInt64
    let end: UInt32
    /// The corner where a multicast begins; nil for a unicast.
    let start: UInt32?
  }

  private static func window(at offset: UInt32) -> (number: Int, bits: UInt64) {
    switch offset {
    case 0..<0x9C0_0000: (Int(offset >> 20), 20)
    case 0x9C0_0000..<0xB00_0000: (156 + Int((offset - 0x9C0_0000) >> 21), 21)
    default: (166 + Int((offset - 0xB00_0000) >> 24), 24)
    }
  }

  /// Where `count` bytes at `offset` of BAR 0 go.
  func target(_ offset: UInt32, _ count: Int) throws(Violation) -> Target {
    let (number, bits) = Self.window(at: offset)
    let mask = (UInt64(1) << bits) - 1
    let inside = UInt64(offset) & mask
    guard number < Self.count, inside + UInt64(count) <= mask + 1 else {
      throw Violation(
        "\(count) bytes at BAR 0 + \(offset.hexadecimal)",
        remedy: "stay within one window at a time")
    }
    let configuration = configuration[number]
    let address = (configuration & ((1 << (36 - bits)) - 1)) << bits | inside
    let fields = UInt32(truncatingIfNeeded: configuration >> (36 - bits))
    let isMulticast = fields >> 25 & 1 == 1
    guard configuration >> (36 - bits) & ~0x2EFF_FFFF == 0, fields >> 26 & 3 != 3,
      isMulticast || fields & 0xFF_F000 == 0
    else {
      throw Violation(
        "window \(number) is configured as 0x\(String(configuration, radix: 16))",
        remedy: "NoC 1, linked writes, order 3, and a start of unicasts are not modelled")
    }
    return Target(
      address: address, end: fields & 0xFFF, start: isMulticast ? fields >> 12 & 0xFFF : nil)
  }

  func read(_ offset: UInt32) -> UInt32 {
    let word = configuration[Int(offset - Self.registers.lowerBound) / 8]
    return UInt32(truncatingIfNeeded: offset & 4 == 0 ? word : word >> 32)
  }

  mutating func write(_ offset: UInt32, _ value: UInt32) {
    let number = Int(offset - Self.registers.lowerBound) / 8
    let word = configuration[number]
    configuration[number] =
      offset & 4 == 0
      ? word & ~0xFFFF_FFFF | UInt64(value) : word & 0xFFFF_FFFF | UInt64(value) << 32
  }
}
