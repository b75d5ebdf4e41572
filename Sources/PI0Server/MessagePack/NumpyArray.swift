/// A NumPy array: elements in row-major order, little-endian.
public struct NumpyArray: Sendable, Equatable {
  /// The element types that observations and actions have. Raw values are NumPy's `dtype.str`.
  public enum ElementType: String, Sendable, CaseIterable {
    /// `bool`, a byte.
    case bool = "|b1"
    /// `uint8`, as in pictures.
    case uint8 = "|u1"
    /// `int8`.
    case int8 = "|i1"
    /// `uint16`.
    case uint16 = "<u2"
    /// `int16`.
    case int16 = "<i2"
    /// `uint32`.
    case uint32 = "<u4"
    /// `int32`.
    case int32 = "<i4"
    /// `uint64`.
    case uint64 = "<u8"
    /// `int64`.
    case int64 = "<i8"
    /// `float16`.
    case float16 = "<f2"
    /// `float32`.
    case float32 = "<f4"
    /// `float64`.
    case float64 = "<f8"

    /// Bytes of an element.
    public var byteCount: Int {
      switch self {
      case .bool, .uint8, .int8: 1
      case .uint16, .int16, .float16: 2
      case .uint32, .int32, .float32: 4
      case .uint64, .int64, .float64: 8
      }
    }
  }

  /// The type of all elements.
  public let elementType: ElementType
  /// The dimensions; none for a single element.
  public let shape: [Int]
  /// The elements.
  public let bytes: ArraySlice<UInt8>

  /// An array of the given parts.
  ///
  /// - Throws: ``ServerError/message(_:)`` where the bytes are not those of the shape.
  public init(
    _ elementType: ElementType, shape: [Int], bytes: ArraySlice<UInt8>
  ) throws(ServerError) {
    guard let count = Self.elementCount(shape) else {
      throw .message("no array can have the shape \(shape)")
    }
    let (expected, overflow) = count.multipliedReportingOverflow(by: elementType.byteCount)
    guard !overflow, expected == bytes.count else {
      throw .message(
        "an array \(elementType.rawValue) \(shape) has \(bytes.count) bytes of data; it takes "
          + (overflow ? "more than memory holds" : "\(expected)"))
    }
    self.elementType = elementType
    self.shape = shape
    self.bytes = bytes
  }

  /// A float64 array.
  ///
  /// - Throws: ``ServerError/message(_:)`` where the count of elements is not that of the shape.
  public init(_ elements: [Double], shape: [Int]) throws(ServerError) {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 * elements.count)
    for element in elements {
      withUnsafeBytes(of: element.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }
    try self.init(.float64, shape: shape, bytes: bytes[...])
  }

  /// The product of the dimensions; nil where there is no such shape.
  static func elementCount(_ shape: [Int]) -> Int? {
    var count = 1
    for dimension in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard dimension >= 0, !overflow else { return nil }
      count = product
    }
    return count
  }

  /// Number of elements.
  public var count: Int { bytes.count / elementType.byteCount }

  /// Whether the elements are floats.
  public var isFloat: Bool {
    switch elementType {
    case .float16, .float32, .float64: true
    default: false
    }
  }

  /// The elements as numbers, rounded to nearest where 64-bit integers exceed 53 bits; bool becomes
  /// 0 and 1.
  public var numbers: [Double] {
    switch elementType {
    case .bool: elements(UInt8.self).map { $0 == 0 ? 0 : 1 }
    case .uint8: elements(UInt8.self).map { Double($0) }
    case .int8: elements(Int8.self).map { Double($0) }
    case .uint16: elements(UInt16.self).map { Double($0) }
    case .int16: elements(Int16.self).map { Double($0) }
    case .uint32: elements(UInt32.self).map { Double($0) }
    case .int32: elements(Int32.self).map { Double($0) }
    case .uint64: elements(UInt64.self).map { Double($0) }
    case .int64: elements(Int64.self).map { Double($0) }
    case .float16: elements(UInt16.self).map(Self.half)
    case .float32: elements(UInt32.self).map { Double(Float(bitPattern: $0)) }
    case .float64: elements(UInt64.self).map(Double.init(bitPattern:))
    }
  }

  private func elements<Integer: FixedWidthInteger & BitwiseCopyable>(
    _ type: Integer.Type
  ) -> [Integer] {
    bytes.withUnsafeBytes { source in
      (0..<source.count / MemoryLayout<Integer>.size).map {
        Integer(
          littleEndian: source.loadUnaligned(
            fromByteOffset: $0 * MemoryLayout<Integer>.size, as: Integer.self))
      }
    }
  }

  /// The value of 16 bits: sign, five bits of exponent, ten of mantissa.
  private static func half(_ bits: UInt16) -> Double {
    let mantissa = Double(bits & 0x3FF) / 1024
    let sign = bits & 0x8000 == 0 ? 1.0 : -1.0
    switch Int(bits >> 10 & 0x1F) {
    case 0: return sign * mantissa * 0x1p-14
    case 31: return mantissa == 0 ? sign * .infinity : .nan
    case let exponent:
      return sign * Double(sign: .plus, exponent: exponent - 15, significand: 1 + mantissa)
    }
  }
}

extension NumpyArray: CustomStringConvertible {
  /// Type and shape, for example `<f4 [50, 32]`.
  public var description: String { "\(elementType.rawValue) \(shape)" }
}
