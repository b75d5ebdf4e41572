/// The instructions that change the configuration
/// (tt-isa-documentation, TensixCoprocessor/ConfigurationUnit.md).
struct ConfigurationUnit {
  let configuration: Configuration
  let scalarUnit: ScalarUnit

  /// WRCFG, RDCFG, SETC16, RMWCIB0 to RMWCIB3.
  func execute(_ instruction: UInt32, opcode: UInt8, thread: Int) throws(Violation) {
    let bank = configuration.selectedBank
    switch opcode {
    case 0xB0:
      guard instruction & 0xC0_7800 == 0 else { throw unknownBits(instruction) }
      try write(
        Int(instruction & 0x7FF), register: Int(instruction >> 16 & 0x3F),
        fourWords: instruction & 0x8000 != 0, thread: thread, bank: bank)
    case 0xB1:
      guard instruction & 0xC0_F800 == 0 else { throw unknownBits(instruction) }
      let value = try configuration.read(Int(instruction & 0x7FF), bank: bank)
      try scalarUnit.write(Int(instruction >> 16 & 0x3F), value, thread: thread)
    case 0xB2:
      try configuration.set(
        Int(instruction >> 16 & 0xFF), instruction & 0xFFFF, thread: thread)
    case 0xB3...0xB6:
      let shift = 8 * UInt32(opcode - 0xB3)
      let word = Int(instruction & 0xFF)
      let mask = (instruction >> 16 & 0xFF) << shift, value = (instruction >> 8 & 0xFF) << shift
      let old = try configuration.read(word, bank: bank)
      try configuration.write(word, old & ~mask | value & mask, bank: bank)
    default: throw unknownBits(instruction)
    }
  }

  private func write(_ word: Int, register: Int, fourWords: Bool, thread: Int, bank: Int)
    throws(Violation)
  {
    guard fourWords else {
      return try configuration.write(
        word, scalarUnit.read(register, thread: thread), bank: bank)
    }
    guard word & 3 == 0, register & 3 == 0 else {
      throw Violation(
        "WRCFG of four words from register \(register) to word \(word)",
        remedy: "both must be multiples of four")
    }
    for index in 0..<4 {
      try configuration.write(
        word + index, scalarUnit.read(register + index, thread: thread), bank: bank)
    }
  }

  private func unknownBits(_ instruction: UInt32) -> Violation {
    Violation(
      "instruction 0x\(String(instruction, radix: 16)) sets bits that mean nothing",
      remedy: "leave them 0")
  }
}
