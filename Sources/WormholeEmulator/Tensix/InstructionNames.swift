extension UInt32 {
  /// Name of the coprocessor instruction that this word is.
  var instructionName: String {
    Self.instructionNames[self >> 24] ?? "instruction 0x\(String(self, radix: 16))"
  }

  private static let instructionNames: [UInt32: String] = [
    0x01: "MOP", 0x02: "NOP", 0x03: "MOP_CFG", 0x04: "REPLAY", 0x08: "MOVD2A", 0x0A: "MOVD2B",
    0x0B: "MOVB2A", 0x10: "ZEROACC", 0x11: "ZEROSRC", 0x12: "MOVA2D", 0x13: "MOVB2D",
    0x16: "TRNSPSRCB", 0x26: "MVMUL", 0x27: "ELWMUL", 0x28: "ELWADD", 0x30: "ELWSUB",
    0x33: "GMPOOL", 0x34: "GAPOOL", 0x35: "GATESRCRST", 0x36: "CLEARDVALID", 0x37: "SETRWC",
    0x38: "INCRWC", 0x41: "PACR", 0x42: "UNPACR", 0x43: "UNPACR_NOP", 0x45: "SETDMAREG",
    0x48: "REG2FLOP", 0x50: "SETADC", 0x51: "SETADCXY", 0x52: "INCADCXY", 0x53: "ADDRCRXY",
    0x54: "SETADCZW", 0x55: "INCADCZW", 0x56: "ADDRCRZW", 0x57: "SETDVALID", 0x58: "ADDDMAREG",
    0x5A: "MULDMAREG", 0x5E: "SETADCXX", 0x60: "DMANOP", 0x67: "STOREREG", 0x70: "SFPLOAD",
    0x71: "SFPLOADI", 0x72: "SFPSTORE", 0x73: "SFPLUT", 0x74: "SFPMULI", 0x75: "SFPADDI",
    0x76: "SFPDIVP2", 0x77: "SFPEXEXP", 0x78: "SFPEXMAN", 0x79: "SFPIADD", 0x7A: "SFPSHFT",
    0x7B: "SFPSETCC", 0x7C: "SFPMOV", 0x7D: "SFPABS", 0x7E: "SFPAND", 0x7F: "SFPOR",
    0x80: "SFPNOT", 0x81: "SFPLZ", 0x82: "SFPSETEXP", 0x83: "SFPSETMAN", 0x84: "SFPMAD",
    0x85: "SFPADD", 0x86: "SFPMUL", 0x87: "SFPPUSHC", 0x88: "SFPPOPC", 0x89: "SFPSETSGN",
    0x8A: "SFPENCC", 0x8B: "SFPCOMPC", 0x8C: "SFPTRANSP", 0x8D: "SFPXOR", 0x8E: "SFPSTOCHRND",
    0x8F: "SFPNOP", 0x90: "SFPCAST", 0x91: "SFPCONFIG", 0x92: "SFPSWAP", 0x93: "SFPLOADMACRO",
    0x94: "SFPSHFT2", 0x95: "SFPLUTFP32", 0xA0: "ATGETM", 0xA1: "ATRELM", 0xA2: "STALLWAIT",
    0xA3: "SEMINIT", 0xA4: "SEMPOST", 0xA5: "SEMGET", 0xA6: "SEMWAIT", 0xB0: "WRCFG",
    0xB1: "RDCFG", 0xB2: "SETC16", 0xB3: "RMWCIB0", 0xB4: "RMWCIB1", 0xB5: "RMWCIB2",
    0xB6: "RMWCIB3",
  ]
}
