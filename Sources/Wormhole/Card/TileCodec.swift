internal import TensixISA

/// Values to the bytes of tiles and back.
enum TileCodec {
  /// Round to nearest, ties to even; not-a-number stays so.
  @inline(__always) static func bfloat16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) >> 16)
  }

  @inline(__always) static func float(_ bits: UInt16) -> Float {
    Float(bitPattern: UInt32(bits) << 16)
  }

  /// Writes one tile, whose row r begins at `values[r * stride]`.
  static func encode(
    _ format: TileFormat, _ values: UnsafeBufferPointer<Float>, stride: Int,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    for line in 0..<64 {
      // A row of a face.
      let row = (line >> 5) << 4 | line & 15, column = line & 16
      let values = UnsafeBufferPointer(
        rebasing: values[row * stride + column..<row * stride + column + 16])
      switch format {
      case .bfloat16:
        for i in 0..<16 {
          bytes.storeBytes(
            of: bfloat16(values[i]), toByteOffset: 2 * (16 * line + i), as: UInt16.self)
        }
      case .float32:
        for i in 0..<16 {
          bytes.storeBytes(
            of: values[i].bitPattern, toByteOffset: 4 * (16 * line + i), as: UInt32.self)
        }
      case .bfp8:
        encodeShared(values, bits: 7, line: line, into: bytes)
      case .bfp8LoFi:
        encodeShared(values, bits: 5, line: line, into: bytes)
      }
    }
  }

  /// Sixteen values under their largest exponent, rounded to nearest, to so many significant bits.
  private static func encodeShared(
    _ values: UnsafeBufferPointer<Float>, bits: UInt32, line: Int,
    into bytes: UnsafeMutableRawBufferPointer
  ) {
    var exponent: UInt32 = 0
    for i in 0..<16 { exponent = max(exponent, values[i].bitPattern >> 23 & 0xFF) }
    // Magnitude m stands for m * 2^(exponent - 127 - 6). Where rounding would give 128 it stays below, 127 with
    // seven bits, which costs that value less than the next exponent would cost the other fifteen.
    bytes[line] = UInt8(exponent)
    let largest: UInt32 = 128 - 1 << (7 - bits)
    for i in 0..<16 {
      let magnitude = min(largest, magnitude(values[i], exponent, bits: bits))
      let sign: UInt8 = values[i].sign == .minus && magnitude != 0 ? 0x80 : 0
      bytes[64 + line * 16 + i] = UInt8(magnitude) | sign
    }
  }

  /// The value in units of the shared exponent's last place, half up.
  @inline(__always) private static func magnitude(
    _ value: Float, _ exponent: UInt32, bits count: UInt32
  ) -> UInt32 {
    let bits = value.bitPattern, own = bits >> 23 & 0xFF
    if own == 0 { return 0 }
    let place = 17 + exponent - own, shift = max(place, 24 - count)
    if shift > 25 { return 0 }
    let rounded = ((bits & 0x7F_FFFF | 0x80_0000) &+ 1 << (shift - 1)) >> shift
    return rounded << (shift - place)
  }

  /// The value at a place of a tile.
  @inline(__always) static func decode(
    _ format: TileFormat, _ bytes: UnsafeRawBufferPointer, row: Int, column: Int
  ) -> Float {
    let index = tileOffset(row: row, column: column)
    switch format {
    case .bfloat16:
      return float(bytes.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self))
    case .float32:
      return Float(
        bitPattern: bytes.loadUnaligned(fromByteOffset: 4 * index, as: UInt32.self))
    case .bfp8, .bfp8LoFi:
      let magnitude = Float(bytes[64 + index] & 0x7F)
      let unit = Float(sign: .plus, exponent: Int(bytes[index >> 4]) - 133, significand: 1)
      return bytes[64 + index] & 0x80 != 0 ? -magnitude * unit : magnitude * unit
    }
  }
}
