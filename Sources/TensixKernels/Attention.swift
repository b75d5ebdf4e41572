// Math thread: attention. Scores of four tiles of keys are in Dst at a time; what is known of the rows stays
// in tiles 6 and 7. Scores come twice: first for the maximum of each row, then for the probabilities
// 2^((score - maximum) scale / ln 2); those of four tiles or less stay. They are not divided by their sum; the result is.

private enum Place {
  /// Sums of probabilities, later 1 / sum.
  static var sum: UInt32 { 6 }
  /// Running maximum, later -maximum * scale / ln 2.
  static var maximum: UInt32 { 7 }
}

/// What is done to a strip of a tile of scores, and of the tile of maxima.
struct AttentionRoutines {
  let raise: Routine
  let settle: Routine
  let exponentiate: Routine

  @inline(never) init() {
    raise = Routine { push in
      for v: UInt32 in 0..<4 {
        push(VectorUnit.load(1, row: vectorRow(0, 0, v)))
        vector(push, VectorUnit.sort(larger: 0, smaller: 1))
      }
    }
    settle = Routine(after: raise) { push in
      push(VectorUnit.load(0))
      settleMaximum(push, to: 0)
    }
    exponentiate = Routine(after: settle) { push in
      for v in stride(from: UInt32(0), to: 4, by: 2) {
        power(push, row: vectorRow(0, 0, v), second: vectorRow(0, 0, v + 1))
      }
    }
  }
}

/// Of all lanes, times -scale, in bfloat16: any number near the maximum will do, if all use the same. It goes to a strip of
/// the tile `tile` tiles behind, where the smaller one stays unless it is the first.
@inline(never)
func settleMaximum(_ push: (UInt32) -> Void, to tile: UInt32, isFirst: Bool = true) {
  combineRow(push) { vector(push, VectorUnit.sort(larger: 0, smaller: 1)) }
  vector(push, VectorUnit.multiply(0, 0, 7))
  push(VectorUnit.shiftRight(0, 16))
  push(VectorUnit.shiftLeft(0, 16))
  if !isFirst {
    push(VectorUnit.load(1, row: vectorRow(tile, 0, 0)))
    vector(push, VectorUnit.sort(larger: 1, smaller: 0))
  }
  push(VectorUnit.store(0, row: vectorRow(tile, 0, 0)))
  push(VectorUnit.store(0, row: vectorRow(tile, 0, 1)))
}

/// What is done to a strip of the result.
private func divideRoutine(after other: AttentionRoutines) -> Routine {
  Routine(after: other.exponentiate) { push in
    for v: UInt32 in 0..<4 {
      push(VectorUnit.load(3, row: vectorRow(0, 0, v)))
      vector(push, VectorUnit.multiply(3, 3, 0))
      push(VectorUnit.store(3, row: vectorRow(0, 0, v)))
    }
  }
}

/// Instructions mean rows of this strip of a tile.
@inline(__always) private func selectStrip(_ tile: UInt32, _ strip: UInt32) {
  Thread.push(Tensix.setc16(1, vectorRow(tile, strip, 0)))
}

func attend(_ command: AttentionCommand) {
  let routines = AttentionRoutines(), divide = divideRoutine(after: routines)
  programLoop(Replay.product, phases: 3, release: 1)
  let terms = command.headColumns + (command.mask != 0 ? 1 : 0)
  command.forEachUnit { _ in
    takeDst()
    Thread.push(Tensix.zeroaccHalf(1))
    setProductModes(transposed: true)
    forEachChunk(command) { first, count in
      score(terms, count)
      raiseMaximum(count, isFirst: first == 0, routines)
    }
    finishMaximum(command.scale, routines)
    forEachChunk(command) { first, count in
      if first != 0 { takeDst() }
      if command.keys > 4 { score(terms, count) }
      exponentiate(command.scale, count, routines)
      finish()
    }
    setProductModes()
    var column: UInt32 = 0
    while column < command.headColumns {
      let count = min(4, command.headColumns - column)
      takeDst()
      weigh(command, count, sums: column == 0)
      finishColumns(count, isFirst: column == 0, divide)
      finish()
      column += count
    }
  }
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
@inline(never) func multiplyKept(_ count: UInt32, from first: UInt32 = 0) {
  for tile in first..<first + count {
    selectDst(tile)
    Thread.push(Tensix.mop())
  }
  Thread.push(Tensix.setrwcZero(release: 2))
  Thread.drain()
}

/// q k^T + mask of `count` tiles of keys, a term for each column and one for the mask.
@inline(never) private func score(_ terms: UInt32, _ count: UInt32) {
  Thread.push(Tensix.zeroaccHalf(0))
  for _ in 0..<terms { multiplyKept(count) }
}

@inline(never)
private func raiseMaximum(_ count: UInt32, isFirst: Bool, _ routines: AttentionRoutines) {
  beginVector()
  for strip: UInt32 in 0..<8 {
    selectStrip(isFirst ? 0 : Place.maximum, strip)
    Thread.push(VectorUnit.load(0))
    for tile in 0..<count {
      selectStrip(tile, strip)
      routines.raise()
    }
    selectStrip(Place.maximum, strip)
    Thread.push(VectorUnit.store(0))
  }
  Thread.drain()
  endVector(transposed: true)
}

@inline(never) private func finishMaximum(_ scale: UInt32, _ routines: AttentionRoutines) {
  beginVector()
  setVectorRegister(7, scale ^ 0x8000_0000)
  for strip: UInt32 in 0..<8 {
    selectStrip(Place.maximum, strip)
    routines.settle()
  }
  Thread.drain()
  endVector(transposed: true)
}

/// 2^t with t = score * scale - maximum * scale.
@inline(never)
func exponentiate(
  _ scale: UInt32, from first: UInt32 = 0, _ count: UInt32, _ routines: AttentionRoutines
) {
  beginVector()
  setPowerConstants(scale: scale)
  for strip: UInt32 in 0..<8 {
    selectStrip(Place.maximum, strip)
    Thread.push(VectorUnit.load(7))
    for tile in first..<first + count {
      selectStrip(tile, strip)
      routines.exponentiate()
    }
  }
  Thread.drain()
  endVector(transposed: true)
}

func setPowerConstants(scale: UInt32) {
  setVectorConstant(11, 0xBF80_0000)  // -1
  setVectorConstant(12, scale)
  setVectorConstant(13, 0x4B40_0000)  // 1.5 * 2^23
  setVectorConstant(14, 0xC2FC_0000)  // -126
  setVectorRegister(6, 0x3F31_7AFE)
}

/// 2^(x scale + L7) of two vectors, to a ten-thousandth.
@inline(never) func power(_ push: (UInt32) -> Void, row: UInt32, second: UInt32) {
  both(push) { x, _, _ in VectorUnit.load(x, row: x == 0 ? row : second) }
  both(push) { x, _, _ in VectorUnit.mad(x, x, 12, 7) }
  both(push) { x, _, _ in VectorUnit.raise(x, to: 14) }
  push(VectorUnit.nop)
  both(push) { x, t, _ in VectorUnit.add(t, x, 13) }
  both(push) { _, t, p in VectorUnit.mad(p, t, 11, 13) }  // minus the integer part
  both(push) { x, _, p in VectorUnit.add(x, p, x) }  // f, in -0.5 ... 0.5
  both(push) { _, _, p in VectorUnit.loadShort(p, 0x3D61_0000) }
  both(push) { x, _, p in VectorUnit.multiply(p, x, p) }
  both(push) { _, _, p in VectorUnit.addShort(p, 0x3E78_0000) }
  both(push) { x, _, p in VectorUnit.mad(p, p, x, 6) }
  both(push) { x, _, p in VectorUnit.mad(p, p, x, VectorUnit.one) }
  both(push) { _, t, _ in VectorUnit.shiftLeft(t, 23) }
  both(push) { _, t, p in VectorUnit.integerAdd(p, t) }
  both(push) { x, _, p in VectorUnit.store(p, row: x == 0 ? row : second) }
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

@inline(never)
private func finishColumns(_ count: UInt32, isFirst: Bool, _ divide: Routine) {
  beginVector()
  selectDst(0)
  setVectorRegister(7, 0x7EF3_11C7)
  for strip: UInt32 in 0..<8 {
    selectStrip(Place.sum, strip)
    Thread.push(VectorUnit.load(0))
    if isFirst {
      reciprocal(guess: 7)
      Thread.push(VectorUnit.store(0))
    }
    for tile in 0..<count {
      selectStrip(tile, strip)
      divide()
    }
  }
  Thread.drain()
  endVector()
}
