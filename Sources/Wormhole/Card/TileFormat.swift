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

  var code: UInt32 {
    switch self {
    case .bfloat16: DataFormat.bfloat16
    case .float32: DataFormat.float32
    case .bfp8: DataFormat.bfp8
    }
  }

  package var tileBytes: Int { Int(DataFormat.tileBytes(code)) }
}
