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

  /// Cycles below which the documented throughputs do not allow the command: 32 bytes a cycle in and
  /// out of a tile, 1 matrix and 1 vector instruction a cycle, 288 bytes a cycle of DRAM at 1 GHz.
  package var cyclesAtLeast: Int {
    max(
      nocBytesOfBusiestTile / 32, productsOfBusiestTile + vectorInstructionsOfBusiestTile,
      (dramBytesRead + dramBytesWritten) / 288)
  }
}
