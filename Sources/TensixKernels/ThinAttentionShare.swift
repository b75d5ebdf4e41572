// Which part of attention of few rows is this tile's, in the same order on all five cores.

extension ThinAttentionCommand {
  @inline(__always) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }
}

struct ThinAttentionShare {
  /// Where the tile stands in the grid.
  let x: UInt32
  let y: UInt32
  let part: UInt32
  /// Tiles that bring a part's keys and values, one in each row of the grid, and this one's number or a large one. They
  /// are in the column where NoC 1 comes to first: from the other, multicasts to the part would go all round.
  let sharers: UInt32
  let sharer: UInt32
  /// The part's first key, how many there are, and how many of them are of the first segment.
  let firstKey: UInt32
  let keys: UInt32
  let cached: UInt32
  /// Units of this row of the grid.
  let rowUnits: UInt32
  /// Which of them is the tile's, and that it has one.
  let unit: UInt32
  let hasUnit: Bool
  /// Row of tiles, and head, of the tile's unit.
  let row: UInt32
  let head: UInt32

  @inline(never) init(_ command: ThinAttentionCommand) {
    let index = Memory[Control.tileIndex], columns = ThinAttentionCommand.partColumns
    (x, y) = (index % TileGrid.columns, index / TileGrid.columns)
    (part, unit) = (x / columns, x % columns)
    sharers = Memory[Control.tileCount] / TileGrid.columns
    sharer = unit + 1 == columns ? y : 0x10000
    firstKey = command.firstKey(of: part)
    keys = command.firstKey(of: part + 1) - firstKey
    cached = min(max(command.firstKeys, firstKey) - firstKey, keys)
    let units = command.units
    rowUnits = min(columns, max(units, y * columns) - y * columns)
    hasUnit = unit < rowUnits
    let number = y * columns + unit
    (head, row) = (number / command.rows, number % command.rows)
  }

  /// The sets whose scores are exponentiated: the last, which is there, then those that come again.
  @inline(__always) func forEachSet(_ body: (_ first: UInt32, _ count: UInt32) -> Void) {
    let size = ThinAttentionCommand.setSize(of: keys)
    let last = (keys - 1) / size * size
    var first = last, next: UInt32 = 0
    while true {
      body(first, min(size, keys - first))
      if next == last { return }
      first = next
      next += size
    }
  }

  /// The tile of another part that has the same unit.
  @inline(__always) func tile(of part: UInt32) -> UInt32 {
    Memory[
      Buffer.tiles + 4
        * (y * TileGrid.columns + part * ThinAttentionCommand.partColumns + unit)]
  }

  /// How many of them turn keys.
  @inline(__always) func turners(_ command: ThinAttentionCommand) -> UInt32 {
    command.isTurned ? min(sharers, (keys - cached) * command.pairs) : 0
  }

  /// How many pairs of columns of this row's queries are this tile's, and how many of the part's keys that are
  /// turned.
  @inline(__always) func queryPairs(_ command: ThinAttentionCommand) -> UInt32 {
    (rowUnits * command.pairs + TileGrid.columns - 1 - x) / TileGrid.columns
  }
  @inline(__always) func keyPairs(_ command: ThinAttentionCommand) -> UInt32 {
    sharer < turners(command)
      ? ((keys - cached) * command.pairs + sharers - 1 - sharer) / sharers : 0
  }

  /// The tile's pair, queries before keys.
  @inline(never) func pair(_ command: ThinAttentionCommand, _ number: UInt32) -> ThinAttentionPair {
    let pairs = command.pairs, queries = queryPairs(command)
    if number < queries {
      let place = x + number * TileGrid.columns
      let column = place % pairs, own = place / pairs
      let unit = y * ThinAttentionCommand.partColumns + own
      return ThinAttentionPair(
        isKey: false, row: unit % command.rows, head: unit / command.rows, column: column,
        place: command.query(own, column))
    }
    let place = sharer + (number - queries) * sharers
    let key = cached + place / pairs, column = place % pairs
    return ThinAttentionPair(
      isKey: true, row: firstKey + key - command.firstKeys, head: 0, column: column,
      place: command.key(key, column))
  }

  // Where values and masks of the part are, behind its keys.
  @inline(__always) func value(
    _ command: ThinAttentionCommand, _ key: UInt32, _ column: UInt32
  ) -> UInt32 { command.key(keys + key, column) }
  @inline(__always) func mask(_ command: ThinAttentionCommand, _ key: UInt32) -> UInt32 {
    command.key(2 * keys, key * command.maskRows)
  }
}

/// Two columns, half a head apart, of 32 rows of a query or of keys.
struct ThinAttentionPair {
  let isKey: Bool
  /// Of q, or of the second segment, and so of the tables.
  let row: UInt32
  let head: UInt32
  let column: UInt32
  /// Where the first column is in L1 when it is turned; the second is as far behind it as in the head.
  let place: UInt32
}
