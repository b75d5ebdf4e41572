/// The command that computes out = activation(a b + bias + residual) where there are few rows, two tiles of
/// them at most: then the time goes into reading the weights, once.
///
/// Every tile takes columns of its own, for all rows, or with ``planes`` of a part of the sum that its column, or two,
/// of the grid of tiles share. All of them need the same activations: each reads some tiles of `a` and multicasts them to
/// the others, which keep them in L1 for all their columns. Weights stream in meanwhile, those of
/// later commands before they are released.
package struct ThinProductCommand {
  /// Rows of tiles that there may be: with two products side by side, accumulators fill half of Dst.
  package static var maximumRows: UInt32 { 2 }

  /// Codes of ``DataFormat``; `a`, bias and residual are bfloat16.
  package var bFormat: UInt32 = 0
  package var outFormat: UInt32 = 0
  package var phases: UInt32 = 0
  /// Of ``ActivationCode``.
  package var activation: UInt32 = 0
  /// The command before normalises `a` and brings it to L1 of all tiles; it is written to DRAM by this one.
  package var isNormalized = false

  /// Output tiles down and across.
  package var rows: UInt32 = 0
  package var columns: UInt32 = 0
  /// Tiles summed over, and in how many parts: 1, or as many as the grid has columns or pairs of them, each a plane of
  /// partial sums in fp32 that go to the L1 of the tile which adds them (``Operation/reduce``).
  package var inner: UInt32 = 0
  package var planes: UInt32 = 1

  package var a: UInt32 = 0
  package var b: UInt32 = 0
  /// Of a second matrix of weights: out = activation(a b) * (a factor). 0 stands for none.
  package var factor: UInt32 = 0
  /// Row 0 of a bfloat16 matrix of one row of tiles; 0 stands for none.
  package var bias: UInt32 = 0
  /// A bfloat16 matrix of `rows` x `columns` tiles; 0 stands for none.
  package var residual: UInt32 = 0
  package var out: UInt32 = 0
  /// Lengths of rows in tiles.
  package var aStride: UInt32 = 0
  package var bStride: UInt32 = 0
  package var outStride: UInt32 = 0
  /// Where the first output tile stands.
  package var outColumn: UInt32 = 0

  /// Products of the same `a` with up to three matrices are one command, without anything added to them:
  /// `columns` counts those of all, these how many the first and the second have. The second and the third, and their
  /// results, are as wide as that says.
  package var firstColumns: UInt32 = 0
  package var secondColumns: UInt32 = 0
  package var secondB: UInt32 = 0
  package var secondOut: UInt32 = 0
  package var thirdB: UInt32 = 0
  package var thirdOut: UInt32 = 0

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    let first = word(0)
    bFormat = Self.bFormat(first: first)
    outFormat = first >> 16 & 0xF
    phases = first >> 20 & 0xF
    activation = first >> 24 & 0x7
    isNormalized = first >> 8 & 1 == 1
    (rows, columns) = (word(1) & 0xFFFF, word(1) >> 16)
    (inner, planes) = (word(2) & 0xFFFF, word(2) >> 16)
    (aStride, bStride) = (word(3) & 0xFFFF, word(3) >> 16)
    a = word(4)
    b = word(5)
    factor = word(6)
    bias = word(7)
    residual = word(8)
    out = word(9)
    (outStride, outColumn) = (word(10) & 0xFFFF, word(10) >> 16)
    (firstColumns, secondColumns) = (word(11) & 0xFFFF, word(11) >> 16)
    secondB = word(12)
    secondOut = word(13)
    thirdB = word(14)
    thirdOut = word(15)
  }

  /// What the first word says of it.
  @inline(__always) package static func bFormat(first word: UInt32) -> UInt32 {
    word >> 12 & 0xF
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    let formats = bFormat << 12 | outFormat << 16
    let flags = phases << 20 | activation << 24 | (isNormalized ? 1 : 0) << 8
    store(0, Operation.thinProduct | formats | flags)
    store(1, rows | columns << 16)
    store(2, inner | planes << 16)
    store(3, aStride | bStride << 16)
    store(4, a)
    store(5, b)
    store(6, factor)
    store(7, bias)
    store(8, residual)
    store(9, out)
    store(10, outStride | outColumn << 16)
    store(11, firstColumns | secondColumns << 16)
    store(12, secondB)
    store(13, secondOut)
    store(14, thirdB)
    store(15, thirdOut)
  }

  // MARK: What follows from it

  @inline(__always) package var isGated: Bool { factor != 0 }
  /// Products side by side.
  @inline(__always) package var products: UInt32 { isGated ? 2 : 1 }
  /// Steps of the sum that a tile takes.
  @inline(__always) package var steps: UInt32 { inner / planes }
  @inline(__always) package var activations: UInt32 { rows * steps }
  /// Tiles that are added to a column's result: a bias, a residual for each row.
  @inline(__always) package var addends: UInt32 {
    (bias != 0 ? 1 : 0) + (residual != 0 ? rows : 0)
  }

  /// A column of one of the matrices: where that and its result begin, and lengths of their rows.
  package struct Column {
    package let b: UInt32
    package let bStride: UInt32
    package let out: UInt32
    package let outStride: UInt32
    package let number: UInt32
  }
  @inline(__always) package func place(of column: UInt32) -> Column {
    if column < firstColumns {
      return Column(
        b: b, bStride: bStride, out: out, outStride: outStride, number: column)
    }
    let behind = column - firstColumns
    if behind < secondColumns {
      return Column(
        b: secondB, bStride: secondColumns, out: secondOut, outStride: secondColumns,
        number: behind)
    }
    let width = columns - firstColumns - secondColumns
    return Column(
      b: thirdB, bStride: width, out: thirdOut, outStride: width, number: behind - secondColumns)
  }

  /// Activation `number`: those of a step follow one another.
  @inline(__always) package static func activation(_ number: UInt32) -> UInt32 {
    Buffer.left + 2048 * number
  }
}
