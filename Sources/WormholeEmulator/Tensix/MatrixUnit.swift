import CEmulatorKernels

/// The matrix unit (FPU): products, sums and maxima of SrcA and SrcB into Dst, and moves among the
/// three (tt-isa-documentation, TensixCoprocessor/MatrixUnit.md). Its arithmetic is the official
/// simulator's, which says more than the documentation.
final class MatrixUnit {
  let sourceA: SourceRegisters
  let sourceB: SourceRegisters
  let destination: Destination
  let counters: RegisterCounters
  let configuration: Configuration
  /// What the kernels may use; all give the same results.
  var instructionSet = ek_instruction_set()

  /// Formats of the configuration words that they were taken from.
  private var formatWords: (UInt32, UInt32, UInt32) = (0, 0, 0)
  private var cachedFormats = Formats(0, 0, 0)

  init(
    sourceA: SourceRegisters, sourceB: SourceRegisters, destination: Destination,
    counters: RegisterCounters, configuration: Configuration
  ) {
    self.sourceA = sourceA
    self.sourceB = sourceB
    self.destination = destination
    self.counters = counters
    self.configuration = configuration
  }

  /// Carries an instruction out, or returns false where it waits for a source bank.
  func execute(_ instruction: UInt32, opcode: UInt8, thread: Int) throws(Violation) -> Bool {
    switch opcode {
    case 0x26: return try multiply(instruction, thread)
    case 0x27, 0x28, 0x30: return try combineElements(instruction, opcode, thread)
    case 0x34: return try sumColumns(instruction, thread)
    case 0x33: return try maximizeColumns(instruction, thread)
    case 0x12: return try moveAToDst(instruction, thread)
    case 0x13: return try moveBToDst(instruction, thread)
    case 0x08: return try moveDstToSource(sourceA, instruction, thread)
    case 0x0A: return try moveDstToSource(sourceB, instruction, thread)
    case 0x0B: return try moveBToA(instruction, thread)
    case 0x16: return try transposeB(instruction)
    case 0x10: try zeroDst(instruction, thread)
    case 0x11: try zeroSources(instruction)
    case 0x35: try known(instruction, 0x3, "GATESRCRST")
    case 0x36: try releaseSources(instruction)
    case 0x37: try setCounters(instruction, thread)
    case 0x38: try stepCounters(instruction, thread)
    default:
      throw Violation(
        "instruction \(instruction.hexadecimal) of the matrix unit, which is not modelled")
    }
    return true
  }

  // MARK: - Fields of instructions

  /// Refuses bits that the instruction does not have.
  @inline(__always) func known(
    _ instruction: UInt32, _ bits: UInt32, _ name: StaticString
  ) throws(Violation) {
    guard instruction & 0xFF_FFFF & ~bits == 0 else {
      throw Violation(
        "\(name) \(instruction.hexadecimal) sets bits that the instruction does not have",
        remedy: "clear bits \((instruction & 0xFF_FFFF & ~bits).hexadecimal)")
    }
  }

  @inline(never) func unsupported(_ name: String, _ what: String) -> Violation {
    Violation("\(name) with \(what), which is not modelled")
  }

  /// Row of Dst that an instruction's `row` means.
  @inline(__always) func destinationRow(_ row: UInt32, _ thread: Int) -> Int {
    Int(
      counters.threads[thread].destination.value &+ row
        &+ configuration.threadRegisters[thread * Configuration.threadStride + 1] & 0xFFF)
  }

  @inline(__always) private func fidelityPhase(_ thread: Int) -> UInt32 {
    (counters.threads[thread].fidelity
      &+ configuration.threadRegisters[thread * Configuration.threadStride + 6]) & 3
  }

  @inline(__always) private func row(
    of counter: RegisterCounters.Counter, aligned: Int, _ name: StaticString
  ) throws(Violation) -> Int {
    let row = Int(counter.value)
    guard row & (aligned - 1) == 0, row < SourceRegisters.rows else {
      throw Violation(
        "an operand starts at row \(row) of \(name)", remedy: "rows are multiples of \(aligned)")
    }
    return row
  }

  // MARK: - Formats

  /// What the configuration's words 0 to 2 say.
  struct Formats {
    let a: UInt32
    let b: UInt32
    let overridesA: Bool
    let isInteger: Bool
    let isWide: Bool
    /// Source data with exponent 0 count as 0.
    let flushes: Bool
    /// SrcA's format, with the override.
    let moved: UInt32
    let kernel: ek_matrix_format
    /// Whether products and operations on elements are modelled on such data.
    let suitProducts: Bool
    let suitElements: Bool

    init(_ word0: UInt32, _ word1: UInt32, _ word2: UInt32) {
      a = word1 >> 17 & 0xF
      b = word1 >> 21 & 0xF
      overridesA = word0 >> 4 & 1 != 0
      moved = overridesA ? word0 & 0xF : a
      isInteger = word1 >> 31 != 0
      isWide = isInteger || word1 >> 29 & 1 != 0
      flushes = word2 & 1 == 0
      func kept(_ format: UInt32) -> UInt32 {
        switch format {
        case 1, 10: 0x8FFF_E000
        case 4: 0xFFFF_E000
        default: 0xFFFF_0000
        }
      }
      let isShort = a == 1 || a == 10
      kernel = ek_matrix_format(
        kept_a: kept(a), kept_b: kept(b), wide: isWide, short_exponent: isShort && !isInteger,
        integer: isInteger)
      if isInteger {
        suitProducts = a == 14 && b == 14
        suitElements = a == 14 && (b == 14 || b == 15)
      } else if isShort {
        suitProducts = a == b
        suitElements = a == b
      } else {
        suitProducts = [0, 4, 5, 6, 7].contains(a) && [0, 4, 5, 6, 7, 9].contains(b)
        suitElements =
          [0, 4, 5, 6, 7, 15].contains(a) && [0, 4, 5, 6, 7, 8, 9, 15].contains(b)
      }
    }
  }

  @inline(__always) var formats: Formats {
    let words = configuration.banks + configuration.selectedBank * Configuration.bankStride
    if (words[0], words[1], words[2]) != formatWords { readFormats() }
    return cachedFormats
  }

  @inline(never) private func readFormats() {
    formatWords = (configuration[0], configuration[1], configuration[2])
    cachedFormats = Formats(formatWords.0, formatWords.1, formatWords.2)
  }

  @inline(never) private func wrongFormats(_ name: String, _ formats: Formats) -> Violation {
    let integers = formats.isInteger ? " of integers" : ""
    return Violation(
      "\(name)\(integers) with format \(formats.a) in SrcA and \(formats.b) in SrcB"
        + (formats.overridesA ? ", overridden" : ""),
      remedy: "set formats that go together in configuration word 1, and no override in word 0")
  }

  @inline(never) private func wideExponent(_ name: String) -> Violation {
    Violation(
      "\(name) of a datum whose exponent needs more than the format's 5 bits",
      remedy: "set the format that the unpacker wrote")
  }

  // MARK: - Dst's rows for the kernels

  /// `count` rows from `row` on, within an aligned block of eight.
  @inline(__always) private func rows(_ row: Int, wide: Bool) -> (ek_dst_rows, first: Int) {
    let first = wide ? Destination.upperRow(row) : row
    let upper = destination.bits + first * Destination.columns
    return (
      ek_dst_rows(
        upper: upper,
        lower: wide ? upper + Destination.lowerHalf * Destination.columns : upper,
        zeroed: destination.zeroed + first), first
    )
  }

  @inline(__always) private func checkRead(
    _ row: Int, count: Int, wide: Bool
  ) throws(Violation) {
    if wide {
      try destination.checkRead32(row, count: count)
    } else {
      try destination.checkRead16(row, count: count)
    }
  }

  @inline(__always) private func didWrite(_ first: Int, count: Int, wide: Bool, _ thread: Int) {
    destination.matrixUnitWrote(first, now: counters.threads[thread].instructions)
    for row in first..<first + count {
      destination.zeroed[row] = 0
      destination.written[row] = 0xFFFF
      if wide { destination.written[row + Destination.lowerHalf] = 0xFFFF }
    }
  }

  /// Banks go back to the unpackers where the instruction's upper two bits say so.
  @inline(__always) private func release(_ sources: UInt32, _ thread: Int) throws(Violation) {
    guard sources != 0 else { return }
    let kept = configuration.threadRegisters[thread * Configuration.threadStride + 5]
    if sources & 1 != 0 {
      if kept & 1 != 0 { sourceA.turnMatrixBank() } else { try sourceA.release() }
    }
    if sources & 2 != 0 {
      if kept & 2 != 0 { sourceB.turnMatrixBank() } else { try sourceB.release() }
    }
  }

  // MARK: - Products

  /// MVMUL: 8 rows of SrcB times 16 of SrcA, added to 8 rows of Dst.
  private func multiply(_ instruction: UInt32, _ thread: Int) throws(Violation) -> Bool {
    try known(instruction, 0xC9_83FF, "MVMUL")
    guard instruction >> 19 & 1 == 0 else { throw unsupported("MVMUL", "broadcast of SrcB") }
    return try product(instruction, rows: 8, thread, "MVMUL")
  }

  /// GAPOOL: as MVMUL, of 4 rows.
  private func sumColumns(_ instruction: UInt32, _ thread: Int) throws(Violation) -> Bool {
    try known(instruction, 0xC9_C3FF, "GAPOOL")
    guard instruction >> 14 & 1 == 0 else { throw unsupported("GAPOOL", "indices") }
    guard instruction >> 19 & 1 == 1 else { throw unsupported("GAPOOL", "bit 19 clear") }
    return try product(instruction, rows: 4, thread, "GAPOOL")
  }

  @inline(__always) private func product(
    _ instruction: UInt32, rows count: Int, _ thread: Int, _ name: String
  ) throws(Violation) -> Bool {
    guard sourceA.isMatrixBankValid, sourceB.isMatrixBankValid else { return false }
    let formats = formats
    guard formats.suitProducts, !formats.overridesA else { throw wrongFormats(name, formats) }
    guard formats.flushes else { throw unsupported(name, "denormals kept") }
    let rowA = try row(of: counters.threads[thread].sourceA, aligned: 16, "SrcA")
    let rowB = try row(of: counters.threads[thread].sourceB, aligned: 8, "SrcB")
    guard instruction & UInt32(count - 1) == 0 else {
      throw unsupported(name, "row \(instruction & 0x3FF) of Dst")
    }
    let row = destinationRow(instruction & 0x3FF, thread) & (Destination.rows - 1)
    guard row & (count - 1) == 0 else { throw unsupported(name, "row \(row) of Dst") }
    try sourceA.checkWritten(rowA, 16, bank: sourceA.matrixBank)
    try sourceB.checkWritten(rowB, count, bank: sourceB.matrixBank)
    try checkRead(row, count: count, wide: formats.isWide)
    let (block, first) = rows(row, wide: formats.isWide)
    var kernel = formats.kernel
    let fits = ek_multiply(
      instructionSet, sourceA.row(rowA, bank: sourceA.matrixBank),
      sourceB.row(rowB, bank: sourceB.matrixBank), block, Int32(count),
      Int32(fidelityPhase(thread)), &kernel)
    guard fits else { throw wideExponent(name) }
    didWrite(first, count: count, wide: formats.isWide, thread)
    try counters.advance(addressMode: instruction >> 15 & 3, thread: thread)
    try release(instruction >> 22 & 3, thread)
    return true
  }

  // MARK: - Elements

  /// ELWMUL, ELWADD, ELWSUB: 8 rows of SrcA and SrcB, element by element.
  private func combineElements(
    _ instruction: UInt32, _ opcode: UInt8, _ thread: Int
  ) throws(Violation) -> Bool {
    let name = opcode == 0x27 ? "ELWMUL" : opcode == 0x28 ? "ELWADD" : "ELWSUB"
    try known(instruction, 0xF9_83FF, "ELW")
    let multiplies = opcode == 0x27
    let accumulates = instruction >> 21 & 1 != 0
    guard !multiplies || !accumulates else {
      throw Violation(
        "ELWMUL with its accumulation bit, which always accumulates", remedy: "clear the bit")
    }
    guard sourceA.isMatrixBankValid, sourceB.isMatrixBankValid else { return false }
    let formats = formats
    guard formats.suitElements, !formats.overridesA else { throw wrongFormats(name, formats) }
    guard formats.flushes else { throw unsupported(name, "denormals kept") }
    let rowA = try row(of: counters.threads[thread].sourceA, aligned: 8, "SrcA")
    let rowB = try row(of: counters.threads[thread].sourceB, aligned: 8, "SrcB")
    let row = destinationRow(instruction & 0x3FF, thread)
    guard instruction & 7 == 0, row & 7 == 0, row < Destination.rows else {
      throw unsupported(name, "row \(row) of Dst")
    }
    let phase = fidelityPhase(thread)
    guard multiplies || phase == 0 else {
      throw Violation(
        "\(name) in fidelity phase \(phase)", remedy: "set the phase to 0 before sums of elements")
    }
    let broadcast = instruction >> 19 & 3
    try sourceA.checkWritten(rowA, 8, bank: sourceA.matrixBank)
    try sourceB.checkWritten(rowB, broadcast & 2 != 0 ? 1 : 8, bank: sourceB.matrixBank)
    if multiplies || accumulates { try checkRead(row, count: 8, wide: formats.isWide) }
    let (block, first) = rows(row, wide: formats.isWide)
    let operation =
      multiplies
      ? ek_elements_multiply : opcode == 0x28 ? ek_elements_add : ek_elements_subtract
    var kernel = formats.kernel
    let fits = ek_elements(
      Int32(operation), sourceA.row(rowA, bank: sourceA.matrixBank),
      sourceB.row(rowB, bank: sourceB.matrixBank), block, Int32(broadcast), accumulates,
      Int32(phase), &kernel)
    guard fits else { throw wideExponent(name) }
    didWrite(first, count: 8, wide: formats.isWide, thread)
    try counters.advance(addressMode: instruction >> 15 & 3, thread: thread)
    try release(instruction >> 22 & 3, thread)
    return true
  }

  // MARK: - Maxima

  /// GMPOOL: a row of Dst becomes the maximum of it and 16 rows of SrcA; three rows of zeros follow.
  private func maximizeColumns(_ instruction: UInt32, _ thread: Int) throws(Violation) -> Bool {
    try known(instruction, 0xC9_C3FF, "GMPOOL")
    guard instruction >> 14 & 1 == 0 else { throw unsupported("GMPOOL", "indices") }
    guard instruction >> 19 & 1 == 1 else { throw unsupported("GMPOOL", "bit 19 clear") }
    guard sourceA.isMatrixBankValid, sourceB.isMatrixBankValid else { return false }
    let formats = formats
    let known: [UInt32] = [0, 4, 5, 6, 7]
    guard !formats.isInteger, !formats.overridesA, known.contains(formats.a),
      known.contains(formats.b)
    else { throw wrongFormats("GMPOOL", formats) }
    let rowA = try row(of: counters.threads[thread].sourceA, aligned: 16, "SrcA")
    let rowB = try row(of: counters.threads[thread].sourceB, aligned: 8, "SrcB")
    let row = destinationRow(instruction & 0x3FF, thread)
    guard instruction & 3 == 0, row & 3 == 0, row < Destination.rows else {
      throw unsupported("GMPOOL", "row \(row) of Dst")
    }
    try sourceA.checkWritten(rowA, 16, bank: sourceA.matrixBank)
    try sourceB.checkWritten(rowB, 1, bank: sourceB.matrixBank)
    let scales = sourceB.row(rowB, bank: sourceB.matrixBank)
    for column in 0..<16 where scales[column] != 0x3F80_0000 {
      throw Violation(
        "GMPOOL scales column \(column) by \(scales[column].hexadecimal)",
        remedy: "fill the row of SrcB with 1.0: other scales are not modelled")
    }
    try checkRead(row, count: 1, wide: formats.isWide)
    let (block, first) = rows(row, wide: formats.isWide)
    var kernel = formats.kernel
    ek_column_maxima(sourceA.row(rowA, bank: sourceA.matrixBank), block, &kernel)
    (block.upper + 16).update(repeating: 0, count: 48)
    if formats.isWide { (block.lower + 16).update(repeating: 0, count: 48) }
    didWrite(first, count: 4, wide: formats.isWide, thread)
    try counters.advance(addressMode: instruction >> 15 & 3, thread: thread)
    try release(instruction >> 22 & 3, thread)
    return true
  }

  // MARK: - Zeroing

  /// ZEROACC: rows of Dst read as zero.
  private func zeroDst(_ instruction: UInt32, _ thread: Int) throws(Violation) {
    try known(instruction, 0x39_83FF, "ZEROACC")
    let place = Int(instruction & 0x3FF)
    let mode = instruction >> 19 & 7
    switch mode {
    case 0:
      let row = destinationRow(instruction & 0x3FF, thread)
      guard row < Destination.rows else { throw unsupported("ZEROACC", "row \(row) of Dst") }
      guard !formats.isInteger else { throw unsupported("ZEROACC of a row", "integers") }
      if formats.isWide {
        destination.zero32(row)
      } else {
        destination.zero16(row, count: 1)
      }
    case 1:
      guard place < Destination.rows / 16 else {
        throw unsupported("ZEROACC of 16 rows", "block \(place)")
      }
      destination.zero16(16 * place, count: 16)
    case 2, 6:
      guard place < 2 else { throw unsupported("ZEROACC of a half", "half \(place)") }
      destination.zero16(Destination.rows / 2 * place, count: Destination.rows / 2)
    case 3, 7:
      guard place == 0 else { throw unsupported("ZEROACC of all", "place \(place)") }
      destination.zero16(0, count: Destination.rows)
    default: throw unsupported("ZEROACC", "mode \(mode)")
    }
    if mode < 2 { try counters.advance(addressMode: instruction >> 15 & 3, thread: thread) }
  }

  /// ZEROSRC: all of SrcA and SrcB, or of the banks that the matrix unit has.
  private func zeroSources(_ instruction: UInt32) throws(Violation) {
    try known(instruction, 0x1F, "ZEROSRC")
    let sources = instruction & 3
    let all = instruction >> 2 & 1 != 0
    let ofMatrixUnit = instruction >> 3 & 1 != 0
    guard sources != 0, instruction >> 4 & 1 == 0, all != ofMatrixUnit, !all || sources == 3 else {
      throw unsupported("ZEROSRC", "bits \(instruction & 0x1F)")
    }
    for (bit, source) in [(UInt32(1), sourceA), (2, sourceB)] where sources & bit != 0 {
      if all {
        source.fill(bank: 0)
        source.fill(bank: 1)
      } else {
        source.fill(bank: source.matrixBank)
      }
    }
  }

  // MARK: - Banks and counters

  /// CLEARDVALID
  private func releaseSources(_ instruction: UInt32) throws(Violation) {
    try known(instruction, 0xC0_0003, "CLEARDVALID")
    guard instruction & 3 == 0 else {
      throw Violation(
        "CLEARDVALID with its reset bits, which drops banks", remedy: "release banks one by one")
    }
    guard instruction >> 22 & 3 != 0 else { throw unsupported("CLEARDVALID", "no source") }
    if instruction >> 22 & 1 != 0 { try sourceA.release() }
    if instruction >> 23 & 1 != 0 { try sourceB.release() }
  }

  /// SETRWC
  private func setCounters(_ instruction: UInt32, _ thread: Int) throws(Violation) {
    let mask = instruction & 0xF
    let a = instruction >> 6 & 0xF
    let b = instruction >> 10 & 0xF
    let d = instruction >> 14 & 0xF
    let returning = instruction >> 18 & 0xF
    try known(instruction, 0xFF_FFCF, "SETRWC")
    guard returning & ~7 == 0, returning & 3 & ~mask == 0 else {
      throw unsupported("SETRWC", "mask \(mask) and return \(returning)")
    }
    let counter = counters.threads + thread
    if mask & 1 != 0 {
      let from = returning & 1 != 0 ? counter.pointee.sourceA.origin : 0
      counter.pointee.sourceA.set((from + a) & RegisterCounters.sourceMask)
    }
    if mask & 2 != 0 {
      let from = returning & 2 != 0 ? counter.pointee.sourceB.origin : 0
      counter.pointee.sourceB.set((from + b) & RegisterCounters.sourceMask)
    }
    if mask & 4 != 0 {
      let from = returning & 4 != 0 ? counter.pointee.destination.origin : 0
      counter.pointee.destination.set((from + d) & RegisterCounters.destinationMask)
    }
    if mask & 8 != 0 { counter.pointee.fidelity = 0 }
    try release(instruction >> 22 & 3, thread)
  }

  /// INCRWC
  private func stepCounters(_ instruction: UInt32, _ thread: Int) throws(Violation) {
    try known(instruction, 0x1F_FFC0, "INCRWC")
    let returning = instruction >> 18 & 7
    guard returning == 0 || returning == 4 else {
      throw unsupported("INCRWC", "return \(returning)")
    }
    let counter = counters.threads + thread
    counter.pointee.sourceA.step(
      by: instruction >> 6 & 0xF, returning: false, clearing: false,
      modulus: RegisterCounters.sourceMask)
    counter.pointee.sourceB.step(
      by: instruction >> 10 & 0xF, returning: false, clearing: false,
      modulus: RegisterCounters.sourceMask)
    counter.pointee.destination.step(
      by: instruction >> 14 & 0xF, returning: returning == 4, clearing: false,
      modulus: RegisterCounters.destinationMask)
  }
}
