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
    let cycles = max(
      nocBytesOfBusiestTile / 32,
      max(productsOfBusiestTile, vectorInstructionsOfBusiestTile))
    return max(
      Double(cycles) / Double(max(1, clock)), Double(dramBytesRead + dramBytesWritten) / 288_000)
  }
}
