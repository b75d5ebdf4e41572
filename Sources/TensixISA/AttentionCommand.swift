/// The command that computes softmax(q k^T * scale + mask) v for many heads, all matrices in bfloat16.
///
/// A row of q and out is heads side by side, a row of k and v the heads that they share. The keys stand in two
/// segments, one after the other: a cache, say, and what follows it. A unit of work is 32 rows of a head; of all
/// its keys it has the scores' probabilities in L1, a row of tiles.
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
  /// Tiles, one below the other or all of the grid, that share keys and values by multicast, and of how many groups of
  /// heads these are; 0 where each tile brings its own.
  package var sharers: UInt32 = 0
  package var sharedGroups: UInt32 = 0

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
    (sharers, sharedGroups) = (word(14) & 0xFFFF, word(14) >> 16)
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
    store(14, sharers | sharedGroups << 16)
    store(15, 0)
  }

  @inline(__always) package var keys: UInt32 { firstKeys + secondKeys }
  @inline(__always) package var units: UInt32 { batch * heads * rows }
  /// Tiles of keys and values of a group of heads, of a query's mask.
  @inline(__always) package var keyTiles: UInt32 { 2 * keys * headColumns }
  @inline(__always) package var maskTiles: UInt32 { mask == 0 ? 0 : keys }
  /// Groups of heads that share keys and values.
  @inline(__always) package var groups: UInt32 { batch * heads / groupHeads }

  /// Tiles of a mask that have places in L1.
  package static var maximumMasks: UInt32 { Buffer.rightDepth * Buffer.rightSlotBytes / 2048 }
  /// Of how many groups keys and values have places in L1: of all that are shared, or of two where there is room
  /// beside two queries.
  @inline(__always) package var keyPlaces: UInt32 {
    sharers != 0
      ? sharedGroups
      : 2 * keyTiles + 2 * headColumns <= Buffer.leftDepth ? 2 : 1
  }
  /// Of how many queries.
  @inline(__always) package var queryPlaces: UInt32 {
    keyPlaces * keyTiles + 4 * headColumns <= Buffer.leftDepth ? 4 : 2
  }
  /// Whether one mask is for all units.
  @inline(__always) package var sharesMask: Bool { mask == 0 || maskRows == 1 }
  /// Whether a unit's scores may begin before the unit before it has ended: what both need is in L1 at a time, and
  /// probabilities of both have room.
  @inline(__always) package var overlapsUnits: Bool {
    2 * keys <= Buffer.probabilityCount && sharesMask
      && (sharers != 0 || groups == 1 || keyPlaces == 2)
  }

  // Tiles in the left buffer, which is no ring here.
  @inline(__always) package func keySlot(
    _ place: UInt32, _ key: UInt32, _ column: UInt32
  ) -> UInt32 {
    Buffer.left + 2048 * (place * keyTiles + key * headColumns + column)
  }
  @inline(__always) package func valueSlot(
    _ place: UInt32, _ key: UInt32, _ column: UInt32
  ) -> UInt32 {
    keySlot(place, keys + key, column)
  }
  /// In the right buffer.
  @inline(__always) package func maskSlot(_ key: UInt32) -> UInt32 { Buffer.right + 2048 * key }
  /// Queries of neighbouring units have places of their own.
  @inline(__always) package func querySlot(_ unit: UInt32, _ column: UInt32) -> UInt32 {
    keySlot(keyPlaces, 0, unit % queryPlaces * headColumns + column)
  }
  /// Where the probabilities of one of a tile's units are.
  @inline(__always) package func probabilitySlot(_ unit: UInt32, _ key: UInt32) -> UInt32 {
    Buffer.probabilities((overlapsUnits ? (unit & 1) * keys : 0) + key)
  }
}
