/// What one card has. No count is assumed: cards come with 80, 72, 64 or fewer Tensix tiles.
package struct CardLayout: Hashable, Sendable {
  /// The Tensix tiles that are on, row by row.
  package let tiles: [TileCoordinate]

  /// Rows of NoC 0 whose Tensix tiles are off.
  package let harvestedRows: [Int]

  /// The channels of DRAM; the same on all cards, since DRAM is not harvested.
  package var dram: [DRAMChannel] { DRAMChannel.all }

  /// The clock of the tiles in MHz as the firmware says it now; it changes with load.
  package let aiClock: Int?

  private let rowsOn: Set<Int>

  package init(harvestedRows: [Int], aiClock: Int?) {
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

/// A channel of a card's DRAM.
package struct DRAMChannel: Hashable, Sendable {
  /// The tiles through which it is reached, any of them.
  package let ports: [TileCoordinate]

  /// Where it begins for those tiles. The other channel of the same controller begins elsewhere.
  package let offset: UInt64

  /// The size in bytes.
  package static let byteCount: UInt64 = 1 << 30

  /// Six controllers with three ports and two channels each.
  static let all: [DRAMChannel] = [
    [(0, 0), (0, 1), (0, 11)], [(0, 5), (0, 6), (0, 7)], [(5, 0), (5, 1), (5, 11)],
    [(5, 2), (5, 9), (5, 10)], [(5, 3), (5, 4), (5, 8)], [(5, 5), (5, 6), (5, 7)],
  ].flatMap { ports in
    [0, byteCount].map { offset in
      DRAMChannel(ports: ports.map { TileCoordinate(x: $0.0, y: $0.1) }, offset: offset)
    }
  }
}
