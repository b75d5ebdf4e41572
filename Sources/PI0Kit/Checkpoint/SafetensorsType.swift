/// The type of a tensor's elements in a safetensors file. The raw value is the header's `dtype`.
public enum SafetensorsType: String, Sendable, CaseIterable {
  /// One byte, 0 or 1.
  case bool = "BOOL"
  /// Unsigned, 8 bits.
  case uint8 = "U8"
  /// Two's complement, 8 bits.
  case int8 = "I8"
  /// Unsigned, 16 bits.
  case uint16 = "U16"
  /// Two's complement, 16 bits.
  case int16 = "I16"
  /// Unsigned, 32 bits.
  case uint32 = "U32"
  /// Two's complement, 32 bits.
  case int32 = "I32"
  /// Unsigned, 64 bits.
  case uint64 = "U64"
  /// Two's complement, 64 bits.
  case int64 = "I64"
  /// OCP microscaling, 4 bits, two elements a byte.
  case float4 = "F4"
  /// OCP microscaling, 2 exponent and 3 fraction bits, four elements in three bytes.
  case float6E2M3 = "F6_E2M3"
  /// OCP microscaling, 3 exponent and 2 fraction bits, four elements in three bytes.
  case float6E3M2 = "F6_E3M2"
  /// 5 exponent and 2 fraction bits.
  case float8E5M2 = "F8_E5M2"
  /// 4 exponent and 3 fraction bits.
  case float8E4M3 = "F8_E4M3"
  /// OCP microscaling's scale: 8 exponent bits alone.
  case float8E8M0 = "F8_E8M0"
  /// 5 exponent and 2 fraction bits, without infinities and negative zero.
  case float8E5M2FNUZ = "F8_E5M2FNUZ"
  /// 4 exponent and 3 fraction bits, without infinities and negative zero.
  case float8E4M3FNUZ = "F8_E4M3FNUZ"
  /// IEEE 754 half precision.
  case float16 = "F16"
  /// The upper half of a float32.
  case bfloat16 = "BF16"
  /// IEEE 754 single precision.
  case float32 = "F32"
  /// IEEE 754 double precision.
  case float64 = "F64"
  /// Complex, two float32.
  case complex64 = "C64"

  /// Bits an element takes.
  public var bitCount: Int {
    switch self {
    case .float4: 4
    case .float6E2M3, .float6E3M2: 6
    case .bool, .uint8, .int8: 8
    case .float8E5M2, .float8E4M3, .float8E8M0, .float8E5M2FNUZ, .float8E4M3FNUZ: 8
    case .uint16, .int16, .float16, .bfloat16: 16
    case .uint32, .int32, .float32: 32
    case .uint64, .int64, .float64, .complex64: 64
    }
  }

  /// Bytes that `elementCount` elements take; nil where they end within a byte or are too many.
  func byteCount(of elementCount: Int) -> Int? {
    let (bits, overflow) = elementCount.multipliedReportingOverflow(by: bitCount)
    return overflow || bits % 8 != 0 ? nil : bits / 8
  }
}
