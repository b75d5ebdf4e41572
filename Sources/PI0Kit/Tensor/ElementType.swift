/// The type of a tensor's elements.
public enum ElementType: String, Sendable, CaseIterable {
  /// IEEE 754 single precision.
  case float32
  /// The upper half of a float32.
  case bfloat16
  /// IEEE 754 half precision. Read and computed with; no operation makes it from other types.
  case float16
  /// Two's complement, 32 bits.
  case int32
  /// One byte, 0 to 255, such as a pixel's red. Moved and converted; no arithmetic is done with it.
  case uint8
  /// One byte, 0 or 1.
  case bool

  /// Bytes an element takes.
  public var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .bfloat16, .float16: 2
    case .uint8, .bool: 1
    }
  }

  /// True for the three floating-point types.
  public var isFloat: Bool {
    switch self {
    case .float32, .bfloat16, .float16: true
    case .int32, .uint8, .bool: false
    }
  }

  /// The type that elements of two types combine to, by PyTorch's promotion rules: bool below
  /// uint8 below int32 below the floats; two unlike 16-bit floats meet in float32.
  public static func promoted(_ a: ElementType, _ b: ElementType) -> ElementType {
    if a == b { return a }
    if a.isFloat && b.isFloat { return .float32 }
    if a.isFloat { return a }
    if b.isFloat { return b }
    return a == .int32 || b == .int32 ? .int32 : .uint8
  }
}
