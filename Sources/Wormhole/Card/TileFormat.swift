internal import TensixISA

/// How a tile of 32 x 32 values is stored on the card.
package enum TileFormat: Hashable, Sendable, CaseIterable {
  /// 2048 bytes.
  case bfloat16
  /// 4096 bytes.
  case float32
  /// 1088 bytes: 8 bits a value, sign and 7 bits of magnitude under an exponent that 16 values of a
  /// row share. For weights.
  case bfp8
  /// The same with values of five significant bits, which the matrix unit takes in one fidelity phase (LoFi).
  case bfp8LoFi

  var code: UInt32 {
    switch self {
    case .bfloat16: DataFormat.bfloat16
    case .float32: DataFormat.float32
    case .bfp8, .bfp8LoFi: DataFormat.bfp8
    }
  }

  /// Values share exponents: a format for weights alone.
  var isShared: Bool { code == DataFormat.bfp8 }

  package var tileBytes: Int { Int(DataFormat.tileBytes(code)) }
}
