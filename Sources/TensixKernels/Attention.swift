// Math thread: attention. The matrix unit alone works for this thread: scores, and probabilities times values. The
// pack thread makes probabilities of scores, and divides results by the sums of these.

func attend(_ command: AttentionCommand) {
  programLoop(Replay.product, phases: 3, release: 1)
  let terms = command.headColumns + (command.mask != 0 ? 1 : 0)
  var turns = AttentionTurns(command, AttentionShare(command)), verdicts = Verdicts()
  var products = KeptProducts(most: 2)
  var isTransposed = false
  setProductModes()
  while turns.advance(past: &verdicts) {
    let isScores = turns.kind != .values
    if isTransposed != isScores {
      setProductModes(transposed: isScores)
      isTransposed = isScores
    }
    begin(turns)
    let sums: UInt32 = turns.kind == .values && turns.first == 0 ? 1 : 0
    for _ in 0..<(isScores ? terms : command.keys) {
      products.multiply(turns.count + sums, from: turns.tile)
    }
    Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.sync))
    Thread.push(Tensix.sempost(Semaphore.mathToPack))
  }
  products.finish()
}

/// Waits until the half is free, and zeroes it.
@inline(never) private func begin(_ turn: AttentionTurns) {
  Thread.push(Tensix.semwaitWhileFull(Semaphore.mathToPack, blocking: Block.matrix))
  if turn.half == 0 {
    Thread.push(Tensix.zeroaccHalf(0))
  } else {
    for eighth in 8 * turn.tile..<8 * AttentionTurns.state {
      Thread.push(Tensix.zeroaccEighth(eighth))
    }
    Thread.push(Tensix.setrwcZero())
  }
}

// MARK: - What attention of few rows needs

private enum Place {
  /// -maximum * scale / ln 2 of each row.
  static var maximum: UInt32 { 7 }
}

/// What is done to a strip of a tile of scores.
@inline(never) func exponentiateRoutine() -> Routine {
  Routine { push in
    for v in stride(from: UInt32(0), to: 4, by: 2) {
      power(push, row: vectorRow(0, 0, v), second: vectorRow(0, 0, v + 1))
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

/// SrcB stays for `count` products into neighbouring tiles of Dst, which release SrcA.
@inline(never) func multiplyKept(_ count: UInt32, from first: UInt32 = 0) {
  for tile in first..<first + count {
    selectDst(tile)
    Thread.push(Tensix.mop())
  }
  Thread.push(Tensix.setrwcZero(release: 2))
  Thread.drain()
}

/// 2^t with t = score * scale - maximum * scale.
@inline(never)
func exponentiate(
  _ scale: UInt32, from first: UInt32 = 0, _ count: UInt32, _ routine: Routine
) {
  beginVector()
  setPowerConstants(scale: scale)
  for strip: UInt32 in 0..<8 {
    selectStrip(Place.maximum, strip)
    Thread.push(VectorUnit.load(7))
    for tile in first..<first + count {
      selectStrip(tile, strip)
      routine()
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
