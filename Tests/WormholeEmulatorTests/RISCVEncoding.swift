/// RV32I instructions as words.
enum RISCV {
  static func upper(_ opcode: UInt32, _ register: UInt32, _ value: UInt32) -> UInt32 {
    opcode | register << 7 | value & 0xFFFF_F000
  }

  static func immediate(_ rd: UInt32, _ function: UInt32, _ rs1: UInt32, _ value: Int32) -> UInt32 {
    0x13 | rd << 7 | function << 12 | rs1 << 15 | UInt32(bitPattern: value) << 20
  }

  static func branch(
    _ function: UInt32, _ rs1: UInt32, _ rs2: UInt32, _ distance: Int32
  ) -> UInt32 {
    let d = UInt32(bitPattern: distance)
    return 0x63 | function << 12 | rs1 << 15 | rs2 << 20 | (d >> 11 & 1) << 7 | (d >> 1 & 15) << 8
      | (d >> 5 & 63) << 25 | (d >> 12 & 1) << 31
  }

  static func jump(_ rd: UInt32, _ distance: Int32) -> UInt32 {
    let d = UInt32(bitPattern: distance)
    return 0x6F | rd << 7 | d & 0xFF000 | (d >> 11 & 1) << 20 | (d >> 1 & 0x3FF) << 21
      | (d >> 20 & 1) << 31
  }

  static func store(
    _ function: UInt32, _ base: UInt32, _ offset: Int32, _ register: UInt32
  ) -> UInt32 {
    let bits = UInt32(bitPattern: offset)
    return 0x23 | (bits & 31) << 7 | function << 12 | base << 15 | register << 20
      | (bits >> 5) << 25
  }

  // As an assembler has them.

  static func li(_ rd: UInt32, _ value: UInt32) -> [UInt32] {
    [
      upper(0x37, rd, value &+ 0x800),
      immediate(rd, 0, rd, Int32(bitPattern: value << 20) >> 20),
    ]
  }
  static func lw(_ rd: UInt32, _ offset: Int32 = 0, _ base: UInt32) -> UInt32 {
    0x03 | rd << 7 | 2 << 12 | base << 15 | UInt32(bitPattern: offset) << 20
  }
  static func sw(_ register: UInt32, _ offset: Int32 = 0, _ base: UInt32) -> UInt32 {
    store(2, base, offset, register)
  }
  static func addi(_ rd: UInt32, _ rs1: UInt32, _ value: Int32) -> UInt32 {
    immediate(rd, 0, rs1, value)
  }
  static func bne(_ rs1: UInt32, _ rs2: UInt32, _ distance: Int32) -> UInt32 {
    branch(1, rs1, rs2, distance)
  }
  static let nop = addi(0, 0, 0)
  /// Stops a core of the emulator.
  static let ecall: UInt32 = 0x73
}
