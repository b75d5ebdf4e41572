// Math thread: attention. Scores of four tiles of keys are in Dst at a time; what is known of the rows stays
// in tiles 6 and 7. Scores come twice: first for the maximum of each row, then for the probabilities
// 2^((score - maximum) scale / ln 2); those of four tiles or less stay. They are not divided by their sum; the result is.

private enum Place {
  /// Sums of probabilities, later 1 / sum.
  static var sum: UInt32 { 6 }
  /// Running maximum, later -maximum * scale / ln 2.
  static var maximum: UInt32 { 7 }
}

func attend(_ command: AttentionCommand) {
  programLoop(Replay.product, phases: 3, release: 1)
  command.forEachUnit { _ in
    takeDst()
    Thread.push(Tensix.zeroaccHalf(1))
    setProductModes(transposed: true)
    forEachChunk(command) { first, count in
      score(command, count)
      raiseMaximum(count, isFirst: first == 0)
    }
    finishMaximum(command)
    forEachChunk(command) { first, count in
      if first != 0 { takeDst() }
      if command.keys > 4 { score(command, count) }
      exponentiate(command, count)
      finish()
    }
    setProductModes()
    var column: UInt32 = 0
    while column < command.headColumns {
      let count = min(4, command.headColumns - column)
      takeDst()
      weigh(command, count, sums: column == 0)
      if command.parts == 1 { divide(count, isFirst: column == 0) }
      finish()
      column += count
    }
    if command.parts != 1 {
      takeDst()
      keepState()
      finish()
    }
  }
}

/// The maximum to the left half of the tile of sums.
@inline(never) func keepState() {
  beginVector()
  selectDst(0)
  for strip: UInt32 in 0..<8 {
    Thread.push(VectorUnit.load(0, row: vectorRow(Place.maximum, strip, 0)))
    Thread.push(VectorUnit.store(0, row: vectorRow(Place.sum, strip, 0)))
    Thread.push(VectorUnit.store(0, row: vectorRow(Place.sum, strip, 1)))
    Thread.drain()
  }
  endVector()
}

@inline(__always) func forEachChunk(
  _ command: AttentionCommand, _ body: (_ first: UInt32, _ count: UInt32) -> Void
) {
  var key: UInt32 = 0
  while key < command.keys {
    let count = min(4, command.keys - key)
    body(key, count)
    key += count
  }
}

/// SrcB stays for `count` products into neighbouring tiles of Dst, which release SrcA.
@inline(__always) func multiplyKept(_ count: UInt32) {
  for tile in 0..<count {
    selectDst(tile)
    Thread.push(Tensix.mop())
  }
  Thread.push(Tensix.setrwcZero(release: 2))
  Thread.drain()
}

/// q k^T + mask of `count` tiles of keys.
@inline(never) func score(_ command: AttentionCommand, _ count: UInt32) {
  Thread.push(Tensix.zeroaccHalf(0))
  for _ in 0..<command.headColumns + (command.mask != 0 ? 1 : 0) { multiplyKept(count) }
}

@inline(never) func raiseMaximum(_ count: UInt32, isFirst: Bool) {
  beginVector()
  selectDst(0)
  for strip: UInt32 in 0..<8 {
    let place = vectorRow(Place.maximum, strip, 0)
    Thread.push(VectorUnit.load(0, row: isFirst ? vectorRow(0, strip, 0) : place))
    for tile in 0..<count {
      for v: UInt32 in 0..<4 {
        Thread.push(VectorUnit.load(1, row: vectorRow(tile, strip, v)))
        vector(VectorUnit.sort(larger: 0, smaller: 1))
      }
    }
    Thread.push(VectorUnit.store(0, row: place))
    Thread.drain()
  }
  endVector(transposed: true)
}

@inline(never) func finishMaximum(_ command: AttentionCommand) {
  beginVector()
  selectDst(0)
  setVectorRegister(7, command.scale ^ 0x8000_0000)
  for strip: UInt32 in 0..<8 {
    let place = vectorRow(Place.maximum, strip, 0)
    Thread.push(VectorUnit.load(0, row: place))
    combineRow { vector(VectorUnit.sort(larger: 0, smaller: 1)) }
    vector(VectorUnit.multiply(0, 0, 7))
    if command.parts != 1 {
      // Others get it in bfloat16; any number near the maximum will do, if all use the same.
      Thread.push(VectorUnit.shiftRight(0, 16))
      Thread.push(VectorUnit.shiftLeft(0, 16))
    }
    Thread.push(VectorUnit.store(0, row: place))
    Thread.drain()
  }
  endVector(transposed: true)
}

/// 2^t with t = score * scale - maximum * scale, of two vectors at a time, to a ten-thousandth.
@inline(never) func exponentiate(_ command: AttentionCommand, _ count: UInt32) {
  beginVector()
  selectDst(0)
  setVectorConstant(11, 0xBF80_0000)  // -1
  setVectorConstant(12, command.scale)
  setVectorConstant(13, 0x4B40_0000)  // 1.5 * 2^23
  setVectorConstant(14, 0xC2FC_0000)  // -126
  setVectorRegister(6, 0x3F31_7AFE)
  for strip: UInt32 in 0..<8 {
    Thread.push(VectorUnit.load(7, row: vectorRow(Place.maximum, strip, 0)))
    for tile in 0..<count {
      for v in stride(from: UInt32(0), to: 4, by: 2) {
        let row = vectorRow(tile, strip, v)
        both { x, _, _ in VectorUnit.load(x, row: x == 0 ? row : row + 2) }
        both { x, _, _ in VectorUnit.mad(x, x, 12, 7) }
        both { x, _, _ in VectorUnit.raise(x, to: 14) }
        Thread.push(VectorUnit.nop)
        both { x, t, _ in VectorUnit.add(t, x, 13) }
        both { _, t, p in VectorUnit.mad(p, t, 11, 13) }  // minus the integer part
        both { x, _, p in VectorUnit.add(x, p, x) }  // f, in -0.5 ... 0.5
        both { _, _, p in VectorUnit.loadShort(p, 0x3D61_0000) }
        both { x, _, p in VectorUnit.multiply(p, x, p) }
        both { _, _, p in VectorUnit.addShort(p, 0x3E78_0000) }
        both { x, _, p in VectorUnit.mad(p, p, x, 6) }
        both { x, _, p in VectorUnit.mad(p, p, x, VectorUnit.one) }
        both { _, t, _ in VectorUnit.shiftLeft(t, 23) }
        both { _, t, p in VectorUnit.integerAdd(p, t) }
        both { x, _, p in VectorUnit.store(p, row: x == 0 ? row : row + 2) }
      }
      Thread.drain()
    }
  }
  endVector(transposed: true)
}

/// p v of `count` columns, over all keys, and p's sums before the first of them.
@inline(never) func weigh(_ command: AttentionCommand, _ count: UInt32, sums: Bool) {
  Thread.push(Tensix.zeroaccHalf(0))
  for _ in 0..<command.keys {
    if sums {
      selectDst(Place.sum)
      Thread.push(Tensix.mop())
    }
    multiplyKept(count)
  }
}

@inline(never) func divide(_ count: UInt32, isFirst: Bool) {
  beginVector()
  selectDst(0)
  setVectorRegister(7, 0x7EF3_11C7)
  for strip: UInt32 in 0..<8 {
    let place = vectorRow(Place.sum, strip, 0)
    Thread.push(VectorUnit.load(0, row: place))
    if isFirst {
      reciprocal(guess: 7)
      Thread.push(VectorUnit.store(0, row: place))
    }
    for tile in 0..<count {
      for v: UInt32 in 0..<4 {
        let row = vectorRow(tile, strip, v)
        Thread.push(VectorUnit.load(3, row: row))
        vector(VectorUnit.multiply(3, 3, 0))
        Thread.push(VectorUnit.store(3, row: row))
      }
      Thread.drain()
    }
  }
  endVector()
}

// MARK: - Parts

/// Tiles of Dst: a part's state and columns come to the lower half.
private enum Parts {
  /// Sums over the parts; columns are behind one another.
  static var columns: UInt32 { 4 }
  static var sum: UInt32 { 6 }
  /// Minus the largest of the maxima.
  static var least: UInt32 { 7 }
}

/// Parts are added with the weights 2^(own maximum - largest maximum), and divided by the sum.
func combineParts(_ command: AttentionCommand) {
  command.withCombined { _, _ in
    setProductModes()
    programLoop(Replay.product, phases: 3, release: 2)
    takeDst()
    for part in 0..<command.parts {
      take(1)
      findLeast(isFirst: part == 0)
    }
    for part in 0..<command.parts {
      take(1 + command.combinedColumns)
      addPart(command.combinedColumns, isFirst: part == 0)
    }
    divideParts(command.combinedColumns)
    finish()
  }
}

@inline(never) func findLeast(isFirst: Bool) {
  beginVector()
  selectDst(0)
  for strip: UInt32 in 0..<8 {
    let place = vectorRow(Parts.least, strip, 0)
    Thread.push(VectorUnit.load(0, row: vectorRow(0, strip, 0)))
    if !isFirst {
      Thread.push(VectorUnit.load(1, row: place))
      vector(VectorUnit.sort(larger: 1, smaller: 0))
    }
    Thread.push(VectorUnit.store(0, row: place))
    Thread.drain()
  }
  endVector()
}

/// The first part's sums are stored, not added: a row that was zeroed is read again only when all of it is
/// written.
@inline(never) func addPart(_ columns: UInt32, isFirst: Bool) {
  @inline(__always) func add(_ place: UInt32) {
    if isFirst {
      vector(VectorUnit.multiply(3, 0, 2))
    } else {
      Thread.push(VectorUnit.load(3, row: place))
      vector(VectorUnit.mad(3, 0, 2, 3))
    }
    Thread.push(VectorUnit.store(3, row: place))
  }
  beginVector()
  selectDst(0)
  setVectorConstant(11, 0xBF80_0000)  // -1
  setVectorConstant(13, 0x4B40_0000)  // 1.5 * 2^23
  setVectorConstant(14, 0xC2FC_0000)  // -126
  setVectorRegister(6, 0x3F31_7AFE)
  for strip: UInt32 in 0..<8 {
    Thread.push(VectorUnit.load(0, row: vectorRow(0, strip, 0)))
    Thread.push(VectorUnit.load(3, row: vectorRow(Parts.least, strip, 0)))
    Thread.push(VectorUnit.negate(0, 0))
    vector(VectorUnit.add(0, 0, 3))
    // L2 = 2^L0, as above.
    vector(VectorUnit.raise(0, to: 14))
    vector(VectorUnit.add(1, 0, 13))
    vector(VectorUnit.mad(2, 1, 11, 13))
    vector(VectorUnit.add(0, 2, 0))
    Thread.push(VectorUnit.loadShort(2, 0x3D61_0000))
    vector(VectorUnit.multiply(2, 0, 2))
    vector(VectorUnit.addShort(2, 0x3E78_0000))
    vector(VectorUnit.mad(2, 2, 0, 6))
    vector(VectorUnit.mad(2, 2, 0, VectorUnit.one))
    Thread.push(VectorUnit.shiftLeft(1, 23))
    Thread.push(VectorUnit.integerAdd(2, 1))
    Thread.push(VectorUnit.load(0, row: vectorRow(0, strip, 2)))
    add(vectorRow(Parts.sum, strip, 0))
    for column in 0..<columns {
      for v: UInt32 in 0..<4 {
        Thread.push(VectorUnit.load(0, row: vectorRow(1 + column, strip, v)))
        add(vectorRow(Parts.columns + column, strip, v))
      }
    }
    Thread.drain()
  }
  endVector()
}

/// To the lower half.
@inline(never) func divideParts(_ columns: UInt32) {
  beginVector()
  selectDst(0)
  setVectorRegister(7, 0x7EF3_11C7)
  for strip: UInt32 in 0..<8 {
    Thread.push(VectorUnit.load(0, row: vectorRow(Parts.sum, strip, 0)))
    reciprocal(guess: 7)
    for column in 0..<columns {
      for v: UInt32 in 0..<4 {
        Thread.push(VectorUnit.load(3, row: vectorRow(Parts.columns + column, strip, v)))
        vector(VectorUnit.multiply(3, 3, 0))
        Thread.push(VectorUnit.store(3, row: vectorRow(column, strip, v)))
      }
    }
    Thread.drain()
  }
  endVector()
}
