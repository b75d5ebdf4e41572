// Which part of a thin product is this tile's, in the same order on all five cores.

extension ThinProductCommand {
  @inline(never) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }
}

/// The tiles that share activations, and this one among them.
struct ThinShare {
  /// Their columns of the grid.
  let width: UInt32
  /// The part of the sum.
  let plane: UInt32
  /// This tile's number; it takes every `members`-th column from there on.
  let member: UInt32
  let members: UInt32

  @inline(__always) init(_ command: ThinProductCommand) {
    let index = Memory[Control.tileIndex], count = Memory[Control.tileCount]
    let x = index % TileGrid.columns
    width = TileGrid.columns / command.planes
    plane = x / width
    member = index / TileGrid.columns * width + x % width
    members = count / command.planes
  }

  @inline(__always) func forEachColumn(
    _ command: ThinProductCommand, _ body: (_ column: UInt32) -> Void
  ) {
    var column = member
    while column < command.columns {
      body(column)
      column += members
    }
  }
}

/// The tiles that share the columns of a thin norm's rows, and this one among them.
struct NormShare {
  let columns: UInt32
  let row: UInt32
  /// This tile takes every `members`-th column from `member` on; the last tiles take none.
  let member: UInt32
  let members: UInt32
  /// Tiles that have columns, the first of the card.
  let count: UInt32

  @inline(__always) init(rows: UInt32, columns: UInt32) {
    self.columns = columns
    members = NormalizeCommand.members(
      rows: rows, columns: columns, tiles: Memory[Control.tileCount])
    count = rows * members
    let index = Memory[Control.tileIndex]
    row = index / members
    member = index < count ? index % members : columns
  }

  @inline(__always) var isEmpty: Bool { member == columns }

  @inline(__always) func forEachColumn(_ body: (_ column: UInt32) -> Void) {
    var column = member
    while column < columns {
      body(column)
      column += members
    }
  }
}

/// Tiles of Dst of a thin norm that two threads know.
enum ThinNorm {
  /// Two, with the parts of sums of squares of the row.
  static var parts: UInt32 { 6 }
}
