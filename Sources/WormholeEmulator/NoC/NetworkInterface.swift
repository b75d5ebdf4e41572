/// A tile's registers on one NoC: four initiators, routing, and counters of what is finished
/// (NoC/MemoryMap.md and NoC/Counters.md of the ISA documentation).
struct NetworkInterface {
  /// The registers that a request is made of.
  struct Initiator {
    var target: (low: UInt32, high: UInt32) = (0, 0)
    var result: (low: UInt32, high: UInt32) = (0, 0)
    var tag: UInt32 = 0
    var control: UInt32 = 0
    var length: UInt32 = 0
    var data: UInt32 = 0
  }

  /// What software waits for. Each has a count, and when the last of it was there.
  enum Completion: Int { case atomics, writes, reads }

  var initiators: InlineArray<4, Initiator> = .init(repeating: Initiator())
  var niuConfiguration: UInt32 = 0
  /// Columns and rows that multicasts leave out are words 1 and 3.
  var routing: InlineArray<4, UInt32>
  var finished: InlineArray<3, UInt32> = .init(repeating: 0)
  var finishedAt: InlineArray<3, UInt64> = .init(repeating: 0)
  var postedAtomicsSent: UInt32 = 0
  var acknowledgedWritesSent: UInt32 = 0
  var postedWritesSent: UInt32 = 0
  /// By transaction identifier, modulo 256: what was asked for and has had no effect yet, and what multicasts
  /// leave behind.
  var outstanding: InlineArray<16, UInt8> = .init(repeating: 0)
  /// When the last of an identifier's requests is done.
  private var doneAt: InlineArray<16, UInt64> = .init(repeating: 0)

  /// Bits of columns and rows of the chip that have no Tensix tile.
  static let otherColumns: UInt32 = 1 << 0 | 1 << 5
  static let otherRows: UInt32 = 1 << 0 | 1 << 6

  init(harvestedRows: [Int]) {
    let harvested = harvestedRows.reduce(UInt32(0)) { $0 | 1 << UInt32($1) }
    routing = [0, Self.otherColumns, 0, Self.otherRows | harvested]
  }

  enum Register {
    static let initiatorStride: UInt32 = 0x400
    static let identity: UInt32 = 0x2C
    static let command: UInt32 = 0x28
    static let clearOutstanding: UInt32 = 0x50
    static let niuConfiguration: UInt32 = 0x100
    static let routing: UInt32 = 0x104
    static let translatedIdentity: UInt32 = 0x138
    static let finished: UInt32 = 0x200
    static let outstanding: UInt32 = 0x240
    static let outgoing: UInt32 = 0x280
  }

  /// A register other than the identities. `clock` is raised to when what is counted was finished.
  func read(_ offset: UInt32, clock: inout UInt64) throws(Violation) -> UInt32 {
    switch offset {
    case Register.niuConfiguration: return niuConfiguration
    case Register.routing...Register.routing + 0xF:
      return routing[Int(offset - Register.routing) / 4]
    case Register.finished..<Register.finished + 12:
      let kind = Int(offset - Register.finished) / 4
      clock = max(clock, finishedAt[kind])
      return finished[kind]
    case 0x21C: return postedAtomicsSent
    case 0x228: return acknowledgedWritesSent
    case 0x22C: return postedWritesSent
    case Register.outstanding..<Register.outstanding + 64:
      let transaction = Int(offset - Register.outstanding) / 4
      return UInt32(outstanding[transaction]) + (clock < doneAt[transaction] ? 1 : 0)
    case Register.outgoing..<Register.outgoing + 64: return 0
    default: break
    }
    let number = Int(offset / Register.initiatorStride)
    if number < 4 {
      switch offset % Register.initiatorStride {
      case 0x00: return initiators[number].target.low
      case 0x04: return initiators[number].target.high
      case 0x0C: return initiators[number].result.low
      case 0x10: return initiators[number].result.high
      case 0x18: return initiators[number].tag
      case 0x1C: return initiators[number].control
      case 0x20: return initiators[number].length
      case 0x24: return initiators[number].data
      case Register.command: return 0  // requests are taken at once
      default: break
      }
    }
    throw Violation(
      "read of NoC register \(offset.hexadecimal)", remedy: "this register is not modelled")
  }

  /// A register other than ``Register/command``.
  mutating func write(_ offset: UInt32, _ value: UInt32) throws(Violation) {
    let number = Int(offset / Register.initiatorStride)
    if number < 4 {
      switch offset % Register.initiatorStride {
      case 0x00: return initiators[number].target.low = value
      case 0x04: return initiators[number].target.high = value
      case 0x0C: return initiators[number].result.low = value
      case 0x10: return initiators[number].result.high = value
      case 0x18:
        guard value & ~(0xF << 10) == 0 else {
          throw Violation(
            "NoC packet tag \(value.hexadecimal)",
            remedy: "set the transaction identifier, bits 10 to 13, alone")
        }
        return initiators[number].tag = value
      case 0x1C: return initiators[number].control = value
      case 0x20: return initiators[number].length = value
      case 0x24: return initiators[number].data = value
      default: break
      }
    }
    switch offset {
    case Register.clearOutstanding:
      guard value == 0xFFFF else {
        throw Violation(
          "clears the outstanding requests \(value.hexadecimal) of a NoC",
          remedy: "clear all sixteen, 0xffff")
      }
      outstanding = .init(repeating: 0)
    case Register.niuConfiguration: niuConfiguration = value
    case Register.routing...Register.routing + 0xF where offset % 4 == 0:
      let index = Int(offset - Register.routing) / 4
      let needed = index == 1 ? Self.otherColumns : index == 3 ? Self.otherRows : 0
      guard value & needed == needed else {
        throw Violation(
          "lets multicasts go to columns or rows without Tensix tiles: \(value.hexadecimal)",
          remedy: "keep the bits \(needed.hexadecimal)")
      }
      routing[index] = value
    default:
      throw Violation(
        "write of \(value.hexadecimal) to NoC register \(offset.hexadecimal)",
        remedy: "this register is not modelled")
    }
  }

  mutating func finish(
    _ kind: Completion, _ count: UInt32 = 1, transaction: Int, at clock: UInt64
  ) {
    finished[kind.rawValue] &+= count
    finishedAt[kind.rawValue] = max(finishedAt[kind.rawValue], clock)
    doneAt[transaction] = max(doneAt[transaction], clock)
  }

  /// Whether the register changes as time passes, with nothing else happening.
  func changes(_ offset: UInt32, after clock: UInt64) -> Bool {
    guard offset >= Register.outstanding, offset < Register.outstanding + 64 else { return false }
    return clock < doneAt[Int(offset - Register.outstanding) / 4]
  }
}
