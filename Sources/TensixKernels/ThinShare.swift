// Which part of a thin product is this tile's, in the same order on all five cores.

extension ThinProductCommand {
  @inline(__always) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }
}

/// The tiles that share activations, or keys, and this one among them.
struct ThinShare {
  /// The tiles of a column of the grid, not all.
  let inColumn: Bool
  /// The part of the sum, or of the keys.
  let plane: UInt32
  /// This tile's number; it takes every `members`-th column from there on.
  let member: UInt32
  let members: UInt32

  @inline(__always) init(_ command: ThinProductCommand) { self.init(inColumn: command.planes != 1) }

  @inline(__always) init(inColumn: Bool) {
    let index = Memory[Control.tileIndex], count = Memory[Control.tileCount]
    let columns = inColumn ? TileGrid.columns : 1
    self.inColumn = inColumn
    (plane, member, members) = (index % columns, index / columns, count / columns)
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
