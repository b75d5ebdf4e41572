/// An RV32IM instruction in words, for errors and traces.
enum RISCVInstruction {
  private static let names = [
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4",
    "a5", "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4",
    "t5", "t6",
  ]

  static func name(ofRegister number: Int) -> String { names[number & 31] }

  /// As an assembler writes it, with absolute targets of jumps.
  static func words(for word: UInt32, at programCounter: UInt32) -> String {
    if word & 3 != 3 {
      let pushed = word >> 2 | word << 30
      return "push \(pushed.instructionName) \(pushed.hexadecimal)"
    }
    let function = Int(word >> 12 & 7)
    let top = word >> 25
    let rd = names[Int(word >> 7 & 31)]
    let rs1 = names[Int(word >> 15 & 31)]
    let rs2 = names[Int(word >> 20 & 31)]
    let signed = Int32(bitPattern: word)
    let immediate = signed >> 20
    func target(_ offset: Int32) -> String {
      (programCounter &+ UInt32(bitPattern: offset)).hexadecimal
    }
    let unknown = "\(word.hexadecimal)?"
    switch word & 0x7F {
    case 0x37: return "lui \(rd), \((word & 0xFFFF_F000).hexadecimal)"
    case 0x17: return "auipc \(rd), \((word & 0xFFFF_F000).hexadecimal)"
    case 0x6F:
      let offset =
        (signed >> 31) << 20
        | Int32(bitPattern: word & 0xFF000 | word >> 9 & 0x800 | word >> 20 & 0x7FE)
      return rd == "zero" ? "j \(target(offset))" : "jal \(rd), \(target(offset))"
    case 0x67 where function == 0: return "jalr \(rd), \(immediate)(\(rs1))"
    case 0x63:
      let name = ["beq", "bne", "", "", "blt", "bge", "bltu", "bgeu"][function]
      if name.isEmpty { return unknown }
      let offset =
        (signed >> 31) << 12
        | Int32(bitPattern: word << 4 & 0x800 | word >> 20 & 0x7E0 | word >> 7 & 0x1E)
      return "\(name) \(rs1), \(rs2), \(target(offset))"
    case 0x03:
      let name = ["lb", "lh", "lw", "", "lbu", "lhu", "", ""][function]
      return name.isEmpty ? unknown : "\(name) \(rd), \(immediate)(\(rs1))"
    case 0x23:
      let name = ["sb", "sh", "sw", "", "", "", "", ""][function]
      let offset = (signed >> 25) << 5 | Int32(bitPattern: word >> 7 & 31)
      return name.isEmpty ? unknown : "\(name) \(rs2), \(offset)(\(rs1))"
    case 0x13:
      if function == 1 || function == 5 {
        let name = [1: top == 0 ? "slli" : "", 5: top == 0 ? "srli" : top == 32 ? "srai" : ""]
        guard let shift = name[function], !shift.isEmpty else { return unknown }
        return "\(shift) \(rd), \(rs1), \(word >> 20 & 31)"
      }
      if function == 0 && immediate == 0 { return "mv \(rd), \(rs1)" }
      let name = ["addi", "", "slti", "sltiu", "xori", "", "ori", "andi"][function]
      return "\(name) \(rd), \(rs1), \(immediate)"
    case 0x33:
      let name: String
      switch (top, function) {
      case (0, _): name = ["add", "sll", "slt", "sltu", "xor", "srl", "or", "and"][function]
      case (1, _):
        name = ["mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"][function]
      case (32, 0): name = "sub"
      case (32, 5): name = "sra"
      default: return unknown
      }
      return "\(name) \(rd), \(rs1), \(rs2)"
    default: return unknown
    }
  }
}
