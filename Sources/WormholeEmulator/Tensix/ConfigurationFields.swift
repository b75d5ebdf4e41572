/// Some bits of a configuration word.
struct ConfigurationField {
  let word: Int
  let shift: UInt32
  let mask: UInt32

  init(_ word: Int, _ shift: UInt32, bits: UInt32) {
    self.word = word
    self.shift = shift
    mask = bits == 32 ? ~0 : 1 << bits - 1
  }
}

/// Some bits of a register that SETC16 writes.
struct ThreadField {
  let register: Int
  let shift: UInt32
  let mask: UInt32

  init(_ register: Int, _ shift: UInt32, bits: UInt32) {
    self.register = register
    self.shift = shift
    mask = 1 << bits - 1
  }
}

// MARK: - Arithmetic

extension ConfigurationField {
  static var sourceAFormatOverride: Self { Self(0, 4, bits: 1) }
  static var sourceAFormatOverrideValue: Self { Self(0, 0, bits: 4) }
  static var sourceAUnsigned: Self { Self(1, 15, bits: 1) }
  static var sourceBUnsigned: Self { Self(1, 16, bits: 1) }
  static var sourceAFormat: Self { Self(1, 17, bits: 4) }
  static var sourceBFormat: Self { Self(1, 21, bits: 4) }
  static var destinationFormat: Self { Self(1, 25, bits: 4) }
  /// The matrix unit keeps 32 bits in Dst.
  static var destinationIs32Bit: Self { Self(1, 29, bits: 1) }
  /// The vector unit reads and writes 32 bits in Dst.
  static var vectorUnitUses32Bit: Self { Self(1, 30, bits: 1) }
  static var integerArithmetic: Self { Self(1, 31, bits: 1) }
  static var sourceZeroFlagsDisabled: Self { Self(2, 0, bits: 1) }
  static var destinationZeroFlagsDisabled: Self { Self(2, 1, bits: 1) }
}

// MARK: - Packers

extension ConfigurationField {
  static var reluMode: Self { Self(2, 2, bits: 4) }
  static var reluThreshold: Self { Self(2, 6, bits: 16) }
  static var packSourceXStride: Self { Self(8, 0, bits: 12) }
  static var packSourceYStride: Self { Self(8, 12, bits: 12) }
  static var packSourceZStride: Self { Self(9, 0, bits: 12) }
  static var packSourceWStride: Self { Self(9, 12, bits: 16) }
  static var packReads32Bit: Self { Self(14, 0, bits: 1) }
  static var packReadsUnsigned: Self { Self(14, 1, bits: 1) }
  static var packReadsRaw: Self { Self(14, 2, bits: 1) }
  static var packRoundsTo10Bits: Self { Self(14, 3, bits: 1) }
  static var edgeMask0: Self { Self(20, 0, bits: 16) }
  static var edgeMode: Self { Self(20, 16, bits: 1) }
  static var edgeRowSets: Self { Self(20, 17, bits: 8) }
  static var edgeMask1: Self { Self(21, 0, bits: 16) }
}

/// The four packers' words are spread over the configuration; `packer` is 0 to 3.
extension ConfigurationField {
  private static func packerWord(_ packer: Int) -> Int {
    switch packer {
    case 0: 56
    case 1: 84
    case 2: 96
    default: 124
    }
  }

  static func packCounters(_ packer: Int) -> Self { Self(24 + packer, 0, bits: 32) }
  static func packRowStartSize(_ packer: Int) -> Self { Self(packerWord(packer), 0, bits: 16) }
  static func packExponentSize(_ packer: Int) -> Self { Self(packerWord(packer), 16, bits: 16) }
  static func packAddress(_ packer: Int) -> Self { Self(packerWord(packer) + 1, 0, bits: 32) }
  static func packFormats(_ packer: Int) -> Self { Self(packerWord(packer) + 2, 0, bits: 32) }
  static func packModes(_ packer: Int) -> Self { Self(packerWord(packer) + 3, 0, bits: 32) }
  static func packRowOffset(_ packer: Int) -> Self { Self(152 + packer, 0, bits: 12) }
  static func packZOffset(_ packer: Int) -> Self { Self(152 + packer, 12, bits: 6) }
}

// MARK: - Unpackers: 0 writes SrcA or Dst, 1 writes SrcB

extension ConfigurationField {
  static func tileDescriptor(_ unpacker: Int) -> Self { Self(unpacker == 0 ? 52 : 92, 0, bits: 32) }
  static func tileDimensions(_ unpacker: Int) -> Self { Self(unpacker == 0 ? 53 : 93, 0, bits: 32) }
  static func unpackModes(_ unpacker: Int) -> Self { Self(unpacker == 0 ? 60 : 100, 0, bits: 32) }
  /// Four bits for contexts 0 to 3 each: no compression (0), Dst instead of SrcA (4); bit 8: one
  /// exponent for everything.
  static func unpackContexts(_ unpacker: Int) -> Self {
    Self(unpacker == 0 ? 61 : 101, 0, bits: 32)
  }
  static func unpackBase(_ unpacker: Int, context: Int) -> Self {
    Self((unpacker == 0 ? 64 : 104) + context, 0, bits: 32)
  }
  /// Unpacker 0 only: unpacker 1's offset cannot be written and is 0.
  static func unpackOffset(context: Int) -> Self { Self(80 + context, 0, bits: 16) }
  static func unpackDestination(context: Int) -> Self {
    Self(72, UInt32(16 * context), bits: 16)
  }
  static func unpackRowLength(context: Int) -> Self { Self(74, UInt32(16 * context), bits: 16) }
  static var forcedExponent: Self { Self(41, 0, bits: 8) }
  static var addsDestinationCounter: Self { Self(41, 8, bits: 1) }
  static var unpack0YStride: Self { Self(44, 12, bits: 12) }
  static var unpack0ZStride: Self { Self(45, 0, bits: 12) }
  static var unpack1ZStride: Self { Self(47, 0, bits: 12) }
}

// MARK: - A thread's registers

extension ThreadField {
  static var configurationBank: Self { Self(0, 0, bits: 1) }
  /// First row of Dst for the matrix and vector unit.
  static var destinationRow: Self { Self(1, 0, bits: 12) }
  /// Address modes 4 to 7 in place of 0 to 3.
  static var addressModesFrom4: Self { Self(2, 0, bits: 1) }
  static var sourceABase: Self { Self(3, 0, bits: 2) }
  static var sourceAOverride: Self { Self(3, 2, bits: 1) }
  static var keepsSourceAValid: Self { Self(5, 0, bits: 1) }
  static var keepsSourceBValid: Self { Self(5, 1, bits: 1) }
  static var fidelityBase: Self { Self(6, 0, bits: 2) }
  static func unpackContext(_ unpacker: Int) -> Self { Self(39, UInt32(8 * unpacker), bits: 4) }

  /// Address mode `mode`, 0 to 7, of SrcA (low byte) and SrcB: step, return, clear.
  static func sourceSteps(_ mode: Int) -> Self { Self(7 + 2 * mode, 0, bits: 16) }
  /// Of Dst and the fidelity phase.
  static func destinationSteps(_ mode: Int) -> Self { Self(23 + mode, 0, bits: 16) }
  static func biasSteps(_ mode: Int) -> Self { Self(48 + mode, 0, bits: 5) }
  /// Of the packers, mode 0 to 3.
  static func packSteps(_ mode: Int) -> Self { Self(31 + mode, 0, bits: 16) }
}
