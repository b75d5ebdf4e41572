/// The command that computes softmax(q k^T * scale + mask) v of few rows, by the whole grid of tiles; heads of q share
/// one head of keys, and all matrices are in bfloat16.
///
/// The keys stand in two segments, one after the other: a cache, say, and what follows it. They are taken in parts,
/// one for every two columns of the grid, whose tiles get the part's keys, values and masks by multicast. A unit of
/// work is 32 rows of a head. Each part has a tile for every unit, all of them in one row of the grid. These tell one
/// another what they have of the unit's result, and each combines some columns of it by the parts' maxima.
///
/// Where there are tables, q and the second segment's keys are turned as by ``RotateCommand`` first: a unit's query by
/// the tiles of its row of the grid, a part's keys by the tiles of the part.
package struct ThinAttentionCommand {
  package static var parts: UInt32 { 4 }
  /// Columns of the grid that a part has; as many units there are for each row of it, at most.
  package static var partColumns: UInt32 { TileGrid.columns / parts }
  /// Tiles of keys that a part may have.
  package static var maximumKeys: UInt32 { 12 }
  /// Tiles of keys, values and masks that a part may have.
  package static var sharedTiles: UInt32 { 256 }

  /// In tiles.
  package var rows: UInt32 = 0
  package var heads: UInt32 = 0
  package var headColumns: UInt32 = 0
  package var firstKeys: UInt32 = 0
  package var secondKeys: UInt32 = 0

  package var q: UInt32 = 0
  package var out: UInt32 = 0
  /// A row of keys and values is one head.
  package var firstK: UInt32 = 0
  package var firstV: UInt32 = 0
  package var secondK: UInt32 = 0
  package var secondV: UInt32 = 0
  /// The mask's transpose, `[keys, rows]` in tiles, or `[keys, 1]` for all rows; 0 stands for none. No command
  /// writes it.
  package var mask: UInt32 = 0
  /// Its columns, in tiles.
  package var maskRows: UInt32 = 0
  /// fp32 bits of scale / ln 2.
  package var scale: UInt32 = 0
  /// [rows, headColumns] in tiles, whose left and right halves are equal; 0 where nothing is to be turned.
  package var cosine: UInt32 = 0
  package var sine: UInt32 = 0

  package init() {}

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    (rows, heads) = (word(1) & 0xFFFF, word(1) >> 16)
    (headColumns, maskRows) = (word(2) & 0xFFFF, word(2) >> 16)
    (firstKeys, secondKeys) = (word(3) & 0xFFFF, word(3) >> 16)
    q = word(4)
    out = word(5)
    firstK = word(6)
    firstV = word(7)
    secondK = word(8)
    secondV = word(9)
    mask = word(10)
    scale = word(11)
    cosine = word(12)
    sine = word(13)
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    store(0, Operation.thinAttention)
    store(1, rows | heads << 16)
    store(2, headColumns | maskRows << 16)
    store(3, firstKeys | secondKeys << 16)
    store(4, q)
    store(5, out)
    store(6, firstK)
    store(7, firstV)
    store(8, secondK)
    store(9, secondV)
    store(10, mask)
    store(11, scale)
    store(12, cosine)
    store(13, sine)
    for word: UInt32 in 14..<16 { store(word, 0) }
  }

  // MARK: What follows from it

  @inline(__always) package var allKeys: UInt32 { firstKeys + secondKeys }
  @inline(__always) package var units: UInt32 { heads * rows }
  /// A row of tiles, of q and out.
  @inline(__always) package var stride: UInt32 { heads * headColumns }
  @inline(__always) package var isTurned: Bool { cosine != 0 }
  /// Columns of a head that a tile combines.
  @inline(__always) package var combinedColumns: UInt32 { headColumns / Self.parts }
  /// Pairs of a head's columns that are turned together: half a head apart.
  @inline(__always) package var pairs: UInt32 { headColumns / 2 }

  /// Tiles of a part's keys whose scores are in Dst together: all where that has room for them, or else sets of
  /// so many. The maximum of all is known when each set's scores have been there; then those of all sets but the last
  /// come again.
  @inline(__always) package static func setSize(of keys: UInt32) -> UInt32 { keys <= 7 ? keys : 4 }

  /// First key of a part, and where the last one ends.
  @inline(__always) package func firstKey(of part: UInt32) -> UInt32 {
    allKeys * part / Self.parts
  }

  // Tiles in the left buffer, which is no ring here.
  @inline(__always) private func place(_ number: UInt32) -> UInt32 { Buffer.left + 2048 * number }
  /// Of the units that a row of the grid has.
  @inline(__always) package func query(_ unit: UInt32, _ column: UInt32) -> UInt32 {
    place(unit * headColumns + column)
  }
  /// What is turned: both columns, then cosine and sine.
  @inline(__always) package func turned(_ turn: UInt32) -> UInt32 {
    place(Self.partColumns * headColumns + 4 * turn)
  }
  /// Keys of the part; values stand behind them, and then masks, `maskRows` to a key.
  @inline(__always) package func key(_ key: UInt32, _ column: UInt32) -> UInt32 {
    place(Buffer.leftDepth - Self.sharedTiles + key * headColumns + column)
  }

  /// Where a tile that combines has what it is sent by a part: minus the maximum of each row, the sum of its
  /// probabilities, then the columns.
  @inline(__always) package func partSlot(_ part: UInt32, _ number: UInt32) -> UInt32 {
    Buffer.probabilities(Self.maximumKeys + part * (2 + combinedColumns) + number)
  }
}
