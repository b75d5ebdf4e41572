/// What one card has. No count is assumed: cards come with 80, 72, 64 or fewer Tensix tiles.
package struct CardLayout: Hashable, Sendable {
  /// The Tensix tiles that are on, row by row.
  package let tiles: [TileCoordinate]

  /// Rows of NoC 0 whose Tensix tiles are off.
  package let harvestedRows: [Int]

  /// The clock of the tiles in MHz as the firmware says it now; it changes with load.
  package let aiClock: Int?

  private let rowsOn: Set<Int>

  init(harvestedRows: [Int], aiClock: Int?) {
    self.harvestedRows = harvestedRows
    self.aiClock = aiClock
    let rows = TileMemory.tensixRows.filter { !harvestedRows.contains($0) }
    rowsOn = Set(rows)
    tiles = rows.flatMap { y in TileMemory.tensixColumns.map { x in TileCoordinate(x: x, y: y) } }
  }

  /// Whether `tile` is a Tensix tile that is on.
  package func isOn(_ tile: TileCoordinate) -> Bool {
    TileMemory.isTensix(tile) && rowsOn.contains(tile.y)
  }
}
