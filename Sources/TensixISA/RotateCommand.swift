/// The command that turns heads by the angles of their rows' positions:
///
///     out = x * cosine + (x r) * sine
///
/// where a row of x is heads side by side, r is one head's constant [width, width] of 0, 1 and -1 that brings
/// the other half's value in place, and cosine and sine are [rows, width].
package struct RotateCommand {
  /// Of x, cosine and sine, a code of ``DataFormat``: `bfloat16` or `float32`.
  package var format: UInt32 = 0
  package var outFormat: UInt32 = 0
  /// In tiles.
  package var rows: UInt32 = 0
  package var heads: UInt32 = 0
  package var headColumns: UInt32 = 0
  /// Of the tables: x has them again and again.
  package var tableRows: UInt32 = 0
  /// How many columns further, modulo a head's, the one tile of x stands whose r is not zero; 0 if several are.
  package var partner: UInt32 = 0
  /// Tiles of a head that a tile of the card computes together: one, or two that are each other's partners.
  package var outputs: UInt32 = 1
  /// Such groups in a head; their tiles are so many columns apart.
  package var places: UInt32 = 0

  package var a: UInt32 = 0
  package var aStride: UInt32 = 0
  package var out: UInt32 = 0
  package var outStride: UInt32 = 0
  package var cosine: UInt32 = 0
  package var sine: UInt32 = 0
  /// bfloat16.
  package var r: UInt32 = 0

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    let first = word(0)
    format = first >> 8 & 0xF
    outFormat = first >> 16 & 0xF
    (rows, tableRows) = (word(1) & 0xFFFF, word(1) >> 16)
    (heads, headColumns) = (word(2) & 0xFFFF, word(2) >> 16)
    (partner, outputs, places) = (word(3) & 0xFF, word(3) >> 8 & 0xFF, word(3) >> 16)
    a = word(4)
    out = word(5)
    (aStride, outStride) = (word(6) & 0xFFFF, word(6) >> 16)
    cosine = word(7)
    sine = word(8)
    r = word(9)
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    store(0, Operation.rotate | format << 8 | outFormat << 16)
    store(1, rows | tableRows << 16)
    store(2, heads | headColumns << 16)
    store(3, partner | outputs << 8 | places << 16)
    store(4, a)
    store(5, out)
    store(6, aStride | outStride << 16)
    store(7, cosine)
    store(8, sine)
    store(9, r)
    for word: UInt32 in 10..<16 { store(word, 0) }
  }

  /// Heads whose tiles are brought together, at most.
  package static var headsAtOnce: UInt32 { 8 }

  /// How many tiles of x are multiplied with r for a tile of the result.
  @inline(__always) package var terms: UInt32 { partner == 0 ? headColumns : 1 }
  /// Which tile of the head the term is.
  @inline(__always) package func source(_ term: UInt32, for column: UInt32) -> UInt32 {
    partner == 0 ? term : (column + partner) % headColumns
  }

  /// Tiles of x that a head needs there: the outputs' own, then the terms, if these are others.
  @inline(__always) package var inputs: UInt32 { 1 + terms }
  /// Which of these is an output's own, for 0, or its term, counted from 1. Of two outputs, either is the other's.
  @inline(__always) package static func input(_ number: UInt32, for output: UInt32) -> UInt32 {
    number ^ output
  }
  /// Tiles that all heads share there: for each output tiles of r, cosine and sine.
  @inline(__always) package var shared: UInt32 { outputs * (terms + 2) }
}
