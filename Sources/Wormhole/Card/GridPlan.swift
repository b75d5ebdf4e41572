internal import TensixISA

/// How a product with many rows is laid over the grid of tiles: see ``GridProductCommand``.
struct GridPlan: Hashable {
  /// Output tiles of a row, of a column of the grid.
  var tileRows: Int
  var tileColumns: Int
  /// Columns of a group: at most 4 accumulators.
  var width: Int
  /// Steps of the sum at a time.
  var chunk: Int
  /// Batches of activations, of weights that there is room for.
  var leftDepth: Int
  var rightDepth: Int

  /// The problem, in tiles.
  struct Shape: Hashable {
    var rows: Int
    var columns: Int
    var inner: Int
    var weightBytes: Int
    /// Two matrices of weights, and their product.
    var isGated: Bool
    /// Rows of the grid.
    var gridRows: Int
  }

  private static let gridColumns = Int(TileGrid.columns)
  private static let batch = Int(GridProductCommand.leftBatch)
  /// Bytes of L1 for both operands.
  private static let room = Int(Buffer.output - Buffer.left)
  private static let batchBytes = batch * 2048

  /// The plan whose groups are widest, so that an activation is unpacked least often, and then whose chunks are
  /// longest; nil where none fits L1.
  init?(_ shape: Shape) {
    for width in (1...(shape.isGated ? 2 : 4)).reversed() {
      for chunks in 1...max(1, shape.inner / 32) {
        // As equal as may be, in whole batches.
        let batches = Self.share(Self.share(shape.inner, chunks), Self.batch)
        let chunk = min(shape.inner, batches * Self.batch)
        if let plan = GridPlan(shape, width: width, chunk: chunk) {
          self = plan
          return
        }
      }
    }
    return nil
  }

  private static func share(_ count: Int, _ parts: Int) -> Int { (count + parts - 1) / parts }

  private init?(_ shape: Shape, width: Int, chunk: Int) {
    tileRows = Self.share(shape.rows, shape.gridRows)
    tileColumns = Self.share(shape.columns, Self.gridColumns)
    let groups = Self.share(tileColumns, width)
    self.width = Self.share(tileColumns, groups)
    self.chunk = chunk
    let chunks = Self.share(shape.inner, chunk)
    let accumulators = shape.isGated ? 2 * self.width : self.width
    let weightBytes = accumulators * shape.weightBytes
    // Sums that are not finished wait in L1.
    let sums = tileRows * tileColumns * (shape.isGated ? 2 : 1)
    guard chunks == 1 || sums <= Int(Buffer.planeCount) else { return nil }

    // A chunk's activations stay for all groups, a group's weights for all rows; what comes next needs room,
    // too.
    let chunkBatches = tileRows * Self.share(chunk, Self.batch)
    let allLeft = tileRows * Self.share(shape.inner, Self.batch)
    let held = groups > 1 ? chunkBatches : min(chunkBatches, 8)
    let left = min(allLeft, chunks > 1 || groups == 1 ? held + max(8, held / 4) : held)
    let allRight = groups * shape.inner
    let heldRight = tileRows > 1 ? chunk : min(chunk, 16)
    let least = min(allRight, heldRight + min(16, max(8, chunk / 4)))
    let rest = Self.room - left * Self.batchBytes
    guard rest >= least * weightBytes else { return nil }
    leftDepth = left
    rightDepth = min(allRight, 2 * max(chunk, 16), rest / weightBytes)
    guard tileRows <= 0xFFFF, tileColumns <= 0xFFFF, shape.inner <= 0xFFFF else { return nil }
  }

  /// In how many bands the rows may be taken: from four rows of a tile at a time to one.
  static func bands(of shape: Shape) -> ClosedRange<Int> {
    share(shape.rows, 4 * shape.gridRows)...share(shape.rows, shape.gridRows)
  }

  /// Whether so many rows are enough for the grid's rows.
  static func suits(rows: Int, gridRows: Int) -> Bool { rows > 4 && 2 * rows > gridRows }
}

extension Card {
  /// Rows of the grid of tiles where all of it takes part, as multicasts need it; else nil.
  package var gridRows: Int? {
    tiles == transport.layout.tiles
      && tiles.count % Int(TileGrid.columns) == 0
      ? tiles.count / Int(TileGrid.columns) : nil
  }
}
