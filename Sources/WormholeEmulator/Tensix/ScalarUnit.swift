/// Each thread's 64 general-purpose registers, and the instructions on them
/// (tt-isa-documentation, TensixCoprocessor/ScalarUnit.md).
final class ScalarUnit {
  static let registers = 64

  private let values: UnsafeMutablePointer<UInt32>
  /// A bit for each half of each register that has been written.
  private let written: UnsafeMutablePointer<UInt8>
  private let configuration: Configuration

  init(configuration: Configuration) {
    self.configuration = configuration
    let count = Configuration.threadCount * Self.registers
    values = .allocate(capacity: count)
    values.initialize(repeating: 0, count: count)
    written = .allocate(capacity: count)
    written.initialize(repeating: 0, count: count)
  }

  deinit {
    values.deallocate()
    written.deallocate()
  }

  func read(_ register: Int, thread: Int) throws(Violation) -> UInt32 {
    let index = try index(register, thread)
    guard written[index] == 3 else {
      throw Violation(
        "general-purpose register \(register) of the thread is read, of which "
          + (written[index] == 0 ? "nothing" : "only half") + " was written",
        remedy: "set both halves first")
    }
    return values[index]
  }

  func write(_ register: Int, _ value: UInt32, thread: Int) throws(Violation) {
    let index = try index(register, thread)
    values[index] = value
    written[index] = 3
  }

  private func index(_ register: Int, _ thread: Int) throws(Violation) -> Int {
    guard (0..<Self.registers).contains(register) else {
      throw Violation("general-purpose register \(register)", remedy: "a thread has 64")
    }
    return thread * Self.registers + register
  }

  /// SETDMAREG, REG2FLOP, ADDDMAREG, MULDMAREG, DMANOP. `bank` is the thread's of the configuration.
  func execute(_ instruction: UInt32, opcode: UInt8, thread: Int, bank: Int) throws(Violation) {
    switch opcode {
    case 0x45: try setHalf(instruction, thread)
    case 0x48: try copyToConfiguration(instruction, thread, bank)
    case 0x58, 0x5A:
      guard instruction & 0xFC_0000 == 0 else {
        throw Violation(
          "arithmetic on general-purpose registers with a constant operand, or unknown bits: "
            + "0x\(String(instruction, radix: 16))",
          remedy: "both operands must be registers")
      }
      let a = try read(Int(instruction & 0x3F), thread: thread)
      let b = try read(Int(instruction >> 6 & 0x3F), thread: thread)
      let result = opcode == 0x58 ? a &+ b : (a & 0xFFFF) &* (b & 0xFFFF)
      try write(Int(instruction >> 12 & 0x3F), result, thread: thread)
    case 0x60:
      guard instruction & 0xFF_FFFF == 0 else {
        throw Violation("DMANOP with bits set", remedy: "leave them 0")
      }
    default:
      throw Violation(
        "scalar unit instruction 0x\(String(instruction, radix: 16))",
        remedy: "of this unit SETDMAREG, REG2FLOP, ADDDMAREG, MULDMAREG and DMANOP are modelled")
    }
  }

  private func setHalf(_ instruction: UInt32, _ thread: Int) throws(Violation) {
    guard instruction & 0x80 == 0 else {
      throw Violation("SETDMAREG of a signal", remedy: "only immediate values are modelled")
    }
    let index = thread * Self.registers + Int(instruction >> 1 & 0x3F)
    let value = instruction >> 8 & 0xFFFF
    if instruction & 1 != 0 {
      values[index] = values[index] & 0xFFFF | value << 16
      written[index] |= 2
    } else {
      values[index] = values[index] & 0xFFFF_0000 | value
      written[index] |= 1
    }
  }

  /// REG2FLOP: a register becomes a word of the unpackers' or packers' configuration.
  private func copyToConfiguration(_ instruction: UInt32, _ thread: Int, _ bank: Int)
    throws(Violation)
  {
    let size = instruction >> 22 & 3
    let word = Int(instruction >> 6 & 0x7F)
    guard instruction & 0x3F_E000 == 0, size == 1 || size == 2, word < 100 else {
      throw Violation(
        "REG2FLOP 0x\(String(instruction, radix: 16))",
        remedy: "modelled are whole words 52 to 151 of the configuration, size 1 or 2")
    }
    try configuration.write(
      word + 52, read(Int(instruction & 0x3F), thread: thread), bank: bank)
  }
}
