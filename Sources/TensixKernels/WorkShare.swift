// Which of a command's work is this tile's, in the same order on all five cores.

extension NormalizeCommand {
  @inline(never) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }

  /// Every `tileCount`-th row of tiles; or this tile's part of some rows, once.
  @inline(__always) func forEachBand(_ body: (NormalizeBand) -> Void) {
    let count = Memory[Control.tileCount], index = Memory[Control.tileIndex]
    var row = parts == 1 ? index : index / parts * tileRows
    let part = parts == 1 ? 0 : index % parts, column = part * tileColumns
    while row < rows {
      body(
        NormalizeBand(
          row: firstRow + row, rows: min(tileRows, rows - row), column: column,
          columns: min(tileColumns, columns - column), part: part))
      row += parts == 1 ? count : rows
    }
  }

  /// Results that are made together: of a column, as many rows as Dst has room for beside weight and bias.
  @inline(__always) func forEachGroup(
    _ band: NormalizeBand, _ body: (_ column: UInt32, _ row: UInt32, _ rows: UInt32) -> Void
  ) {
    for column in 0..<band.columns {
      var row: UInt32 = 0
      while row < band.rows {
        let count = min(4 - addends, band.rows - row)
        body(column, row, count)
        row += count
      }
    }
  }

  /// Tiles of a row, at most four, whose values are added up together.
  @inline(__always) func forEachSummand(
    _ band: NormalizeBand, _ body: (_ row: UInt32, _ column: UInt32, _ columns: UInt32) -> Void
  ) {
    for row in 0..<band.rows {
      var column: UInt32 = 0
      while column < band.columns {
        let count = min(4, band.columns - column)
        body(row, column, count)
        column += count
      }
    }
  }
}

/// What a tile of the card has of the rows that it normalises, in tiles.
struct NormalizeBand {
  var row: UInt32
  var rows: UInt32
  var column: UInt32
  var columns: UInt32
  /// Which of the row's parts.
  var part: UInt32
}

extension RotateCommand {
  @inline(__always) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }

  /// Every `tileCount`-th tile of the result.
  @inline(__always) func forEachTile(
    _ body: (_ row: UInt32, _ head: UInt32, _ column: UInt32) -> Void
  ) {
    let count = Memory[Control.tileCount], columns = heads * headColumns
    var tile = Memory[Control.tileIndex]
    while tile < rows * columns {
      let column = tile % columns
      body(tile / columns, column / headColumns, column % headColumns)
      tile += count
    }
  }
}

/// Thirty-two rows of one head.
struct AttentionUnit {
  var item: UInt32
  var head: UInt32
  var row: UInt32
  /// Of this tile's units with the same keys, the first, the last.
  var startsGroup: Bool
  var endsGroup: Bool
}

extension AttentionCommand {
  @inline(never) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }

  /// Neighbouring units, whose keys are mostly the same.
  @inline(__always) func forEachUnit(_ body: (AttentionUnit) -> Void) {
    let count = Memory[Control.tileCount], index = Memory[Control.tileIndex]
    let group = groupHeads * rows
    let start = units * index / count, end = units * (index + 1) / count
    var unit = start
    while unit < end {
      body(
        AttentionUnit(
          item: unit / (heads * rows), head: unit / rows % heads, row: unit % rows,
          startsGroup: unit == start || unit % group == 0,
          endsGroup: unit + 1 == end || (unit + 1) % group == 0))
      unit += 1
    }
  }

  /// Where the tile of q, and of the result, is.
  @inline(__always) func queryPage(_ unit: AttentionUnit, column: UInt32) -> UInt32 {
    (unit.item * rows + unit.row) * stride + unit.head * headColumns + column
  }

  // Tiles in the left buffer, which is no ring here.
  @inline(__always) func keySlot(_ key: UInt32, _ column: UInt32) -> UInt32 {
    Buffer.left + 2048 * (key * headColumns + column)
  }
  @inline(__always) func valueSlot(_ key: UInt32, _ column: UInt32) -> UInt32 {
    keySlot(keys + key, column)
  }
  @inline(__always) func querySlot(_ column: UInt32) -> UInt32 { keySlot(2 * keys, column) }
  @inline(__always) func maskSlot(_ key: UInt32) -> UInt32 { querySlot(headColumns + key) }
}
