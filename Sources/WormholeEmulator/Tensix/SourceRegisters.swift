/// SrcA or SrcB: two banks of 64 rows of 16 data. One bank is filled by an unpacker while the matrix
/// unit reads the other (tt-isa-documentation, TensixCoprocessor/SrcASrcB.md).
///
/// A datum has 19 bits - sign, 8 of exponent, 10 of mantissa - which stand in the upper 19 of 32.
final class SourceRegisters {
  static let rows = 64
  static let columns = 16
  static let bankSize = rows * columns

  let name: String
  /// Both banks, row by row.
  let values: UnsafeMutablePointer<UInt32>
  /// Bit i: bank i belongs to the matrix unit.
  private(set) var valid = 0
  private(set) var unpackBank = 0
  private(set) var matrixBank = 0
  /// A bit for each row of each bank that has been written since the card started.
  private let written: UnsafeMutablePointer<UInt64>

  init(name: String) {
    self.name = name
    values = .allocate(capacity: 2 * Self.bankSize)
    values.initialize(repeating: 0, count: 2 * Self.bankSize)
    written = .allocate(capacity: 2)
    written.initialize(repeating: 0, count: 2)
  }

  deinit {
    values.deallocate()
    written.deallocate()
  }

  /// `row` is taken modulo 64: callers have checked it.
  @inline(__always) func row(_ row: Int, bank: Int) -> UnsafeMutablePointer<UInt32> {
    values + (bank * Self.rows + row & 63) * Self.columns
  }

  // MARK: - Who owns the banks

  @inline(__always) var isUnpackBankValid: Bool { valid >> unpackBank & 1 != 0 }
  @inline(__always) var isMatrixBankValid: Bool { valid >> matrixBank & 1 != 0 }

  /// The unpacker's bank goes to the matrix unit, and the unpacker to the other one.
  func handOver() throws(Violation) {
    guard !isUnpackBankValid else {
      throw Violation(
        "\(name) bank \(unpackBank) is handed to the matrix unit that has it",
        remedy: "wait until the matrix unit has released the bank")
    }
    valid |= 1 << unpackBank
    unpackBank ^= 1
  }

  /// The matrix unit's bank goes back to the unpacker, and the matrix unit to the other one.
  func release() throws(Violation) {
    guard isMatrixBankValid else {
      throw Violation(
        "\(name) bank \(matrixBank) is released, and was not valid",
        remedy: "release a bank once for each time that an unpacker handed it over")
    }
    valid &= ~(1 << matrixBank)
    matrixBank ^= 1
  }

  /// The matrix unit goes to the other bank and leaves this one valid.
  func turnMatrixBank() { matrixBank ^= 1 }

  // MARK: - What has been written

  @inline(__always) private static func mask(_ first: Int, _ count: Int) -> UInt64 {
    (count >= 64 ? ~0 : (1 << UInt64(count)) &- 1) << UInt64(first & 63)
  }

  @inline(__always) func didWrite(_ first: Int, _ count: Int, bank: Int) {
    written[bank] |= Self.mask(first, count)
  }

  @inline(__always) func checkWritten(_ first: Int, _ count: Int, bank: Int) throws(Violation) {
    let mask = Self.mask(first, count)
    guard written[bank] & mask == mask else { throw neverWritten(mask & ~written[bank], bank) }
  }

  @inline(never) private func neverWritten(_ rows: UInt64, _ bank: Int) -> Violation {
    Violation(
      "row \(rows.trailingZeroBitCount) of \(name) bank \(bank) is read and was never written",
      remedy: "unpack the whole operand, or zero the registers first")
  }

  /// All of one bank becomes `datum`.
  func fill(bank: Int, with datum: UInt32 = 0) {
    (values + bank * Self.bankSize).update(repeating: datum, count: Self.bankSize)
    didWrite(0, Self.rows, bank: bank)
  }
}
