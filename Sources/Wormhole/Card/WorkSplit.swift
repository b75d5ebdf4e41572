internal import TensixISA

/// How a product of matrices is shared out: units of `blockRows` x `blockColumns` output tiles and
/// `chunk` steps of the sum.
///
/// A unit's activations are read once and stay in L1 while its columns' weights pass. Where there
/// are fewer blocks than tiles the sum is split, too: every chunk makes a plane of partial sums, which
/// another command adds.
struct WorkSplit: Hashable {
  var blockRows: Int
  var blockColumns: Int
  var chunk: Int
  var planes: Int
  var units: Int

  /// The problem, in tiles.
  struct Shape: Hashable {
    var rows: Int
    var columns: Int
    var inner: Int
    var aBytes: Int
    var bBytes: Int
    var phases: Int
  }

  /// Rows whose accumulators fit half of Dst.
  static let maximumRows = 4

  /// The cheapest split among those with the most tiles at work, where nine in ten count as all; nil
  /// where the sum is too long for any, which is beyond half a million columns of `a`.
  static func best(for shape: Shape, tiles: Int) -> WorkSplit? {
    var best: (split: WorkSplit, busy: Int, cycles: Int)?
    let enough = (tiles * 9 + 9) / 10
    for blockRows in 1...min(maximumRows, shape.rows) {
      for blockColumns in candidates(shape.columns) {
        for planes in candidates(min(shape.inner, 64)) {
          guard let split = WorkSplit(shape, blockRows, blockColumns, planes) else { continue }
          let busy = min(split.units, tiles, enough)
          let cycles = split.cycles(shape, tiles: tiles)
          if let found = best, (busy, -cycles) <= (found.busy, -found.cycles) { continue }
          best = (split, busy, cycles)
        }
      }
    }
    return best?.split
  }

  /// Nil where a unit's activations do not fit the left buffer, or the sum does not split so.
  private init?(_ shape: Shape, _ blockRows: Int, _ blockColumns: Int, _ planes: Int) {
    let chunk = max(1, (shape.inner + planes - 1) / planes)
    guard (shape.inner + chunk - 1) / chunk == planes else { return nil }
    let room = Int(Buffer.leftDepth) * 2048 / max(2048, shape.aBytes)
    guard blockRows * chunk <= room else { return nil }
    self.blockRows = blockRows
    self.blockColumns = blockColumns
    self.chunk = chunk
    self.planes = planes
    units =
      (shape.rows + blockRows - 1) / blockRows
      * ((shape.columns + blockColumns - 1) / blockColumns) * planes
  }

  private static func candidates(_ count: Int) -> [Int] {
    (1...max(1, count)).filter { $0 <= 16 || $0 % 8 == 0 || $0 == count }
  }

  /// An estimate of the time that it takes, by documented throughputs.
  private func cycles(_ shape: Shape, tiles: Int) -> Int {
    let a = blockRows * chunk * shape.aBytes, b = blockColumns * chunk * shape.bBytes
    let products = 16 * shape.phases * blockRows * blockColumns * chunk
    let rounds = (units + tiles - 1) / tiles
    // The busiest tile and DRAM overlap, but neither quite hides the other.
    let tile = rounds * max(products, (a + b) / 32), dram = units * (a + b) / 288
    var cycles = max(tile, dram) + min(tile, dram) / 4
    if planes > 1 {
      // Planes are written and added, and another command has its barrier and its start.
      let outputs = shape.rows * shape.columns, share = (outputs + tiles - 1) / tiles
      if planesFitTiles(shape, tiles: tiles) {
        cycles += share * planes * 4096 / 32
      } else {
        cycles += 2 * planes * outputs * 4096 / 288
      }
      cycles += share * planes * 3 * 32 + 2000
    }
    return cycles
  }

  /// Whether the planes of every tile's share of the output fit its L1, where they need no DRAM.
  func planesFitTiles(_ shape: Shape, tiles: Int) -> Bool {
    (shape.rows * shape.columns + tiles - 1) / tiles * planes <= Int(Buffer.planeCount)
  }
}
