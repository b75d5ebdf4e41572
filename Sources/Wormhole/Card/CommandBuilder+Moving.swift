internal import TensixISA

/// Elements that move without a change of their bits. What an operation does not name in `out` stays as it
/// is, so several may fill one matrix.
extension CommandBuilder {
  /// Copies blocks of rows, or parts of them:
  ///
  ///     out[outRow + q outBlockStride + i, outColumn + j] =
  ///       a[row + q blockStride + i rowStep, column + j columnStep]
  ///
  /// for 0 <= q < blocks, 0 <= i < rows, 0 <= j < columns.
  ///
  /// Fastest where `column` and `outColumn` are equal modulo 16.
  ///
  /// - Parameters:
  ///   - a: bfloat16 or float32.
  ///   - rowStep: 0 repeats a row.
  ///   - columnStep: 1, or 0, which repeats a column.
  ///   - out: another matrix in the format of `a`.
  ///   - outBlockStride: at least `rows`; where nil, `rows`.
  package mutating func gather(
    _ a: Matrix, row: Int = 0, rowStep: Int = 1, column: Int = 0, columnStep: Int = 1, rows: Int,
    columns: Int, blocks: Int = 1, blockStride: Int = 0, into out: Matrix, outRow: Int = 0,
    outBlockStride: Int? = nil, outColumn: Int = 0
  ) throws(CardError) {
    let target = Target(
      blocks: blocks, rows: rows, columns: columns, row: outRow, stride: outBlockStride ?? rows,
      column: outColumn)
    try check("gather", a, into: out, target, [row, rowStep, column, columnStep, blockStride])
    let lastRow = row + (blocks - 1) * blockStride + (rows - 1) * rowStep
    guard lastRow < a.rows, column + (columns - 1) * columnStep < a.columns, columnStep <= 1 else {
      throw error(
        "gather", "rows to \(lastRow) and \(columns) columns from \(column) on of \(text(a))")
    }
    var command = GatherCommand(a, into: out, target)
    command.sourceRow = UInt32(row)
    command.rowStep = UInt32(rowStep)
    command.sourceBlockStride = UInt32(blockStride)
    command.sourceColumn = UInt32(column)
    command.columnStep = UInt32(columnStep)
    append(command, a, into: out, target)
  }

  /// Copies rows, or parts of them, whose numbers stand in a table when the command runs:
  ///
  ///     out[outRow + q outBlockStride + i, outColumn + j] = a[table[q rows + i], column + j]
  ///
  /// for 0 <= q < blocks, 0 <= i < rows, 0 <= j < columns, where blocks times rows is the table's count.
  /// A row that `a` does not have reads as zeros.
  ///
  /// - Parameters:
  ///   - a: bfloat16 or float32; an embedding's vectors, say.
  ///   - out: another matrix in the format of `a`.
  ///   - outBlockStride: at least the rows of a block; where nil, these.
  package mutating func lookup(
    _ a: Matrix, _ table: RowTable, column: Int = 0, columns: Int, blocks: Int = 1,
    into out: Matrix, outRow: Int = 0, outBlockStride: Int? = nil, outColumn: Int = 0
  ) throws(CardError) {
    guard blocks >= 1, table.count % blocks == 0 else {
      throw error("lookup", "\(table.count) rows in \(blocks) blocks")
    }
    let rows = table.count / blocks
    let target = Target(
      blocks: blocks, rows: rows, columns: columns, row: outRow, stride: outBlockStride ?? rows,
      column: outColumn)
    try check("lookup", a, into: out, target, [column])
    guard column + columns <= a.columns else {
      throw error("lookup", "\(columns) columns from \(column) on of \(text(a))")
    }
    var command = GatherCommand(a, into: out, target)
    command.hasTable = true
    command.table = table.base
    command.sourceRows = UInt32(a.rows)
    command.sourceColumn = UInt32(column)
    append(command, a, into: out, target)
  }

  /// Copies all elements, row by row, into rows of another width.
  ///
  /// Fastest where both widths are multiples of 16.
  ///
  /// - Parameters:
  ///   - a: bfloat16 or float32.
  ///   - out: another matrix with as many elements in the format of `a`.
  package mutating func reshape(_ a: Matrix, into out: Matrix) throws(CardError) {
    if a.columns == out.columns, a.rows == out.rows {
      return try gather(a, rows: a.rows, columns: a.columns, into: out)
    }
    let count = a.rows * a.columns
    guard count == out.rows * out.columns, count <= 1 << 31, a.format == out.format,
      !a.format.isShared, a.base != out.base
    else { throw error("reshape", "\(text(a)) into \(text(out))") }
    var command = ReshapeCommand()
    command.format = a.format.code
    (command.source, command.sourceStride) = (a.base, UInt32(a.tileColumns))
    (command.out, command.outStride) = (out.base, UInt32(out.tileColumns))
    command.sourceColumns = UInt32(a.columns)
    (command.outColumns, command.outRows) = (UInt32(out.columns), UInt32(out.rows))
    append(
      Command(cost: cost(ofReshapeInto: out), command.write),
      access: CommandAccess(reads: [a], writes: [out], scratch: .own))
  }

  // MARK: Parts

  /// What of `out` is named.
  struct Target {
    var blocks: Int
    var rows: Int
    var columns: Int
    var row: Int
    var stride: Int
    var column: Int

    /// Rows of tiles that have rows in it, and how many.
    var tileRows: [(tileRow: Int, rows: Int)] {
      var found: [(tileRow: Int, rows: Int)] = []
      for block in 0..<blocks {
        var first = row + block * stride
        let end = first + rows
        while first < end {
          let tileRow = first / 32, count = min(end, (tileRow + 1) * 32) - first
          if let last = found.last, last.tileRow == tileRow {
            found[found.count - 1].rows += count
          } else {
            found.append((tileRow, count))
          }
          first += count
        }
      }
      return found
    }
  }

  private func check(
    _ call: String, _ a: Matrix, into out: Matrix, _ target: Target, _ numbers: [Int]
  ) throws(CardError) {
    guard a.format == out.format, !a.format.isShared, a.base != out.base else {
      throw error(call, "\(text(a)) into \(text(out))\(a.base == out.base ? " itself" : "")")
    }
    // No sum or product below leaves Int.
    let range = 0...Matrix.maximumSide
    guard target.blocks >= 1, target.rows >= 1, target.columns >= 1,
      numbers.allSatisfy(range.contains),
      [target.blocks, target.rows, target.columns, target.row, target.stride, target.column]
        .allSatisfy(range.contains)
    else {
      throw error(
        call, "\(target.blocks) blocks of \(target.rows) x \(target.columns), offsets \(numbers)")
    }
    guard target.blocks == 1 || target.stride >= target.rows,
      target.row + (target.blocks - 1) * target.stride + target.rows <= out.rows,
      target.column + target.columns <= out.columns
    else {
      throw error(
        call,
        "\(target.blocks) blocks of \(target.rows) x \(target.columns) from row \(target.row), "
          + "column \(target.column) on, \(target.stride) rows apart, into \(text(out))")
    }
  }

  private mutating func append(
    _ command: GatherCommand, _ a: Matrix, into out: Matrix, _ target: Target
  ) {
    append(
      Command(cost: cost(of: command, target, out), command.write),
      access: CommandAccess(reads: [a], writes: [out], scratch: .own))
  }

  /// What each of the tiles reads and writes, by the rules of the device program.
  private func cost(of command: GatherCommand, _ target: Target, _ out: Matrix) -> CommandCost {
    var moved = Moved(tiles: tiles)
    let tileRows = target.tileRows
    let left = target.column / 32, across = (target.column + target.columns + 31) / 32 - left
    for (tileRow, rows) in tileRows {
      for tileColumn in left..<left + across {
        let first = max(target.column - tileColumn * 32, 0)
        let end = min(target.column + target.columns - tileColumn * 32, 32)
        let source =
          Int(command.sourceColumn)
          + (command.columnStep == 0 ? 0 : tileColumn * 32 + first - target.column)
        // Elements that keep their place in a segment are read alone, others with their segments.
        var elements = end - first
        if command.columnStep == 0 {
          elements = 16
        } else if (source - first) % 16 != 0 {
          elements = (source % 16 + elements + 15) / 16 * 16
        }
        let isPart = rows < 32 || end - first < 32
        moved.add(
          unit: (tileRow - (tileRows.first?.tileRow ?? 0)) * across + tileColumn - left,
          read: rows * elements * out.elementBytes + (isPart ? out.format.tileBytes : 0)
            + (command.hasTable ? rows * 4 : 0),
          written: out.format.tileBytes)
      }
    }
    return moved.cost
  }

  private func cost(ofReshapeInto out: Matrix) -> CommandCost {
    var moved = Moved(tiles: tiles)
    for page in 0..<out.pageCount {
      let rows = min(32, out.rows - page / out.tileColumns * 32)
      let columns = min(32, out.columns - page % out.tileColumns * 32)
      let isPart = rows < 32 || columns < 32
      moved.add(
        unit: page,
        read: rows * columns * out.elementBytes + (isPart ? out.format.tileBytes : 0),
        written: out.format.tileBytes)
    }
    return moved.cost
  }

  /// Bytes by tile: unit u is the work of tile u mod count.
  struct Moved {
    private var read: [Int]
    private var written: [Int]

    init(tiles: Int) {
      read = [Int](repeating: 0, count: max(1, tiles))
      written = read
    }

    mutating func add(unit: Int, read bytes: Int, written: Int) {
      let tile = unit % read.count
      read[tile] += bytes
      self.written[tile] += written
    }

    var cost: CommandCost {
      var cost = CommandCost()
      cost.dramBytesRead = read.reduce(0, +)
      cost.dramBytesWritten = written.reduce(0, +)
      cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten
      cost.nocBytesOfBusiestTile = max(read.max() ?? 0, written.max() ?? 0)
      return cost
    }
  }
}

extension GatherCommand {
  fileprivate init(_ a: Matrix, into out: Matrix, _ target: CommandBuilder.Target) {
    self.init()
    format = a.format.code
    (source, sourceStride) = (a.base, UInt32(a.tileColumns))
    (self.out, outStride) = (out.base, UInt32(out.tileColumns))
    (blocks, blockRows, columns) = (
      UInt32(target.blocks), UInt32(target.rows), UInt32(target.columns)
    )
    (outRow, outColumn) = (UInt32(target.row), UInt32(target.column))
    outBlockStride = UInt32(max(target.stride, target.rows))
  }
}

extension Matrix {
  /// Commands count tiles in 16 bits.
  fileprivate static var maximumSide: Int { 65535 * 32 }
  fileprivate var elementBytes: Int { format.tileBytes / 1024 }
}
