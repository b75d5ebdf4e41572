// Which part of a grid product is this tile's, in the same order on all five cores.

extension GridProductCommand {
  @inline(__always) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }
}

/// Where the tile stands in the grid, and its rows and columns of the output: a group's columns are neighbours, and
/// those of the other columns of the grid lie beside them, so that what all need at a time comes from all banks.
struct GridShare {
  let x: UInt32
  let y: UInt32
  let gridRows: UInt32
  let row: UInt32
  let rows: UInt32
  let columns: UInt32
  let groups: UInt32
  /// Columns and groups of tiles that have most; the others have less in the last group.
  private let mostColumns: UInt32
  private let mostGroups: UInt32

  init(_ command: GridProductCommand) {
    let index = Memory[Control.tileIndex]
    x = index % TileGrid.columns
    y = index / TileGrid.columns
    gridRows = Memory[Control.tileCount] / TileGrid.columns
    row = min(y * command.tileRows, command.rows)
    rows = min(command.tileRows, command.rows - row)
    mostColumns = command.tileColumns
    mostGroups = (mostColumns + command.width - 1) / command.width
    let width = mostColumns / mostGroups, last = mostColumns - width
    let column = min(TileGrid.columns * last + x * width, command.columns)
    let inLast = min(width, command.columns - column)
    columns = last + inLast
    groups = inLast == 0 ? mostGroups - 1 : mostGroups
  }

  /// The tile computes nothing, but passes on what comes.
  @inline(__always) var isEmpty: Bool { rows == 0 || columns == 0 }

  /// First column of a group, among the tile's. The first groups are the widest, since activations come meanwhile.
  @inline(never) func start(of group: UInt32) -> UInt32 { min(mostBefore(group), columns) }
  /// The same among the output's.
  @inline(never) func column(of group: UInt32) -> UInt32 {
    let start = mostBefore(group)
    return TileGrid.columns * start + x * (mostBefore(group + 1) - start)
  }
  @inline(__always) private func mostBefore(_ group: UInt32) -> UInt32 {
    (mostColumns * group + mostGroups - 1) / mostGroups
  }

  @inline(__always) func forEachBlock(
    _ command: GridProductCommand, _ body: (GridBlock) -> Void
  ) {
    guard !isEmpty else { return }
    var step: UInt32 = 0
    while step < command.inner {
      let steps = min(command.chunk, command.inner - step)
      var first: UInt32 = 0
      for group in 0..<groups {
        let next = start(of: group + 1)
        for current in 0..<rows {
          body(
            GridBlock(
              row: current, group: group, column: first, columns: next - first, steps: steps,
              startsSum: step == 0, endsSum: step + steps == command.inner,
              endsRows: current + 1 == rows, startsGroups: group == 0,
              endsGroups: group + 1 == groups))
        }
        first = next
      }
      step += steps
    }
  }
}

/// Output tiles of one row whose accumulators are in Dst together.
struct GridBlock {
  /// Among the tile's rows, groups and columns.
  var row: UInt32
  var group: UInt32
  var column: UInt32
  /// At most four.
  var columns: UInt32
  var steps: UInt32
  /// The first, the last chunk of the sum.
  var startsSum: Bool
  var endsSum: Bool
  /// The last row of a group: its weights are no longer needed.
  var endsRows: Bool
  /// The first, the last group of a chunk: activations come, are no longer needed.
  var startsGroups: Bool
  var endsGroups: Bool
}

extension GridProductCommand {
  /// Accumulators of a block.
  @inline(__always) func accumulators(_ block: GridBlock) -> UInt32 {
    isGated ? 2 * block.columns : block.columns
  }

  /// Where a sum that is not finished stays meanwhile, in fp32.
  @inline(__always) func partialSum(
    _ share: GridShare, _ block: GridBlock, _ tile: UInt32
  ) -> UInt32 { Buffer.plane(block.row * share.columns + block.column + tile) }
}
