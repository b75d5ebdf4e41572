/// Dst: 1024 rows of 16 data of 16 bits. Where data have 32 bits, each takes two rows, eight apart:
/// the upper half stands in the first (tt-isa-documentation, TensixCoprocessor/Dst.md).
///
/// A row that ZEROACC has zeroed reads as zero, whatever stands in it, until something is written
/// to it. Then its other columns come back as they were, which nobody may read: so it is known of
/// every datum whether it has been written since its row was last zeroed.
final class Destination {
  static let rows = 1024
  static let columns = 16
  /// Rows from a 32-bit datum's upper half to its lower.
  static let lowerHalf = 8

  let bits: UnsafeMutablePointer<UInt16>
  /// 1 where a row reads as zero.
  let zeroed: UnsafeMutablePointer<UInt8>
  /// A bit for each column.
  let written: UnsafeMutablePointer<UInt16>

  init() {
    bits = .allocate(capacity: Self.rows * Self.columns)
    bits.initialize(repeating: 0, count: Self.rows * Self.columns)
    zeroed = .allocate(capacity: Self.rows)
    zeroed.initialize(repeating: 0, count: Self.rows)
    written = .allocate(capacity: Self.rows)
    written.initialize(repeating: 0, count: Self.rows)
  }

  /// Blocks of eight rows that the matrix unit wrote last, and its thread's instruction.
  private var recent: (a: (Int, UInt64), b: (Int, UInt64), c: (Int, UInt64)) = (
    (-1, 0), (-1, 0), (-1, 0)
  )

  deinit {
    bits.deallocate()
    zeroed.deallocate()
    written.deallocate()
  }

  /// Row of the upper half of row `row`'s 32-bit data.
  @inline(__always) static func upperRow(_ row: Int) -> Int { (row & 0x1F8) << 1 | row & 0x207 }

  @inline(__always) func row(_ row: Int) -> UnsafeMutablePointer<UInt16> {
    bits + (row & (Self.rows - 1)) * Self.columns
  }

  // MARK: - Single data

  /// Raw bits; a check should have gone before.
  @inline(__always) func read16(_ row: Int, _ column: Int) -> UInt16 {
    let row = row & (Self.rows - 1)
    return zeroed[row] != 0 ? 0 : bits[row * Self.columns + column]
  }

  @inline(__always) func read32(_ row: Int, _ column: Int) -> UInt32 {
    let upper = Self.upperRow(row & (Self.rows - 1))
    guard zeroed[upper] == 0 else { return 0 }
    return UInt32(bits[upper * Self.columns + column]) << 16
      | UInt32(bits[(upper + Self.lowerHalf) * Self.columns + column])
  }

  @inline(__always) func write16(_ row: Int, _ column: Int, _ value: UInt16) {
    let row = row & (Self.rows - 1)
    bits[row * Self.columns + column] = value
    didWrite16(row, columns: 1 << UInt16(column))
  }

  @inline(__always) func write32(_ row: Int, _ column: Int, _ value: UInt32) {
    let upper = Self.upperRow(row & (Self.rows - 1))
    bits[upper * Self.columns + column] = UInt16(value >> 16)
    bits[(upper + Self.lowerHalf) * Self.columns + column] = UInt16(truncatingIfNeeded: value)
    didWrite32(row & (Self.rows - 1), columns: 1 << UInt16(column))
  }

  // MARK: - What has been written

  /// To be called after `columns` of a row were written as 16 bits.
  @inline(__always) func didWrite16(_ row: Int, columns: UInt16 = 0xFFFF) {
    zeroed[row] = 0
    written[row] |= columns
  }

  @inline(__always) func didWrite32(_ row: Int, columns: UInt16 = 0xFFFF) {
    let upper = Self.upperRow(row)
    zeroed[upper] = 0
    written[upper] |= columns
    written[upper + Self.lowerHalf] |= columns
  }

  /// Throws where data of these `count` rows would be read that nobody has written.
  @inline(__always) func checkRead16(
    _ row: Int, count: Int = 1, columns: UInt16 = 0xFFFF
  ) throws(Violation) {
    for row in row..<row + count {
      let row = row & (Self.rows - 1)
      guard zeroed[row] != 0 || written[row] & columns == columns else {
        throw neverWritten(row, columns & ~written[row], "")
      }
    }
  }

  @inline(__always) func checkRead32(
    _ row: Int, count: Int = 1, columns: UInt16 = 0xFFFF
  ) throws(Violation) {
    for row in row..<row + count {
      let upper = Self.upperRow(row & (Self.rows - 1))
      guard zeroed[upper] == 0 else { continue }
      let both = written[upper] & written[upper + Self.lowerHalf]
      guard both & columns == columns else {
        throw neverWritten(row & (Self.rows - 1), columns & ~both, " as 32 bits")
      }
    }
  }

  @inline(never) private func neverWritten(
    _ row: Int, _ columns: UInt16, _ width: String
  ) -> Violation {
    Violation(
      "row \(row), column \(columns.trailingZeroBitCount) of Dst is read\(width) and was not "
        + "written since its row was zeroed or the card started",
      remedy: "zero Dst with ZEROACC, and write the columns of a row before any of them is read")
  }

  // MARK: - What the matrix unit has just written

  /// The matrix unit wrote to the block of `row`, a row of 16-bit data, with a thread's instruction
  /// `now`.
  @inline(__always) func matrixUnitWrote(_ row: Int, now: UInt64) {
    recent = ((row >> 3, now), recent.a, recent.b)
  }

  /// A thread waited for the matrix unit, so that nothing is under way any more.
  func settle() { recent = ((-1, 0), (-1, 0), (-1, 0)) }

  /// Instructions since the matrix unit wrote to the block of `row`, where the vector unit may not
  /// read there yet: it takes three other instructions.
  @inline(__always) func isSettling(_ row: Int, now: UInt64) -> UInt64? {
    for write in [recent.a, recent.b, recent.c] where write.0 == row >> 3 && now &- write.1 <= 3 {
      return now &- write.1
    }
    return nil
  }

  // MARK: - Zeroing

  func zero16(_ first: Int, count: Int) {
    (zeroed + first).update(repeating: 1, count: count)
    (written + first).update(repeating: 0, count: count)
  }

  func zero32(_ row: Int) {
    let upper = Self.upperRow(row)
    zeroed[upper] = 1
    written[upper] = 0
    written[upper + Self.lowerHalf] = 0
  }
}

// MARK: - Encodings of data in Dst

/// Dst keeps a datum's mantissa above its exponent.
enum DestinationCode {
  @inline(__always) static func fromBF16(_ bits: UInt16) -> UInt16 {
    bits & 0x8000 | (bits & 0x7F) << 8 | bits >> 7 & 0xFF
  }
  @inline(__always) static func toBF16(_ code: UInt16) -> UInt16 {
    code & 0x8000 | (code & 0xFF) << 7 | code >> 8 & 0x7F
  }
  @inline(__always) static func fromFP16(_ bits: UInt16) -> UInt16 {
    bits & 0x8000 | (bits & 0x3FF) << 5 | bits >> 10 & 0x1F
  }
  @inline(__always) static func toFP16(_ code: UInt16) -> UInt16 {
    code & 0x8000 | (code & 0x1F) << 10 | code >> 5 & 0x3FF
  }
  /// Also of 32-bit integers, which are sign and magnitude.
  @inline(__always) static func fromFP32(_ bits: UInt32) -> UInt32 {
    UInt32(fromBF16(UInt16(bits >> 16))) << 16 | bits & 0xFFFF
  }
  @inline(__always) static func toFP32(_ code: UInt32) -> UInt32 {
    UInt32(toBF16(UInt16(code >> 16))) << 16 | code & 0xFFFF
  }
}
