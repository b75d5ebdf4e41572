import _Volatile

extension PatchesCommand {
  /// Goes through the patches of a tile of the output, row by row of patches. First it requests the rows of pixels
  /// that the tile's columns are in; then, with `isPlacing`, it makes elements of their bytes.
  @inline(never) func forEachRowOfPatches(
    _ tileRow: UInt32, columns: Range<UInt32>, slot: UInt32, isPlacing: Bool,
    _ reader: inout ElementReader
  ) {
    let firstRow = columns.lowerBound / sideBytes
    let rows = (columns.upperBound &- 1) / sideBytes &- firstRow &+ 1
    var patch = tileRow << 5
    let end = min(patch &+ 32, patches)
    var left = patch % across, rowOfPatches = patch / across
    var staged = MovingScratch.staging
    while patch < end {
      let count = min(across &- left, end &- patch)
      if isPlacing {
        for i in 0..<count {
          placePatch(
            from: staged &+ (left &+ i) &* sideBytes, firstRow, columns, row: (patch &+ i) & 31,
            slot)
        }
      } else {
        let page = rowOfPatches / down * height + rowOfPatches % down * side + firstRow
        for row in 0..<rows {
          reader.read(
            DRAMLocation(base: source, page: page &+ row, pageBytes: pageBytes), bytes: pageBytes,
            to: staged &+ row &* pageBytes)
        }
      }
      staged &+= rows &* pageBytes
      patch &+= count
      rowOfPatches &+= 1
      left = 0
    }
  }

  /// A row of the tile, of the patch whose row `firstRow` of pixels is at `from`.
  @inline(never) func placePatch(
    from: UInt32, _ firstRow: UInt32, _ columns: Range<UInt32>, row: UInt32, _ slot: UInt32
  ) {
    var column = columns.lowerBound
    var offset = column &- firstRow &* sideBytes, from = from
    while column < columns.upperBound {
      let count = min(
        columns.upperBound &- column, min(sideBytes &- offset, 16 &- column & 15))
      convertPixels(
        from: from &+ offset, to: slot &+ elementOffset(row, column & 31) &<< 1, count: count)
      column &+= count
      offset &+= count
      if offset == sideBytes {
        offset = 0
        from &+= pageBytes
      }
    }
  }
}

/// What each byte minus 128 is in bfloat16: an integer of at most eight bits is exact.
@inline(never) func makePixelTable() {
  let table = MovingScratch.pixels
  HalfWord[table &+ 256] = 0
  HalfWord[table] = 0xC300
  var size: UInt32 = 1, exponent: UInt32 = 127
  while size < 128 {
    for i in 0..<size {
      // size + i = 2^(exponent - 127) (1 + i / size)
      let bits = exponent << 7 | i * (128 / size)
      HalfWord[table &+ 256 &+ (size &+ i) << 1] = bits
      HalfWord[table &+ 256 &- (size &+ i) << 1] = bits | 0x8000
    }
    size <<= 1
    exponent &+= 1
  }
}

/// Elements of `count` bytes. A store costs five cycles, so words are stored wherever they can be.
@inline(never) func convertPixels(from: UInt32, to: UInt32, count: UInt32) {
  let table = MovingScratch.pixels
  var from = from, to = to
  let end = from &+ count
  if to & 2 != 0 {
    HalfWord[to] = HalfWord[table &+ pixel(from) &<< 1]
    from &+= 1
    to &+= 2
  }
  // Loads are in flight while others are asked for.
  while from &+ 4 <= end {
    let a = pixel(from), b = pixel(from &+ 1), c = pixel(from &+ 2), d = pixel(from &+ 3)
    let p = HalfWord[table &+ a &<< 1], q = HalfWord[table &+ b &<< 1]
    let r = HalfWord[table &+ c &<< 1], s = HalfWord[table &+ d &<< 1]
    Memory[to] = p | q &<< 16
    Memory[to &+ 4] = r | s &<< 16
    from &+= 4
    to &+= 8
  }
  while from < end {
    HalfWord[to] = HalfWord[table &+ pixel(from) &<< 1]
    from &+= 1
    to &+= 2
  }
}

@inline(__always) func pixel(_ address: UInt32) -> UInt32 {
  UInt32(VolatileMappedRegister<UInt8>(unsafeBitPattern: UInt(address)).load())
}

func readPatches(_ command: PatchesCommand) {
  var reader = ElementReader(base: command.source, stride: 0, shift: 0)
  var slots = OutputSlots()
  makePixelTable()

  let across = (command.columns + 31) >> 5, tiles = (command.patches + 31) >> 5 * across
  var tile = Memory[Control.tileIndex]
  while tile < tiles {
    let tileRow = tile / across, tileColumn = tile % across
    tile += Memory[Control.tileCount]
    let slot = slots.next(page: tileRow * command.outStride + tileColumn)
    let first = tileColumn << 5, end = min(first + 32, command.columns)
    command.forEachRowOfPatches(
      tileRow, columns: first..<end, slot: slot, isPlacing: false, &reader)
    // Beyond the matrix are zeros.
    if tileRow << 5 + 32 > command.patches || end < first + 32 {
      fillElements(0, to: slot, bytes: 2048)
    }
    reader.finish()
    command.forEachRowOfPatches(
      tileRow, columns: first..<end, slot: slot, isPlacing: true, &reader)
    slots.push()
  }
  slots.end()
}
