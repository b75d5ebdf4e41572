/// Moves among SrcA, SrcB and Dst.
extension MatrixUnit {
  /// Fields that these instructions share.
  private struct Move {
    let row: UInt32
    let mode: UInt32
    let addressMode: UInt32
    let source: UInt32
    let lowerHalf: Bool

    init(_ instruction: UInt32) {
      row = instruction & 0x3FF
      mode = instruction >> 12 & 7
      addressMode = instruction >> 15 & 3
      source = instruction >> 17 & 0x3F
      lowerHalf = instruction >> 23 & 1 != 0
    }
  }

  /// SrcA's or SrcB's format has 8 bits of exponent; nil where it is not modelled.
  private func hasLongExponent(_ format: UInt32, _ others: [UInt32]) -> Bool? {
    switch format {
    case 0, 4, 5, 6, 7, 8, 9: true
    case 1: false
    default: others.contains(format) ? format != 10 : nil
    }
  }

  /// A source datum's way into Dst.
  private enum Entry {
    case wide, short, upper, lower
  }

  private func entry(
    _ name: String, format: UInt32, others: [UInt32], lowerHalf: Bool
  ) throws(Violation) -> Entry {
    guard let long = hasLongExponent(format, others) else {
      throw unsupported(name, "format \(format)")
    }
    switch (format, long, lowerHalf) {
    case (4, _, true):
      throw Violation(
        "\(name) of tf32 to the lower half of Dst's data (erratum TEN-4245)",
        remedy: "move to whole data")
    case (4, _, false): return .wide
    case (_, false, true): throw unsupported(name, "fp16 and the lower half of Dst's data")
    case (_, false, false): return .short
    case (_, true, true): return .lower
    case (_, true, false): return .upper
    }
  }

  /// A row of Dst takes a row of source data.
  private func store(_ data: (Int) -> UInt32, row: Int, _ entry: Entry, _ thread: Int) {
    let is32Bit = entry == .wide || entry == .lower
    destination.matrixUnitWrote(
      is32Bit ? Destination.upperRow(row) : row, now: counters.threads[thread].instructions)
    switch entry {
    case .wide:
      for column in 0..<16 {
        destination.write32(row, column, DestinationCode.fromFP32(data(column)))
      }
    case .short:
      for column in 0..<16 {
        let datum = data(column)
        let bits = datum >> 16 & 0x8000 | datum >> 13 & 0x7FFF
        destination.write16(row, column, DestinationCode.fromFP16(UInt16(bits)))
      }
    case .upper:
      for column in 0..<16 {
        destination.write16(row, column, DestinationCode.fromBF16(UInt16(data(column) >> 16)))
      }
    case .lower:
      // The upper half stays, and counts as zero where the row was zeroed.
      let upper = Destination.upperRow(row)
      let wasZeroed = destination.zeroed[upper] != 0
      for column in 0..<16 {
        let old = wasZeroed ? 0 : destination.bits[upper * Destination.columns + column]
        let low = DestinationCode.fromBF16(UInt16(data(column) >> 16))
        destination.bits[upper * Destination.columns + column] = old
        destination.bits[(upper + Destination.lowerHalf) * Destination.columns + column] = low
      }
      if wasZeroed {
        destination.didWrite32(row)
      } else {
        destination.written[upper + Destination.lowerHalf] = 0xFFFF
      }
    }
  }

  /// MOVA2D: 8 rows.
  func moveAToDst(_ instruction: UInt32, _ thread: Int) throws(Violation) -> Bool {
    try known(instruction, 0xFF_B3FF, "MOVA2D")
    let move = Move(instruction)
    guard move.mode == 2, move.row & 7 == 0, move.source & 7 == 0 else {
      throw unsupported("MOVA2D", "mode \(move.mode), rows \(move.source) and \(move.row)")
    }
    guard sourceA.isMatrixBankValid else { return false }
    let entry = try entry(
      "MOVA2D", format: formats.moved, others: [10, 15], lowerHalf: move.lowerHalf)
    let from = Int(move.source + counters.threads[thread].sourceA.value)
    let row = destinationRow(move.row, thread) & (Destination.rows - 1)
    guard from & 7 == 0, from < SourceRegisters.rows, row & 7 == 0 else {
      throw unsupported("MOVA2D", "rows \(from) and \(row)")
    }
    try sourceA.checkWritten(from, 8, bank: sourceA.matrixBank)
    let flushes = formats.flushes
    for i in 0..<8 {
      let data = sourceA.row(from + i, bank: sourceA.matrixBank)
      store(
        { flushes && data[$0] & 0x7F80_0000 == 0 ? 0 : data[$0] }, row: row + i, entry, thread)
    }
    try counters.advance(addressMode: move.addressMode, thread: thread)
    return true
  }

  /// MOVB2D: 4 or 8 rows, or one that is repeated 8 times; column 0 may be repeated 16 times.
  func moveBToDst(_ instruction: UInt32, _ thread: Int) throws(Violation) -> Bool {
    try known(instruction, 0xFF_F3FF, "MOVB2D")
    let move = Move(instruction)
    guard 2...5 ~= move.mode, move.row & 3 == 0, move.source & 3 == 0 else {
      throw unsupported("MOVB2D", "mode \(move.mode), rows \(move.source) and \(move.row)")
    }
    guard sourceB.isMatrixBankValid else { return false }
    let entry = try entry("MOVB2D", format: formats.moved, others: [], lowerHalf: move.lowerHalf)
    let repeatsRow = move.mode & 2 != 0
    let repeatsColumn = move.mode & 1 != 0
    let count = repeatsRow ? 8 : 4
    let from = Int(move.source + counters.threads[thread].sourceB.value)
    let row = destinationRow(move.row, thread) & (Destination.rows - 1)
    guard from & (count - 1) == 0, from < SourceRegisters.rows, row & (count - 1) == 0 else {
      throw unsupported("MOVB2D", "rows \(from) and \(row)")
    }
    try sourceB.checkWritten(from, repeatsRow ? 1 : count, bank: sourceB.matrixBank)
    let flushes = formats.flushes
    let kept: UInt32 = formats.b == 1 ? 0x8FFF_E000 : formats.b == 4 ? ~0 : 0xFFFF_0000
    for i in 0..<count {
      let data = sourceB.row(repeatsRow ? from : from + i, bank: sourceB.matrixBank)
      store(
        { column in
          let datum = data[repeatsColumn ? 0 : column]
          return flushes && datum & 0x7F80_0000 == 0 ? 0 : datum & kept
        }, row: row + i, entry, thread)
    }
    try counters.advance(addressMode: move.addressMode, thread: thread)
    return true
  }

  /// MOVD2A: 4 rows; MOVD2B: 4 rows or 1.
  func moveDstToSource(
    _ source: SourceRegisters, _ instruction: UInt32, _ thread: Int
  ) throws(Violation) -> Bool {
    let toA = source === sourceA
    let name = toA ? "MOVD2A" : "MOVD2B"
    try known(instruction, 0xFF_B3FF, "MOVD2A or MOVD2B")
    let move = Move(instruction)
    let mode = move.mode & 3
    guard mode == 2 || mode == 0 && !toA, move.row & 3 == 0, move.source & 3 == 0 else {
      throw unsupported(name, "mode \(mode), rows \(move.source) and \(move.row)")
    }
    let formats = formats
    guard !toA || !formats.overridesA else { throw unsupported(name, "a format override") }
    let format = formats.moved
    guard [0, 1, 4, 5, 6, 7].contains(format) || format == 8 && !toA else {
      throw unsupported(name, "format \(format)")
    }
    var to = Int(
      move.source
        + (toA ? counters.threads[thread].sourceA.value : counters.threads[thread].sourceB.value))
    if toA { to &= SourceRegisters.rows - 1 }
    let row = destinationRow(move.row, thread) & (Destination.rows - 1)
    guard to & 3 == 0, to < SourceRegisters.rows, row & 3 == 0 else {
      throw unsupported(name, "rows \(row) and \(to)")
    }
    let count = mode == 2 ? 4 : 1
    if formats.isWide {
      guard format != 1, !move.lowerHalf || format != 4 && !toA else {
        throw unsupported(name, "format \(format) from 32-bit Dst")
      }
      try destination.checkRead32(row, count: count)
    } else {
      guard !move.lowerHalf, format != 4 else {
        throw Violation(
          "\(name) reads 32-bit data from Dst, which has 16 bits",
          remedy: "set format and width of Dst in configuration word 1")
      }
      try destination.checkRead16(row, count: count)
    }
    let bank = source.matrixBank
    for i in 0..<count {
      let data = source.row(to + i, bank: bank)
      for column in 0..<16 {
        if formats.isWide {
          let code = destination.read32(row + i, column)
          if format == 4 {
            data[column] = DestinationCode.toFP32(code) & 0xFFFF_E000
          } else {
            let half = UInt16(truncatingIfNeeded: move.lowerHalf ? code : code >> 16)
            data[column] = UInt32(DestinationCode.toBF16(half)) << 16
          }
        } else {
          let code = destination.read16(row + i, column)
          if format == 1 {
            let bits = UInt32(DestinationCode.toFP16(code))
            data[column] = (bits & 0x8000) << 16 | (bits & 0x7FFF) << 13
          } else {
            data[column] = UInt32(DestinationCode.toBF16(code)) << 16
          }
        }
      }
    }
    source.didWrite(to, count, bank: bank)
    try counters.advance(addressMode: move.addressMode, thread: thread)
    return true
  }

  /// MOVB2A: 4 rows.
  func moveBToA(_ instruction: UInt32, _ thread: Int) throws(Violation) -> Bool {
    try known(instruction, 0x7F_B03F, "MOVB2A")
    let mode = instruction >> 12 & 3
    let from = Int(instruction & 0x3F + counters.threads[thread].sourceB.value)
    let to = Int(instruction >> 17 & 0x3F + counters.threads[thread].sourceA.value)
    guard mode == 2, instruction & 3 == 0, instruction >> 17 & 3 == 0 else {
      throw unsupported("MOVB2A", "mode \(mode), rows \(from) and \(to)")
    }
    guard sourceB.isMatrixBankValid else { return false }
    guard from & 3 == 0, to & 3 == 0, from < SourceRegisters.rows, to < SourceRegisters.rows else {
      throw unsupported("MOVB2A", "rows \(from) and \(to)")
    }
    try sourceB.checkWritten(from, 4, bank: sourceB.matrixBank)
    let flushes = formats.flushes
    for i in 0..<4 {
      let data = sourceB.row(from + i, bank: sourceB.matrixBank)
      let target = sourceA.row(to + i, bank: sourceA.matrixBank)
      for column in 0..<16 {
        target[column] = flushes && data[column] & 0x7F80_0000 == 0 ? 0 : data[column]
      }
    }
    sourceA.didWrite(to, 4, bank: sourceA.matrixBank)
    try counters.advance(addressMode: instruction >> 15 & 3, thread: thread)
    return true
  }

  /// TRNSPSRCB: rows 16 to 31 of SrcB are transposed.
  func transposeB(_ instruction: UInt32) throws(Violation) -> Bool {
    try known(instruction, 0, "TRNSPSRCB")
    guard sourceB.isMatrixBankValid else { return false }
    try sourceB.checkWritten(16, 16, bank: sourceB.matrixBank)
    let face = sourceB.row(16, bank: sourceB.matrixBank)
    for i in 1..<16 {
      for j in 0..<i {
        (face[16 * i + j], face[16 * j + i]) = (face[16 * j + i], face[16 * i + j])
      }
    }
    return true
  }
}
