/// Reads the little JSON that a safetensors header is made of: objects, lists of unsigned
/// integers, strings. The caller says what comes next, so that no input can nest deeper than the
/// format does, and sees every name, repeated ones included.
///
/// Grammar: RFC 8259. Positions are those of bytes in the file.
struct SafetensorsJSON {
  let path: String
  /// The next byte to read.
  private(set) var position: Int
  private let bytes: UnsafeRawBufferPointer
  private let end: Int

  /// Reads `bytes[start..<end]`, a range within `bytes`.
  init(_ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int, path: String) {
    self.bytes = bytes
    self.position = start
    self.end = end
    self.path = path
  }

  // MARK: - Values

  /// `{"name": value, ...}`. `readValue` reads each value; it gets the name and where that is.
  mutating func object(
    _ readValue: (inout SafetensorsJSON, String, Int) throws(PI0Error) -> Void
  ) throws(PI0Error) {
    try expect("{")
    skipSpace()
    if take("}") { return }
    repeat {
      skipSpace()
      let namePosition = position
      let name = try string()
      skipSpace()
      try expect(":")
      skipSpace()
      try readValue(&self, name, namePosition)
      skipSpace()
    } while take(",")
    try expect("}")
  }

  /// `[1, 2, ...]`.
  mutating func integers() throws(PI0Error) -> [Int] {
    var integers: [Int] = []
    try expect("[")
    skipSpace()
    if take("]") { return integers }
    repeat {
      skipSpace()
      integers.append(try integer())
      skipSpace()
    } while take(",")
    try expect("]")
    return integers
  }

  /// Digits without sign, leading zero, fraction or exponent.
  mutating func integer() throws(PI0Error) -> Int {
    let start = position
    var value = 0
    while let digit = next.flatMap(Self.digit) {
      let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tens.addingReportingOverflow(digit)
      guard !overflow, !carry else {
        throw error("the number is beyond \(Int.max)", at: start)
      }
      value = sum
      position += 1
    }
    guard position > start else { throw unexpected("an unsigned integer") }
    guard position == start + 1 || bytes[start] != UInt8(ascii: "0") else {
      throw error("the number has a leading zero", at: start)
    }
    if let next, Self.numberContinues.contains(next) {
      throw error("the number is no integer", at: start)
    }
    return value
  }

  /// A string in quotes.
  mutating func string() throws(PI0Error) -> String {
    let start = position
    guard take("\"") else { throw unexpected("a string") }
    var utf8: [UInt8] = []
    while let byte = next {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: utf8, as: UTF8.self) else {
          throw error("the string is not valid UTF-8", at: start)
        }
        return string
      case UInt8(ascii: "\\"):
        utf8.append(contentsOf: try escape().utf8)
      case 0..<0x20:
        throw error("the string holds a control character", at: position - 1)
      default:
        utf8.append(byte)
      }
    }
    throw error("the string does not end", at: start)
  }

  /// Spaces to the end of the header, which pad it.
  mutating func padding() throws(PI0Error) {
    while take(" ") {}
    guard position == end else { throw unexpected("nothing but spaces after the header") }
  }

  // MARK: - Errors

  func error(_ reason: String, at position: Int) -> PI0Error {
    .file(
      path: path,
      reason: "at byte \(position): \(reason); the header is damaged, or this is no safetensors "
        + "file: download or convert it again")
  }

  func repeated(_ name: String, at position: Int) -> PI0Error {
    error("the name \(name.quoted) is there twice", at: position)
  }

  private func unexpected(_ expectation: String) -> PI0Error {
    let seen =
      switch next {
      case nil: "the end of the header"
      case .some(let byte) where byte < 0x80: String(Unicode.Scalar(byte)).quoted
      case .some(let byte): "0x" + String(byte, radix: 16, uppercase: true)
      }
    return error("\(seen) instead of \(expectation)", at: position)
  }

  // MARK: - Bytes

  /// The byte at `position`; nil at the end. All reading goes through here.
  private var next: UInt8? { position < end ? bytes[position] : nil }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(PI0Error) {
    guard take(character) else { throw unexpected("\"\(character)\"") }
  }

  private mutating func skipSpace() {
    while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  /// What follows a backslash.
  private mutating func escape() throws(PI0Error) -> Unicode.Scalar {
    let start = position - 1
    guard let byte = next else { throw error("the string does not end", at: start) }
    position += 1
    switch Unicode.Scalar(byte) {
    case "\"", "\\", "/": return Unicode.Scalar(byte)
    case "b": return "\u{8}"
    case "f": return "\u{C}"
    case "n": return "\n"
    case "r": return "\r"
    case "t": return "\t"
    case "u":
      let unit = try codeUnit(at: start)
      if let scalar = Unicode.Scalar(unit) { return scalar }
      // A surrogate: the first of a pair, or an error.
      if unit < 0xDC00, take("\\"), take("u") {
        let second = try codeUnit(at: start)
        if (0xDC00..<0xE000).contains(second),
          let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (second - 0xDC00))
        {
          return scalar
        }
      }
      throw error("half a surrogate pair", at: start)
    default:
      throw error("there is no such escape", at: start)
    }
  }

  /// Four hexadecimal digits.
  private mutating func codeUnit(at start: Int) throws(PI0Error) -> UInt32 {
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = next.flatMap(Self.hexadecimalDigit) else {
        throw error("the escape lacks four hexadecimal digits", at: start)
      }
      unit = unit << 4 | digit
      position += 1
    }
    return unit
  }

  private static let numberContinues = Array(".eE".utf8)

  private static func digit(_ byte: UInt8) -> Int? {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) ? Int(byte & 0xF) : nil
  }

  private static func hexadecimalDigit(_ byte: UInt8) -> UInt32? {
    switch Unicode.Scalar(byte) {
    case "0"..."9": UInt32(byte) - 0x30
    case "a"..."f": UInt32(byte) - 0x61 + 10
    case "A"..."F": UInt32(byte) - 0x41 + 10
    default: nil
    }
  }
}
