/// Conversions between float32 and the two 16-bit float formats, on bit patterns.
enum BFloat16 {
  /// The upper 16 bits, rounded to nearest, ties to even; a NaN stays a (quiet) NaN.
  @inline(__always)
  static func bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if bits & 0x7FFF_FFFF > 0x7F80_0000 {
      return UInt16(truncatingIfNeeded: bits >> 16) | 0x0040
    }
    return UInt16(truncatingIfNeeded: (bits &+ 0x7FFF &+ ((bits >> 16) & 1)) >> 16)
  }

  /// Exact: every bfloat16 is a float32.
  @inline(__always)
  static func float(_ bits: UInt16) -> Float {
    Float(bitPattern: UInt32(bits) << 16)
  }

  /// `value` rounded to the nearest bfloat16.
  @inline(__always)
  static func rounded(_ value: Float) -> Float { float(bits(value)) }
}

enum Half {
  /// Exact: every half is a float32.
  @inline(__always)
  static func float(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1F
    let fraction = UInt32(bits & 0x3FF)
    switch exponent {
    case 0:  // zero and subnormals: fraction x 2^-24
      let magnitude = Float(fraction) * Float(bitPattern: 0x3380_0000)
      return Float(bitPattern: magnitude.bitPattern | sign)
    case 0x1F:  // infinity and NaN
      return Float(bitPattern: sign | 0x7F80_0000 | fraction << 13)
    default:
      return Float(bitPattern: sign | (exponent + 112) << 23 | fraction << 13)
    }
  }

  /// Rounded to nearest, ties to even; overflow becomes infinity, a NaN stays a NaN.
  static func bits(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
    let magnitude = bits & 0x7FFF_FFFF
    if magnitude > 0x7F80_0000 { return sign | 0x7E00 }
    if magnitude >= 0x4780_0000 { return sign | 0x7C00 }
    if magnitude < 0x3880_0000 {  // below the smallest normal half: count steps of 2^-24
      let steps = (Float(bitPattern: magnitude) * 0x1p24).rounded(.toNearestOrEven)
      return sign | UInt16(steps)
    }
    let rebiased = magnitude - (112 << 23)
    return sign | UInt16(truncatingIfNeeded: (rebiased + 0xFFF + ((rebiased >> 13) & 1)) >> 13)
  }
}
