/// One request of a tile to a NoC, read from an initiator's registers.
///
/// Its control word is described in NoC/MemoryMap.md of the ISA documentation; combinations that the
/// official simulator refuses are refused here.
struct Request {
  enum Kind { case read, write, inlineWrite, atomic, multicast }

  let kind: Kind
  /// Where it goes to, or of a read and an atomic where it comes from: a coordinate and 36 bits.
  let target: Address
  /// Where a write goes, and what is read comes.
  let result: Address
  /// The corner of a multicast's rectangle where it begins.
  let start: UInt32
  let length: Int
  let data: UInt32
  let transaction: Int
  /// Whether somebody wants to know when it is done.
  let isAcknowledged: Bool
  let includesSource: Bool

  struct Address {
    let coordinate: UInt32
    let address: UInt64

    init(_ registers: (low: UInt32, high: UInt32)) {
      address = UInt64(registers.low) | UInt64(registers.high & 0xF) << 32
      coordinate = registers.high >> 4 & 0xFFF
    }
  }

  static let longest = 8192
  /// Bits of a control word.
  private enum Control {
    static let atomic: UInt32 = 1 << 0
    static let write: UInt32 = 1 << 1
    static let inline: UInt32 = 1 << 3
    static let acknowledged: UInt32 = 1 << 4
    static let multicast: UInt32 = 1 << 5
    static let linked: UInt32 = 1 << 6
    static let staticChannel: UInt32 = 1 << 7
    static let reservesPath: UInt32 = 1 << 8
    static let channel: UInt32 = 7 << 13
    static let includesSource: UInt32 = 1 << 17
  }
  /// Length and operation of an atomic that adds, wrapping at 32 bits.
  private static let increment: UInt32 = 0x107C

  init(_ initiator: NetworkInterface.Initiator) throws(Violation) {
    let control = initiator.control
    let known =
      Control.atomic | Control.write | Control.inline | Control.acknowledged | Control.multicast
      | Control.linked | Control.staticChannel | Control.reservesPath | Control.channel
      | Control.includesSource
    func has(_ bits: UInt32) -> Bool { control & bits != 0 }
    func refuse(_ what: String) -> Violation {
      Violation(
        "NoC request with control \(control.hexadecimal): \(what)",
        remedy: "NoC.swift of the programs has the control words that work")
    }
    guard control & ~known == 0 else { throw refuse("bits that are not modelled") }
    if has(Control.multicast) {
      guard has(Control.write), !has(Control.atomic), !has(Control.inline) else {
        throw refuse("a multicast of anything but a write from L1")
      }
      guard has(Control.reservesPath) else { throw refuse("a multicast that reserves no path") }
      kind = .multicast
    } else {
      guard !has(Control.reservesPath), !has(Control.includesSource) else {
        throw refuse("bits of a multicast in a unicast")
      }
      if has(Control.atomic) {
        guard !has(Control.write) else { throw refuse("an atomic that writes") }
        guard initiator.length == Self.increment else {
          throw Violation(
            "atomic operation \(initiator.length.hexadecimal)",
            remedy: "0x107c, to add and return the old value, is modelled alone")
        }
        kind = .atomic
      } else if has(Control.write) {
        kind = has(Control.inline) ? .inlineWrite : .write
      } else {
        guard !has(Control.inline), has(Control.acknowledged) else {
          throw refuse("a read that is inline, or whose response nobody wants")
        }
        kind = .read
      }
    }
    target = Address(initiator.target)
    result = Address(initiator.result)
    start = initiator.result.high >> 16 & 0xFFF
    let extra = has(Control.multicast) ? 0 : initiator.result.high >> 16
    guard initiator.target.high >> 16 == 0, extra == 0, initiator.result.high >> 28 == 0 else {
      throw Violation(
        "NoC address with \(initiator.target.high.hexadecimal), "
          + "\(initiator.result.high.hexadecimal) in its upper halves",
        remedy: "give coordinates of six bits each, and a start to multicasts alone")
    }
    length = Int(initiator.length)
    data = initiator.data
    transaction = Int(initiator.tag >> 10 & 0xF)
    isAcknowledged = has(Control.acknowledged)
    includesSource = has(Control.includesSource)
    switch kind {
    case .read, .write, .multicast:
      guard (1...Self.longest).contains(length) else {
        throw Violation(
          "NoC request of \(length) bytes", remedy: "send 1 to \(Self.longest) at a time")
      }
    case .inlineWrite, .atomic: break
    }
  }
}
