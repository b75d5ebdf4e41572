/// The command that copies rows of one matrix into a part of another, element by element, bit by bit:
///
///     out[outRow + q outBlockStride + i, outColumn + j] = source[row(q, i), sourceColumn + j columnStep]
///     row(q, i) = sourceRow + q sourceBlockStride + i rowStep, or table[q blockRows + i]
///
/// for 0 <= q < blocks, 0 <= i < blockRows, 0 <= j < columns. What it does not name stays as it is.
package struct GatherCommand {
  /// Of both matrices, a code of ``DataFormat``: `bfloat16` or `float32`.
  package var format: UInt32 = 0
  /// 1, or 0: one column of the source everywhere.
  package var columnStep: UInt32 = 1
  /// Rows come from a table: UInt32, contiguous in the first bank, at a multiple of 32. A row that
  /// the source does not have stands for zeros.
  package var hasTable = false

  // DRAM addresses, and the length of a row in tiles.
  package var source: UInt32 = 0
  package var sourceStride: UInt32 = 0
  package var out: UInt32 = 0
  package var outStride: UInt32 = 0

  package var blocks: UInt32 = 0
  package var blockRows: UInt32 = 0
  package var columns: UInt32 = 0
  package var outRow: UInt32 = 0
  /// At least `blockRows`.
  package var outBlockStride: UInt32 = 0
  package var outColumn: UInt32 = 0
  package var sourceColumn: UInt32 = 0

  // Without a table:
  package var sourceRow: UInt32 = 0
  package var sourceBlockStride: UInt32 = 0
  package var rowStep: UInt32 = 1
  // With a table: its address, and how many rows the source has.
  package var table: UInt32 = 0
  package var sourceRows: UInt32 = 0

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    let first = word(0)
    format = first >> 8 & 0xF
    columnStep = first >> 12 & 1
    hasTable = first >> 13 & 1 == 1
    source = word(1)
    out = word(2)
    (sourceStride, outStride) = (word(3) & 0xFFFF, word(3) >> 16)
    blocks = word(4)
    blockRows = word(5)
    columns = word(6)
    outRow = word(7)
    outBlockStride = word(8)
    outColumn = word(9)
    sourceColumn = word(10)
    sourceRow = word(11)
    sourceBlockStride = word(12)
    rowStep = word(13)
    table = word(14)
    sourceRows = word(15)
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    store(0, Operation.gather | format << 8 | columnStep << 12 | (hasTable ? 1 : 0) << 13)
    store(1, source)
    store(2, out)
    store(3, sourceStride | outStride << 16)
    store(4, blocks)
    store(5, blockRows)
    store(6, columns)
    store(7, outRow)
    store(8, outBlockStride)
    store(9, outColumn)
    store(10, sourceColumn)
    store(11, sourceRow)
    store(12, sourceBlockStride)
    store(13, rowStep)
    store(14, table)
    store(15, sourceRows)
  }
}
