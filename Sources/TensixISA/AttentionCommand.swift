/// The command that computes softmax(q k^T * scale + mask) v for many heads, all matrices in bfloat16.
///
/// A row of q and out is heads side by side, a row of k and v the heads that they share. The keys stand in two
/// segments, one after the other: a cache, say, and what follows it. A unit of work is 32 rows of a head; of all
/// its keys it has the scores' probabilities in L1, a row of tiles, and never more.
package struct AttentionCommand {
  /// In tiles; of one element of the batch.
  package var rows: UInt32 = 0
  package var batch: UInt32 = 0
  package var heads: UInt32 = 0
  /// Heads that share keys and values.
  package var groupHeads: UInt32 = 0
  package var headColumns: UInt32 = 0
  /// Keys of both segments, in tiles, of one element of the batch.
  package var firstKeys: UInt32 = 0
  package var secondKeys: UInt32 = 0

  package var q: UInt32 = 0
  package var out: UInt32 = 0
  /// Length of a row in tiles, of q and out.
  package var stride: UInt32 = 0
  package var firstK: UInt32 = 0
  package var firstV: UInt32 = 0
  package var secondK: UInt32 = 0
  package var secondV: UInt32 = 0
  /// Length of a row in tiles, of k and v.
  package var keyStride: UInt32 = 0
  /// The mask's transpose, `[keys, rows]` in tiles, or `[keys, 1]` for all rows; 0 stands for none.
  package var mask: UInt32 = 0
  /// 1 where it is for all rows.
  package var maskRows: UInt32 = 0
  /// fp32 bits of scale / ln 2.
  package var scale: UInt32 = 0
  /// All units have the same keys and values, and the whole grid takes part: the tiles of each column of it share them by
  /// multicast.
  package var sharesKeys = false

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    (rows, batch) = (word(1) & 0xFFFF, word(1) >> 16)
    (heads, groupHeads) = (word(2) & 0xFFFF, word(2) >> 16)
    (headColumns, maskRows) = (word(3) & 0xFFFF, word(3) >> 16)
    (firstKeys, secondKeys) = (word(4) & 0xFFFF, word(4) >> 16)
    (stride, keyStride) = (word(5) & 0xFFFF, word(5) >> 16)
    q = word(6)
    out = word(7)
    firstK = word(8)
    firstV = word(9)
    secondK = word(10)
    secondV = word(11)
    mask = word(12)
    scale = word(13)
    sharesKeys = word(14) != 0
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    store(0, Operation.attention)
    store(1, rows | batch << 16)
    store(2, heads | groupHeads << 16)
    store(3, headColumns | maskRows << 16)
    store(4, firstKeys | secondKeys << 16)
    store(5, stride | keyStride << 16)
    store(6, q)
    store(7, out)
    store(8, firstK)
    store(9, firstV)
    store(10, secondK)
    store(11, secondV)
    store(12, mask)
    store(13, scale)
    store(14, sharesKeys ? 1 : 0)
    store(15, 0)
  }

  @inline(__always) package var keys: UInt32 { firstKeys + secondKeys }
  @inline(__always) package var units: UInt32 { batch * heads * rows }
  /// What a unit has in L1 of keys, values, query and mask, in tiles.
  @inline(__always) package var keyTiles: UInt32 { 2 * keys * headColumns }
  @inline(__always) package var unitTiles: UInt32 { headColumns + (mask == 0 ? 0 : keys) }
}
