/// What a command moves and computes, by counting.
package struct CommandCost: Hashable, Sendable {
  package var dramBytesRead = 0
  package var dramBytesWritten = 0
  /// Bytes that the busiest tile takes in and gives out.
  package var nocBytesOfBusiestTile = 0
  /// Bytes on the NoC, all tiles.
  package var nocBytes = 0
  /// Matrix instructions (MVMUL) of the busiest tile.
  package var productsOfBusiestTile = 0
  /// Matrix instructions, all tiles.
  package var products = 0
  /// Vector instructions of the busiest tile.
  package var vectorInstructionsOfBusiestTile = 0
  /// Tiles that have matrix work.
  package var matrixTiles = 0
  package var hostBytes = 0

  /// Time below which the documented throughputs do not allow the command: 32 bytes a cycle into a
  /// tile, one matrix and one vector instruction a cycle, 288 GB/s of DRAM. `clock` in MHz.
  package func microsecondsAtLeast(clock: Int) -> Double {
    limits(clock: clock).map(\.microseconds).max() ?? 0
  }

  /// What takes that time; dispatch where nothing is to be done.
  package func bound(clock: Int) -> WorkBound {
    let longest = limits(clock: clock).max { $0.microseconds < $1.microseconds }
    return longest.map { $0.microseconds > 0 ? $0.bound : .dispatch } ?? .dispatch
  }

  private func limits(clock: Int) -> [(bound: WorkBound, microseconds: Double)] {
    func time(_ cycles: Int) -> Double { Double(cycles) / Double(max(1, clock)) }
    return [
      (.noc, time(nocBytesOfBusiestTile / 32)), (.math, time(productsOfBusiestTile)),
      (.vector, time(vectorInstructionsOfBusiestTile)),
      (.dram, Double(dramBytesRead + dramBytesWritten) / 288_000),
    ]
  }
}
