/// Writes MessagePack as Python's packer does: the shortest form of each value, floats in 64 bits,
/// NumPy arrays as maps under bytes keys. Keys of dictionaries are sorted.
struct MessagePackEncoder {
  private(set) var bytes: [UInt8] = []

  /// The message of a value.
  static func encode(_ value: MessagePackValue) -> [UInt8] {
    var encoder = MessagePackEncoder()
    encoder.append(value)
    return encoder.bytes
  }

  private mutating func append(_ value: MessagePackValue) {
    switch value {
    case .null: bytes.append(0xC0)
    case .bool(let value): bytes.append(value ? 0xC3 : 0xC2)
    case .integer(let value): append(value)
    case .number(let value):
      bytes.append(0xCB)
      append(bigEndian: value.bitPattern)
    case .string(let text): append(text)
    case .bytes(let data): append(data)
    case .list(let elements):
      appendCount(elements.count, short: 0x90, 0xDC, 0xDD)
      for element in elements { append(element) }
    case .map(let entries):
      appendCount(entries.count, short: 0x80, 0xDE, 0xDF)
      for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
        append(key)
        append(value)
      }
    case .array(let array):
      bytes.append(0x84)
      append(Array("__ndarray__".utf8)[...])
      append(.bool(true))
      append(Array("data".utf8)[...])
      append(array.bytes)
      append(Array("dtype".utf8)[...])
      append(array.elementType.rawValue)
      append(Array("shape".utf8)[...])
      append(.list(array.shape.map { .integer(Int64($0)) }))
    }
  }

  private mutating func append(_ value: Int64) {
    switch value {
    case 0...0x7F, -0x20..<0: bytes.append(UInt8(truncatingIfNeeded: value))
    case 0...0xFF: append(0xCC, UInt8(value))
    case 0...0xFFFF: append(0xCD, UInt16(value))
    case 0...0xFFFF_FFFF: append(0xCE, UInt32(value))
    case 0...: append(0xCF, UInt64(value))
    case -0x80..<0: append(0xD0, Int8(value))
    case -0x8000..<0: append(0xD1, Int16(value))
    case -0x8000_0000..<0: append(0xD2, Int32(value))
    default: append(0xD3, value)
    }
  }

  private mutating func append(_ text: String) {
    let utf8 = Array(text.utf8)
    switch utf8.count {
    case 0..<0x20: bytes.append(0xA0 | UInt8(utf8.count))
    case 0..<0x100: append(0xD9, UInt8(utf8.count))
    case 0..<0x1_0000: append(0xDA, UInt16(utf8.count))
    default: append(0xDB, UInt32(clamping: utf8.count))
    }
    bytes.append(contentsOf: utf8)
  }

  private mutating func append(_ data: ArraySlice<UInt8>) {
    switch data.count {
    case 0..<0x100: append(0xC4, UInt8(data.count))
    case 0..<0x1_0000: append(0xC5, UInt16(data.count))
    default: append(0xC6, UInt32(clamping: data.count))
    }
    bytes.append(contentsOf: data)
  }

  /// The count of a list or map: in the type's byte, or in two or four bytes behind it.
  private mutating func appendCount(_ count: Int, short: UInt8, _ medium: UInt8, _ long: UInt8) {
    switch count {
    case 0..<0x10: bytes.append(short | UInt8(count))
    case 0..<0x1_0000: append(medium, UInt16(count))
    default: append(long, UInt32(clamping: count))
    }
  }

  private mutating func append(_ type: UInt8, _ value: some FixedWidthInteger) {
    bytes.append(type)
    append(bigEndian: value)
  }

  private mutating func append(bigEndian value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }
}
