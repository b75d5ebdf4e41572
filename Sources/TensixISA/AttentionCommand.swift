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
  /// In how many parts the keys are taken: 1, or one for each column of the grid of tiles, whose tiles share its
  /// part's keys and values by multicast. A part gives sums that are not divided yet, and what is known of its
  /// rows; ``Operation/combine`` makes the result of them.
  package var parts: UInt32 = 1
  /// Tiles that combine a unit's columns.
  package var combiners: UInt32 = 1

  /// The part that this is, its first tile of keys, and how many; in the beginning, all.
  package private(set) var part: UInt32 = 0
  package private(set) var firstKey: UInt32 = 0
  package private(set) var keys: UInt32 = 0

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
    (parts, combiners) = (word(14) & 0xFFFF, word(14) >> 16)
    keys = allKeys
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    write(Operation.attention, store)
  }

  /// The same matrices for ``Operation/combine``.
  @inline(__always) package func writeCombine(_ store: (UInt32, UInt32) -> Void) {
    write(Operation.combine, store)
  }

  @inline(__always) private func write(
    _ operation: UInt32, _ store: (UInt32, UInt32) -> Void
  ) {
    store(0, operation)
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
    store(14, parts | combiners << 16)
    store(15, 0)
  }

  @inline(__always) package var allKeys: UInt32 { firstKeys + secondKeys }
  @inline(__always) package mutating func take(part: UInt32) {
    self.part = part
    firstKey = allKeys * part / parts
    keys = allKeys * (part + 1) / parts - firstKey
  }
  @inline(__always) package var units: UInt32 { batch * heads * rows }
  /// Columns of a head that a tile combines.
  @inline(__always) package var combinedColumns: UInt32 { headColumns / combiners }
  /// Where a tile that combines has column `number` of a part's result, and behind the last what is known of its
  /// rows: minus their maximum in the left half of a tile, the sum of their probabilities in the right.
  @inline(__always) package func partSlot(_ part: UInt32, _ number: UInt32) -> UInt32 {
    Buffer.probabilities(AttentionCommand.keysOfPart + part * (combinedColumns + 1) + number)
  }
  /// Tiles of keys that a part may have: the scratch behind them is for what comes from others.
  package static var keysOfPart: UInt32 { 16 }

  /// What a unit has in L1 of keys, values, query and mask, in tiles.
  @inline(__always) package var keyTiles: UInt32 { 2 * keys * headColumns }
  @inline(__always) package var unitTiles: UInt32 { headColumns + (mask == 0 ? 0 : keys) }
}
