/// The command that normalises every row of a matrix:
///
///     out = (x - mean) / sqrt(variance + epsilon) * (offset + weight) + bias
///
/// where, unless it is centred, mean is 0 and variance the mean square. A tile of the card takes whole rows
/// of tiles; or, where there are many, all tiles of a row of the grid share some rows, each has a part of their
/// columns, and they exchange sums. What a tile has stays in its L1 for all passes over it.
package struct NormalizeCommand {
  /// Of a, weight and bias, a code of ``DataFormat``: `bfloat16` or `float32`.
  package var format: UInt32 = 0
  package var outFormat: UInt32 = 0
  /// Subtracts the mean.
  package var isCentred = false
  /// Few rows, in bfloat16 and not centred: tiles share the rows' columns (``members(rows:columns:tiles:)``), and tell one
  /// another the sums of squares of theirs.
  package var isThin = false
  /// The result, in bfloat16, is a thin product's, the next command's: it comes to L1 of all tiles, and that command writes
  /// it to DRAM.
  package var isShared = false
  /// Thin rows that the command before has added up (``MatrixCommand/isNormalized``): a tile has its column in L1, and
  /// writes it to DRAM.
  package var isSummed = false
  /// In tiles.
  package var rows: UInt32 = 0
  package var columns: UInt32 = 0
  /// The first row, of a and out.
  package var firstRow: UInt32 = 0
  /// Tiles that share a row: 1, or all of a row of the grid.
  package var parts: UInt32 = 1
  /// Rows, at most four, and columns of a tile; the last ones have what is left.
  package var tileRows: UInt32 = 1
  package var tileColumns: UInt32 = 0

  package var a: UInt32 = 0
  package var aStride: UInt32 = 0
  package var out: UInt32 = 0
  package var outStride: UInt32 = 0
  /// Row 0 of a matrix of one row of tiles; 0 stands for none.
  package var weight: UInt32 = 0
  package var bias: UInt32 = 0

  // Bits of fp32.
  package var epsilon: UInt32 = 0
  /// 1 / width.
  package var inverseWidth: UInt32 = 0
  /// What is added to a weight: 0 or 1.
  package var offset: UInt32 = 0
  /// Minus the number of columns that the last tile has beyond the width.
  package var minusPadding: UInt32 = 0

  package init() {}

  /// Of `tiles` tiles that a card has, how many share a row of a thin norm, neighbours; they take its columns in turn.
  @inline(__always)
  package static func members(rows: UInt32, columns: UInt32, tiles: UInt32) -> UInt32 {
    min(columns, min(Buffer.partCount, tiles / rows))
  }
  /// Where a thin norm's values come to, each followed by its weight and bias: behind those of the result.
  @inline(__always) package var firstValue: UInt32 { Self.firstValue(rows: rows, columns: columns) }
  @inline(__always) package static func firstValue(rows: UInt32, columns: UInt32) -> UInt32 {
    rows * columns
  }
  /// Times that sums are taken of the rows: of values, of squares.
  @inline(__always) package var sums: UInt32 { isCentred ? 2 : 1 }
  /// Where the part's sums are in every tile that shares the rows, behind the tables of moving.
  @inline(__always) package static func sums(_ number: UInt32, of part: UInt32) -> UInt32 {
    Buffer.plane(1 + number * TileGrid.columns + part)
  }
  /// Where it says that they are there: the command's number.
  @inline(__always) package static func sent(_ number: UInt32, _ part: UInt32) -> UInt32 {
    Control.sent(number * TileGrid.columns + part)
  }
  /// Tiles of weight and bias for a column.
  @inline(__always) package var addends: UInt32 { (weight != 0 ? 1 : 0) + (bias != 0 ? 1 : 0) }

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    let first = word(0)
    format = first >> 8 & 0xF
    outFormat = first >> 16 & 0xF
    isCentred = first >> 24 & 1 == 1
    isThin = first & 0xFF == Operation.thinNormalize
    isShared = first >> 25 & 1 == 1
    isSummed = first >> 26 & 1 == 1
    (rows, columns) = (word(1) & 0xFFFF, word(1) >> 16)
    a = word(2)
    out = word(3)
    (aStride, outStride) = (word(4) & 0xFFFF, word(4) >> 16)
    weight = word(5)
    bias = word(6)
    epsilon = word(7)
    inverseWidth = word(8)
    offset = word(9)
    minusPadding = word(10)
    (parts, tileRows) = (word(11) & 0xFFFF, word(11) >> 16)
    (tileColumns, firstRow) = (word(12) & 0xFFFF, word(12) >> 16)
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    let operation = isThin ? Operation.thinNormalize : Operation.normalize
    let flags: UInt32 =
      (isCentred ? 1 : 0) << 24 | (isShared ? 1 : 0) << 25 | (isSummed ? 1 : 0) << 26
    store(0, operation | format << 8 | outFormat << 16 | flags)
    store(1, rows | columns << 16)
    store(2, a)
    store(3, out)
    store(4, aStride | outStride << 16)
    store(5, weight)
    store(6, bias)
    store(7, epsilon)
    store(8, inverseWidth)
    store(9, offset)
    store(10, minusPadding)
    store(11, parts | tileRows << 16)
    store(12, tileColumns | firstRow << 16)
    for word: UInt32 in 13..<16 { store(word, 0) }
  }
}
