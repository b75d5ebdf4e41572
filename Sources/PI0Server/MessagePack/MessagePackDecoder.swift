/// Reads a MessagePack message that anybody may have sent.
///
/// It refuses what exceeds ``MessageLimits`` before it allocates for it, repeated keys, extension
/// types, text that is no UTF-8, bytes behind the value, and arrays whose parts contradict.
///
/// Source: the MessagePack specification; `openpi_client/msgpack_numpy.py` for arrays.
struct MessagePackDecoder {
  private let bytes: [UInt8]
  private let limits: MessageLimits
  private var offset = 0
  private var valueCount = 0

  /// The value of a whole message.
  ///
  /// - Throws: ``ServerError/message(_:)`` that says what is wrong at which byte.
  static func decode(
    _ bytes: [UInt8], limits: MessageLimits = MessageLimits()
  ) throws(ServerError) -> MessagePackValue {
    guard bytes.count <= limits.byteCount else {
      throw .message(
        "the message has \(bytes.count) bytes; at most \(limits.byteCount) are taken")
    }
    var decoder = MessagePackDecoder(bytes: bytes, limits: limits)
    let value = try decoder.value(depth: 0)
    guard decoder.offset == bytes.count else {
      throw decoder.malformed("\(bytes.count - decoder.offset) bytes follow the message's value")
    }
    return value
  }

  private init(bytes: [UInt8], limits: MessageLimits) {
    self.bytes = bytes
    self.limits = limits
  }

  // MARK: - Values

  private mutating func value(depth: Int) throws(ServerError) -> MessagePackValue {
    guard depth < limits.depth else {
      throw malformed("values lie more than \(limits.depth) deep")
    }
    valueCount += 1
    guard valueCount <= limits.valueCount else {
      throw malformed(
        "the message has more than \(limits.valueCount) values; send numbers as NumPy arrays")
    }
    let first = try byte()
    switch first {
    case 0x00...0x7F: return .integer(Int64(first))
    case 0x80...0x8F: return try map(count: Int(first & 0x0F), depth: depth)
    case 0x90...0x9F: return try list(count: Int(first & 0x0F), depth: depth)
    case 0xA0...0xBF: return .string(try string(count: Int(first & 0x1F)))
    case 0xC0: return .null
    case 0xC2: return .bool(false)
    case 0xC3: return .bool(true)
    case 0xC4: return .bytes(try take(Int(try integer(UInt8.self))))
    case 0xC5: return .bytes(try take(Int(try integer(UInt16.self))))
    case 0xC6: return .bytes(try take(Int(try integer(UInt32.self))))
    case 0xCA: return .number(Double(Float(bitPattern: try integer(UInt32.self))))
    case 0xCB: return .number(Double(bitPattern: try integer(UInt64.self)))
    case 0xCC: return .integer(Int64(try integer(UInt8.self)))
    case 0xCD: return .integer(Int64(try integer(UInt16.self)))
    case 0xCE: return .integer(Int64(try integer(UInt32.self)))
    case 0xCF:
      guard let value = Int64(exactly: try integer(UInt64.self)) else {
        throw malformed("an integer exceeds 63 bits")
      }
      return .integer(value)
    case 0xD0: return .integer(Int64(try integer(Int8.self)))
    case 0xD1: return .integer(Int64(try integer(Int16.self)))
    case 0xD2: return .integer(Int64(try integer(Int32.self)))
    case 0xD3: return .integer(try integer(Int64.self))
    case 0xD9: return .string(try string(count: Int(try integer(UInt8.self))))
    case 0xDA: return .string(try string(count: Int(try integer(UInt16.self))))
    case 0xDB: return .string(try string(count: Int(try integer(UInt32.self))))
    case 0xDC: return try list(count: Int(try integer(UInt16.self)), depth: depth)
    case 0xDD: return try list(count: Int(try integer(UInt32.self)), depth: depth)
    case 0xDE: return try map(count: Int(try integer(UInt16.self)), depth: depth)
    case 0xDF: return try map(count: Int(try integer(UInt32.self)), depth: depth)
    case 0xE0...0xFF: return .integer(Int64(Int8(bitPattern: first)))
    default:  // 0xC1 is unused, the others are extension types
      throw malformed("type \(hexadecimal(first)) is not part of the protocol")
    }
  }

  private mutating func list(count: Int, depth: Int) throws(ServerError) -> MessagePackValue {
    try require(count, "elements")
    var elements: [MessagePackValue] = []
    elements.reserveCapacity(count)
    for _ in 0..<count { elements.append(try value(depth: depth + 1)) }
    return .list(elements)
  }

  /// A dictionary, or what NumPy's keys make of it.
  private mutating func map(count: Int, depth: Int) throws(ServerError) -> MessagePackValue {
    try require(2 * count, "keys and values")
    var strings: [String: MessagePackValue] = [:]
    var numpy: [String: MessagePackValue] = [:]
    for _ in 0..<count {
      let key = try value(depth: depth + 1)
      let entry = try value(depth: depth + 1)
      let isNew =
        switch key {
        case .string(let name): strings.updateValue(entry, forKey: name) == nil
        case .bytes(let name):
          numpy.updateValue(entry, forKey: String(decoding: name.prefix(40), as: UTF8.self)) == nil
        default: throw malformed("a key is \(key.kind); keys are strings")
        }
      guard isNew else { throw malformed("a dictionary has the same key twice") }
    }
    if numpy.isEmpty { return .map(strings) }
    guard strings.isEmpty else { throw malformed("a dictionary has keys of strings and of bytes") }
    if numpy["__ndarray__"] != nil { return try array(numpy) }
    if numpy["__npgeneric__"] != nil { return try scalar(numpy) }
    throw malformed("a dictionary under bytes keys is neither an array nor a scalar of NumPy's")
  }

  // MARK: - NumPy

  private func array(_ parts: [String: MessagePackValue]) throws(ServerError) -> MessagePackValue {
    guard case .bytes(let data)? = parts["data"], case .string(let type)? = parts["dtype"],
      case .list(let dimensions)? = parts["shape"], parts.count == 4
    else {
      throw malformed("an array must have data (bytes), dtype (a string) and shape (a list)")
    }
    guard dimensions.count <= limits.rank else {
      throw malformed(
        "an array has \(dimensions.count) dimensions; at most \(limits.rank) are taken")
    }
    var shape: [Int] = []
    for dimension in dimensions {
      guard case .integer(let size) = dimension, let size = Int(exactly: size) else {
        throw malformed("a dimension of an array is \(dimension.kind)")
      }
      shape.append(size)
    }
    do {
      return .array(try NumpyArray(elementType(type), shape: shape, bytes: data))
    } catch {
      throw malformed(error.description)
    }
  }

  /// A NumPy scalar becomes the plain value.
  private func scalar(_ parts: [String: MessagePackValue]) throws(ServerError) -> MessagePackValue {
    guard let value = parts["data"], case .string(let type)? = parts["dtype"], parts.count == 3
    else { throw malformed("a NumPy scalar must have data and dtype (a string)") }
    switch value {
    case .string where type.hasPrefix("<U"): return value
    case .bool, .integer, .number:
      _ = try elementType(type)
      return value
    default: throw malformed("a NumPy scalar \(shown(type)) is \(value.kind)")
    }
  }

  private func elementType(_ text: String) throws(ServerError) -> NumpyArray.ElementType {
    guard let type = NumpyArray.ElementType(rawValue: text) else {
      let names = NumpyArray.ElementType.allCases.map(\.rawValue).joined(separator: ", ")
      throw malformed("dtype \(shown(text)) is not taken; those that are: \(names)")
    }
    return type
  }

  // MARK: - Bytes

  private mutating func byte() throws(ServerError) -> UInt8 {
    guard offset < bytes.count else { throw truncated() }
    defer { offset += 1 }
    return bytes[offset]
  }

  private mutating func integer<Integer: FixedWidthInteger>(
    _ type: Integer.Type
  ) throws(ServerError) -> Integer {
    var value: Integer = 0
    for byte in try take(MemoryLayout<Integer>.size) {
      value = value << 8 | Integer(truncatingIfNeeded: byte)
    }
    return value
  }

  private mutating func string(count: Int) throws(ServerError) -> String {
    guard let text = String(validating: try take(count), as: UTF8.self) else {
      throw malformed("a string is no UTF-8")
    }
    return text
  }

  private mutating func take(_ count: Int) throws(ServerError) -> ArraySlice<UInt8> {
    guard count <= bytes.count - offset else { throw truncated() }
    defer { offset += count }
    return bytes[offset..<offset + count]
  }

  /// Throws where `count` values, a byte each at least, cannot follow.
  private func require(_ count: Int, _ what: String) throws(ServerError) {
    guard count <= limits.valueCount - valueCount else {
      throw malformed(
        "\(count) \(what) follow; a message has at most \(limits.valueCount) values: send numbers "
          + "as NumPy arrays")
    }
    guard count <= bytes.count - offset else { throw truncated() }
  }

  // MARK: - Errors

  private func truncated() -> ServerError {
    malformed("the message ends in the middle of a value")
  }

  private func malformed(_ reason: String) -> ServerError {
    .message("\(reason) (byte \(offset) of \(bytes.count))")
  }

  private func hexadecimal(_ byte: UInt8) -> String { "0x" + String(byte, radix: 16) }
}

/// Somebody else's text as part of a message: quoted, short, without control characters.
func shown(_ text: String) -> String {
  let short = text.unicodeScalars.prefix(60).map { scalar in
    scalar.properties.generalCategory == .control ? "\u{FFFD}" : Character(scalar)
  }
  return "\"\(String(short))\(text.unicodeScalars.count > 60 ? "…" : "")\""
}
