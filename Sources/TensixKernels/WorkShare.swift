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

  /// Every `tileCount`-th place of the tables, which all heads of its row share.
  @inline(__always) func forEachPlace(_ body: (_ row: UInt32, _ column: UInt32) -> Void) {
    let count = Memory[Control.tileCount], places = places
    var place = Memory[Control.tileIndex]
    while place < rows * places {
      body(place / places, place % places)
      place += count
    }
  }

  /// The tiles of the result there, head by head.
  @inline(__always) func forEachTile(_ body: (_ row: UInt32, _ column: UInt32) -> Void) {
    forEachPlace { row, column in
      for number in 0..<heads * outputs { body(row, column + number * places) }
    }
  }
}

/// Thirty-two rows of one head.
struct AttentionUnit {
  var item: UInt32
  var head: UInt32
  var row: UInt32
  /// Which group of heads, counted from the first that the tile needs or that is shared with it.
  var group: UInt32
  /// Of this tile's units with the same keys, the first.
  var startsGroup: Bool
}

extension AttentionCommand {
  @inline(never) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }

  /// Where the tile of q, and of the result, is.
  @inline(__always) func queryPage(_ unit: AttentionUnit, column: UInt32) -> UInt32 {
    (unit.item * rows + unit.row) * stride + unit.head * headColumns + column
  }
}

/// This tile's units: neighbours, whose keys are mostly the same.
struct AttentionShare {
  /// The tile's place among all, column by column of the grid where neighbours share keys.
  let place: UInt32
  let count: UInt32
  /// The first group of heads that the tile needs or that is shared with it.
  let firstGroup: UInt32
  private let first: UInt32
  private let firstOfGroup: UInt32

  @inline(never) init(_ command: AttentionCommand) {
    let index = Memory[Control.tileIndex], tiles = Memory[Control.tileCount]
    place =
      command.sharers == 0
      ? index
      : index % TileGrid.columns * (tiles / TileGrid.columns) + index / TileGrid.columns
    first = command.units * place / tiles
    count = command.units * (place + 1) / tiles - first
    let group = command.groupHeads * command.rows
    firstGroup =
      command.sharers == 0 ? first / group : place / command.sharers * command.sharedGroups
    firstOfGroup = firstGroup * group
  }

  @inline(never) func unit(_ number: UInt32, _ command: AttentionCommand) -> AttentionUnit {
    let unit = first + number, group = command.groupHeads * command.rows
    let head = unit / command.rows, item = head / command.heads, own = (unit - firstOfGroup) / group
    return AttentionUnit(
      item: item, head: head - item * command.heads, row: unit - head * command.rows, group: own,
      startsGroup: number == 0 || firstOfGroup + own * group == unit)
  }

  /// Queries that come with a unit: before keys that are shared, which are many, two.
  @inline(__always) func queries(_ number: UInt32, _ command: AttentionCommand) -> UInt32 {
    guard command.sharers != 0, command.overlapsUnits, number < 2 else { return 1 }
    return number == 0 ? min(2, count) : 0
  }
  /// Tiles of queries that come with a unit.
  @inline(__always) func queryTiles(_ number: UInt32, _ command: AttentionCommand) -> UInt32 {
    queries(number, command) * command.headColumns
  }
  /// Which groups' keys and values come behind a unit's query, the first and how many: those of the unit, or
  /// where there is room more, long before they are needed.
  @inline(never) func groupsToLoad(
    _ number: UInt32, _ command: AttentionCommand
  ) -> (first: UInt32, count: UInt32) {
    if number == 0 { return (0, command.sharers == 0 ? 1 : command.sharedGroups) }
    guard command.sharers == 0 else { return (0, 0) }
    let unit = unit(number, command), places = command.keyPlaces
    if places == 2 && number == 1 {
      return (1, self.unit(count - 1, command).group != 0 ? 1 : 0)
    }
    return (unit.group, unit.startsGroup && unit.group >= places ? 1 : 0)
  }
}

/// What the threads of the coprocessor do in turn, each time in the other half of Dst: scores of some keys, or some
/// columns of a result. Among the columns of a unit's result stand scores of the next unit, so that matrix unit and
/// vector unit both have work.
struct AttentionTurns {
  enum Kind {
    /// Scores of keys, whose probabilities refer to the maximum of the unit's first ones.
    case scores
    /// The same once more, where that maximum was too far from that of all.
    case again
    /// No work: whether the scores come again is known.
    case verdict
    /// Probabilities times values; those of column 0 have their sums before them.
    case values
  }

  private enum Phase { case scores, ahead, verdict, again, values }

  private let keys: UInt32
  private let columns: UInt32
  private let units: UInt32
  private let overlapsUnits: Bool
  private var phase = Phase.scores
  /// The unit whose result comes next, the next of its keys or columns, and keys of the next unit that are done.
  private var current: UInt32 = 0
  private var position: UInt32 = 0
  private var ahead: UInt32 = 0

  private(set) var kind = Kind.scores
  /// Which of this tile's units, and of its keys or columns the first and how many.
  private(set) var unit: UInt32 = 0
  private(set) var first: UInt32 = 0
  private(set) var count: UInt32 = 0
  private(set) var half: UInt32 = 1

  /// A tile of Dst that is nobody's half: what is known of each row.
  static var state: UInt32 { 7 }

  init(_ command: AttentionCommand, _ share: AttentionShare) {
    keys = command.keys
    columns = command.headColumns
    units = share.count
    overlapsUnits = command.overlapsUnits
  }

  /// Tiles of Dst that the half has.
  private var room: UInt32 { 4 - half }
  /// The first of them.
  var tile: UInt32 { 4 * half }
  /// A unit's last scores.
  var endsScores: Bool { kind != .values && first + count == keys }
  /// A unit's last turn.
  var endsUnit: Bool { kind == .values && first + count == columns }

  private mutating func set(_ kind: Kind, _ unit: UInt32, _ first: UInt32, _ count: UInt32) {
    (self.kind, self.unit, self.first, self.count) = (kind, unit, first, count)
  }

  /// Goes to the next turn; false where there is none.
  @inline(never) mutating func advance() -> Bool {
    while current != units {
      switch phase {
      case .scores, .again:
        if position != keys {
          half ^= 1
          set(
            phase == .scores ? .scores : .again, current, position, min(room, keys - position))
          position = first + count
          return true
        }
        phase = phase == .scores ? .ahead : .verdict
      case .ahead:
        phase = .verdict
        // The last scores come behind the verdict on the unit before.
        if 3 + half < keys, scoreAhead() { return true }
      case .verdict:
        phase = .values
        position = 0
        kind = .verdict
        return true
      case .values:
        if position != columns {
          if position != 0, kind == .values, scoreAhead() { return true }
          half ^= 1
          let sums: UInt32 = position == 0 ? 1 : 0
          set(.values, current, position, min(room - sums, columns - position))
          position = first + count
          return true
        }
        current += 1
        position = ahead
        ahead = 0
        phase = .scores
      }
    }
    return false
  }

  /// The same past turns without work, whose verdicts are awaited.
  mutating func advance(past verdicts: inout Verdicts) -> Bool {
    while advance() {
      if kind != .verdict { return true }
      if verdicts.next() { repeatScores() }
    }
    return false
  }

  /// The next scores of the next unit, if there are any.
  private mutating func scoreAhead() -> Bool {
    guard overlapsUnits, current + 1 != units, ahead != keys else { return false }
    half ^= 1
    set(.scores, current + 1, ahead, min(room, keys - ahead))
    ahead = first + count
    return true
  }

  /// After a verdict: the unit's scores come again.
  mutating func repeatScores() { phase = .again }
}

/// What the pack thread says of each unit's probabilities, for the other two threads: it adds 1 to the count where
/// they are there, 2 where the scores come once more.
struct Verdicts {
  private var count = Memory[Control.probabilities]

  @inline(never) mutating func next() -> Bool {
    let before = count
    while count == before { count = Memory[Control.probabilities] }
    return count &- before == 2
  }
}
