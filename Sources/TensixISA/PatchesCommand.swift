/// The command that cuts pictures of bytes into patches, a row of bfloat16 each:
///
///     out[patch, (y side + x) 3 + channel] = byte - 128
///
/// where patches are counted picture by picture, in reading order. A page of the source is a row of pixels.
package struct PatchesCommand {
  // DRAM addresses.
  package var source: UInt32 = 0
  package var out: UInt32 = 0
  /// Length of a row of the output in tiles.
  package var outStride: UInt32 = 0

  /// Bytes of a row of pixels, rounded up to a multiple of 32.
  package var pageBytes: UInt32 = 0
  /// Rows of pixels, and of patches, in a picture.
  package var height: UInt32 = 0
  package var down: UInt32 = 0
  /// Bytes of a row of a patch.
  package var sideBytes: UInt32 = 0
  /// Rows of a patch.
  package var side: UInt32 = 0
  /// Patches in a row of patches, and in all.
  package var across: UInt32 = 0
  package var patches: UInt32 = 0

  package init() {}

  /// Elements of a patch.
  @inline(__always) package var columns: UInt32 { side * sideBytes }

  /// The layout, word by word; ``write(_:)`` is its mirror.
  @inline(__always) package init(reading word: (UInt32) -> UInt32) {
    source = word(1)
    out = word(2)
    outStride = word(3)
    pageBytes = word(4)
    (height, down) = (word(5) & 0xFFFF, word(5) >> 16)
    sideBytes = word(6)
    side = word(7)
    across = word(8)
    patches = word(9)
  }

  @inline(__always) package func write(_ store: (UInt32, UInt32) -> Void) {
    store(0, Operation.patches)
    store(1, source)
    store(2, out)
    store(3, outStride)
    store(4, pageBytes)
    store(5, height | down << 16)
    store(6, sideBytes)
    store(7, side)
    store(8, across)
    store(9, patches)
    for word: UInt32 in 10..<16 { store(word, 0) }
  }
}
