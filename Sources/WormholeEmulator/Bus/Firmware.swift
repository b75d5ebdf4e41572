/// The card's own processor (ARC) and its firmware, as far as the runtime asks it.
struct Firmware {
  private enum Register {
    static let scratch: Range<UInt32> = 0x1FF3_0060..<0x1FF3_0080
    static let control: UInt32 = 0x1FF3_0100
    static let identity: UInt32 = 0x1FF5_002C
    static let niuConfiguration: UInt32 = 0x1FF5_0100
  }
  private static let interrupt: UInt32 = 1 << 16

  private var scratch: [UInt32] = [0xC0DE_0001, 0, 0, 0, 0, 0, 0, 0]
  private var control: UInt32 = 0
  /// Bit i stands for the i-th row from the edges of the chip inwards.
  private let harvesting: UInt32

  init(harvestedRows: [Int]) {
    let rows = [11, 1, 10, 2, 9, 3, 8, 4, 7, 5]
    harvesting = harvestedRows.compactMap(rows.firstIndex).reduce(0) { $0 | 1 << UInt32($1) }
  }

  func read(_ offset: UInt32) throws(Violation) -> UInt32 {
    switch offset {
    case Register.scratch where offset % 4 == 0:
      return scratch[Int(offset - Register.scratch.lowerBound) / 4]
    case Register.control: return control
    case Register.identity: return 0 | 10 << 6 | 10 << 12 | 12 << 19 | 1 << 28
    case Register.niuConfiguration: return 1 << 14  // coordinates may be translated
    default:
      throw Violation(
        "read of BAR 0 + \(offset.hexadecimal)", remedy: "this register is not modelled")
    }
  }

  mutating func write(_ offset: UInt32, _ value: UInt32) throws(Violation) {
    switch offset {
    case Register.scratch where offset % 4 == 0:
      scratch[Int(offset - Register.scratch.lowerBound) / 4] = value
    case Register.control:
      control = value
      if value & Self.interrupt != 0 {
        answer()
        control &= ~Self.interrupt
      }
    default:
      throw Violation(
        "write of \(value.hexadecimal) to BAR 0 + \(offset.hexadecimal)",
        remedy: "this register is not modelled")
    }
  }

  /// Scratch 5 holds the message and receives the outcome, scratch 3 the argument and the result.
  private mutating func answer() {
    let message = scratch[5] & 0xFF
    switch message {
    case 0x34: scratch[3] = 1000  // the clock in MHz
    case 0x57: scratch[3] = harvesting
    case 0x11, 0x52, 0x53, 0x54, 0x90: break  // nothing, busy, idle, test: nothing changes
    default:
      scratch[5] = .max
      return
    }
    scratch[5] = message
  }
}
