/// A command over matrices of tiles, row-major: `stride` is a row's length in tiles, so a block of
/// columns of a wider matrix is an address and a stride.
package struct MatrixCommand {
  package var operation: UInt32 = 0
  /// Codes of ``DataFormat``.
  package var aFormat: UInt32 = 0
  package var bFormat: UInt32 = 0
  package var outFormat: UInt32 = 0
  /// Fidelity phases of the matrix unit, 1 to 4.
  package var phases: UInt32 = 0
  /// Of ``ActivationCode``.
  package var activation: UInt32 = 0
  /// b depends on no command of any list: it may be read before this one is released.
  package var bIsConstant: Bool = false
  /// ``Operation/binary``: multiply instead of add.
  package var multiplies: Bool = false
  /// ``Operation/binary``: of ``BroadcastCode``.
  package var broadcast: UInt32 = 0

  /// Output tiles down and across.
  package var rows: UInt32 = 0
  package var columns: UInt32 = 0
  /// Tiles summed over: a's columns, or the planes of `reduce`.
  package var inner: UInt32 = 0
  /// Of `inner`, how many a unit of work sums; a plane of output results from each chunk.
  package var chunk: UInt32 = 0
  /// Output tiles down and across that are one unit of work.
  package var blockRows: UInt32 = 0
  package var blockColumns: UInt32 = 0

  // DRAM addresses; of factor, bias and residual, 0 stands for none.

  /// 0 for the planes of `reduce` in the tile's own L1, each output tile's one after the other.
  package var a: UInt32 = 0
  package var aStride: UInt32 = 0
  package var b: UInt32 = 0
  package var bStride: UInt32 = 0
  /// Of `reduce`, what the sum is multiplied by before bias and residual are added: as bias, or 0.
  package var factor: UInt32 = 0
  /// Row 0 of a bfloat16 matrix of one row of tiles.
  package var bias: UInt32 = 0
  /// A bfloat16 matrix of `rows` x `columns` tiles.
  package var residual: UInt32 = 0
  /// 0 for planes of `linear` that go to the L1 of the tile whose share of `reduce` they are.
  package var out: UInt32 = 0
  package var outStride: UInt32 = 0
  /// Where the first output tile stands.
  package var outRow: UInt32 = 0
  package var outColumn: UInt32 = 0
  /// fp32 bits of a factor on the result of `reduce`, before bias, or on `b` of a `binary` that is
  /// exact.
  package var scale: UInt32 = 0x3F80_0000
  /// ``Operation/reduce``, a tile of the card has one output tile at most: the command behind this one normalises it, which
  /// finds it in L1 and writes it to DRAM.
  package var isNormalized: Bool = false

  /// ``Operation/binary`` in full fp32, on the vector unit.
  @inline(__always) package var isExact: Bool {
    aFormat == DataFormat.float32 && bFormat == DataFormat.float32
      && broadcast == BroadcastCode.none
  }

  /// Rows that all rows of the result are combined with.
  @inline(__always) package var rowCount: UInt32 { (factor != 0 ? 1 : 0) + (bias != 0 ? 1 : 0) }

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    let first = word(0)
    operation = first & 0xFF
    aFormat = first >> 8 & 0xF
    bFormat = first >> 12 & 0xF
    outFormat = first >> 16 & 0xF
    phases = first >> 20 & 0xF
    activation = first >> 24 & 0x7
    bIsConstant = first >> 28 & 1 == 1
    multiplies = first >> 29 & 1 == 1
    broadcast = first >> 30
    (rows, columns) = Self.halves(word(1))
    (inner, chunk) = Self.halves(word(2))
    (blockRows, blockColumns) = Self.halves(word(3))
    a = word(4)
    b = word(5)
    (aStride, bStride) = Self.halves(word(6))
    bias = word(7)
    residual = word(8)
    out = word(9)
    outStride = word(10)
    (outRow, outColumn) = Self.halves(word(11))
    scale = word(12)
    isNormalized = word(13) & 1 == 1
    factor = word(14)
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    let formats = aFormat << 8 | bFormat << 12 | outFormat << 16
    let flags = (bIsConstant ? 1 : 0) << 28 | (multiplies ? 1 : 0) << 29 as UInt32
    store(0, operation | formats | phases << 20 | activation << 24 | flags | broadcast << 30)
    store(1, rows | columns << 16)
    store(2, inner | chunk << 16)
    store(3, blockRows | blockColumns << 16)
    store(4, a)
    store(5, b)
    store(6, aStride | bStride << 16)
    store(7, bias)
    store(8, residual)
    store(9, out)
    store(10, outStride)
    store(11, outRow | outColumn << 16)
    store(12, scale)
    store(13, isNormalized ? 1 : 0)
    store(14, factor)
    store(15, 0)
  }

  @inline(__always) private static func halves(_ word: UInt32) -> (UInt32, UInt32) {
    (word & 0xFFFF, word >> 16)
  }
}
