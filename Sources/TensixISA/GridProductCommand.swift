/// The command that computes out = activation(a b + bias + residual) where there are many rows, on the whole
/// grid of tiles: 8 columns of tiles and as many rows as are on.
///
/// Each column of the grid has a part of the output's columns, each row of the grid a part of its rows. So the
/// tiles of a column need the same weights, those of a row the same activations: of both each tile reads its
/// share from DRAM and multicasts it to the others (``Stream``). DRAM gives every tile once.
///
/// A tile goes through the sum chunk by chunk, in each through its columns group by group, and through its rows
/// in each group. One row of a group is a block, whose accumulators are in Dst together.
package struct GridProductCommand {
  /// Tiles of activations that are sent together, neighbours in a row.
  package static var leftBatch: UInt32 { 4 }

  /// Codes of ``DataFormat``; `a` is bfloat16.
  package var bFormat: UInt32 = 0
  package var outFormat: UInt32 = 0
  package var phases: UInt32 = 0
  /// Of ``ActivationCode``.
  package var activation: UInt32 = 0

  /// Output tiles down and across.
  package var rows: UInt32 = 0
  package var columns: UInt32 = 0
  /// Tiles summed over, and how many of them at a time.
  package var inner: UInt32 = 0
  package var chunk: UInt32 = 0
  /// Output tiles of a row and of a column of the grid; the last ones have less.
  package var tileRows: UInt32 = 0
  package var tileColumns: UInt32 = 0
  /// Output columns of a group, at most; 4 accumulators.
  package var width: UInt32 = 0
  /// Room in L1: batches of ``leftBatch`` activations, and of a step's weights of one group.
  package var leftDepth: UInt32 = 0
  package var rightDepth: UInt32 = 0

  package var a: UInt32 = 0
  package var b: UInt32 = 0
  /// Of a second matrix of weights: out = activation(a b) * (a factor). 0 stands for none.
  package var factor: UInt32 = 0
  /// Row 0 of a bfloat16 matrix of one row of tiles; 0 stands for none.
  package var bias: UInt32 = 0
  /// A bfloat16 matrix of `columns` tiles a row; 0 stands for none.
  package var residual: UInt32 = 0
  package var out: UInt32 = 0
  /// Length of a row of `out` in tiles.
  package var outStride: UInt32 = 0
  /// Where the first output tile stands.
  package var outColumn: UInt32 = 0
  /// The first row, of a, residual and out.
  package var firstRow: UInt32 = 0

  /// Products of the same `a` with up to three matrices are one command, with a bias for each or none, and nothing else
  /// added: `columns` counts those of all, these how many the first and the second have. Results are as wide as their
  /// matrices.
  package var firstColumns: UInt32 = 0
  package var secondColumns: UInt32 = 0
  package var secondB: UInt32 = 0
  package var secondOut: UInt32 = 0
  package var secondBias: UInt32 = 0
  package var thirdB: UInt32 = 0
  package var thirdOut: UInt32 = 0
  package var thirdBias: UInt32 = 0

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror. Three words mean the third matrix where products are joined.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    let first = word(0)
    width = first >> 8 & 0xF
    bFormat = first >> 12 & 0xF
    outFormat = first >> 16 & 0xF
    phases = first >> 20 & 0xF
    activation = first >> 24 & 0x7
    tileRows = first >> 28
    (rows, columns) = (word(1) & 0xFFFF, word(1) >> 16)
    (inner, chunk) = (word(2) & 0xFFFF, word(2) >> 16)
    (firstRow, tileColumns) = (word(3) & 0xFFFF, word(3) >> 16)
    (leftDepth, rightDepth) = (word(4) & 0xFFFF, word(4) >> 16)
    (firstColumns, secondColumns) = (word(5) & 0xFFFF, word(5) >> 16)
    a = word(6)
    b = word(7)
    out = word(8)
    bias = word(9)
    secondB = word(10)
    secondOut = word(11)
    secondBias = word(12)
    if isJoined {
      thirdB = word(13)
      thirdOut = word(14)
      thirdBias = word(15)
      outStride = firstColumns
    } else {
      factor = word(13)
      residual = word(14)
      (outStride, outColumn) = (word(15) & 0xFFFF, word(15) >> 16)
    }
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    let formats = bFormat << 12 | outFormat << 16
    let shares = width << 8 | tileRows << 28
    store(0, Operation.gridProduct | formats | phases << 20 | activation << 24 | shares)
    store(1, rows | columns << 16)
    store(2, inner | chunk << 16)
    store(3, firstRow | tileColumns << 16)
    store(4, leftDepth | rightDepth << 16)
    store(5, firstColumns | secondColumns << 16)
    store(6, a)
    store(7, b)
    store(8, out)
    store(9, bias)
    store(10, secondB)
    store(11, secondOut)
    store(12, secondBias)
    store(13, isJoined ? thirdB : factor)
    store(14, isJoined ? thirdOut : residual)
    store(15, isJoined ? thirdBias : outStride | outColumn << 16)
  }

  // MARK: What follows from it

  @inline(__always) package var isGated: Bool { factor != 0 }
  @inline(__always) package var isJoined: Bool { firstColumns != columns }
  /// Bias and residual have eight bits, whatever weights have.
  @inline(__always) package var addendPhases: UInt32 { max(2, phases) }
  @inline(__always) package var chunks: UInt32 { (inner + chunk - 1) / chunk }
  /// Batches of a row's activations in a chunk of `steps`.
  @inline(__always) package func leftBatches(steps: UInt32) -> UInt32 {
    (steps + Self.leftBatch - 1) / Self.leftBatch
  }
  /// Where weights begin in L1, behind the activations.
  @inline(__always) package var rightBase: UInt32 {
    Buffer.left + leftDepth * Self.leftBatch * 2048
  }
  /// A column of one of the matrices: where that, its bias and its result begin, and lengths of their rows.
  package struct Column {
    package var b: UInt32
    package var bStride: UInt32
    package var bias: UInt32
    package var out: UInt32
    package var outStride: UInt32
    package var number: UInt32
  }
  @inline(__always) package func place(of column: UInt32) -> Column {
    var place = Column(
      b: b, bStride: firstColumns, bias: bias, out: out, outStride: outStride, number: column)
    if column >= firstColumns {
      place.number -= firstColumns
      var width = secondColumns
      (place.b, place.bias, place.out) = (secondB, secondBias, secondOut)
      if place.number >= secondColumns {
        place.number -= secondColumns
        width = columns - firstColumns - secondColumns
        (place.b, place.bias, place.out) = (thirdB, thirdBias, thirdOut)
      }
      (place.bStride, place.outStride) = (width, width)
    }
    return place
  }
  /// Bytes of a place for weights of one step.
  @inline(__always) package var rightBytes: UInt32 {
    (isGated ? 2 * width : width) * DataFormat.tileBytes(bFormat)
  }
}

/// What a ``GridProductCommand`` sends round: weights down a column of the grid, activations along a row. Its
/// batches come from the column's, the row's tiles in turn. All counters are in lines of their own, of 16 bytes,
/// at the same addresses in all tiles, and only grow.
package enum Stream {
  package static var weights: UInt32 { 0x1AC00 }
  package static var activations: UInt32 { 0x1AE00 }
  package static var byteCount: UInt32 { 0x200 }

  /// The number of the last batch, plus 1, that has come from the member.
  @inline(__always) package static func sent(_ stream: UInt32, _ member: UInt32) -> UInt32 {
    stream + 16 * member
  }
  /// How many batches the member has used up, as far as it has said so.
  @inline(__always) package static func used(_ stream: UInt32, _ member: UInt32) -> UInt32 {
    stream + 0x100 + 16 * member
  }
  /// How many batches this tile has used up.
  @inline(__always) package static func usedHere(_ stream: UInt32) -> UInt32 { stream + 0x1C0 }
  /// The number of the command's first batch.
  @inline(__always) package static func first(_ stream: UInt32) -> UInt32 { stream + 0x1E0 }
}
