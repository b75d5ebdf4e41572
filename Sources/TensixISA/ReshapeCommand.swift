/// The command that copies all elements of a matrix, row by row, into the rows of another width.
package struct ReshapeCommand {
  /// Of both matrices, a code of ``DataFormat``: `bfloat16` or `float32`.
  package var format: UInt32 = 0

  // DRAM addresses, and the length of a row in tiles.
  package var source: UInt32 = 0
  package var sourceStride: UInt32 = 0
  package var out: UInt32 = 0
  package var outStride: UInt32 = 0

  // Elements of a row, and rows.
  package var sourceColumns: UInt32 = 0
  package var outColumns: UInt32 = 0
  package var outRows: UInt32 = 0

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    format = word(0) >> 8 & 0xF
    source = word(1)
    out = word(2)
    (sourceStride, outStride) = (word(3) & 0xFFFF, word(3) >> 16)
    sourceColumns = word(4)
    outColumns = word(5)
    outRows = word(6)
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    store(0, Operation.reshape | format << 8)
    store(1, source)
    store(2, out)
    store(3, sourceStride | outStride << 16)
    store(4, sourceColumns)
    store(5, outColumns)
    store(6, outRows)
    for word: UInt32 in 7..<16 { store(word, 0) }
  }
}
