// Math thread: attention of few rows. Scores of a part's keys, or of a set of them, are in tiles 0 to 6 of Dst, minus
// their maximum in 7.

/// Tiles of Dst where parts are combined.
private enum Parts {
  /// Of each part minus its maximum, later what its share of the result is multiplied with.
  static var weight: UInt32 { 0 }
  /// Of each part its sums, or a column.
  static var share: UInt32 { 4 }
}

/// What is done to a strip of each part's tile.
private struct CombineRoutines {
  let weigh: Routine
  let divide: Routine
  let add: Routine

  init() {
    // 2^(own maximum - largest)
    weigh = Routine { push in
      push(VectorUnit.load(7))
      for part: UInt32 in 1..<4 {
        push(VectorUnit.load(0, row: 64 * part))
        vector(push, VectorUnit.sort(larger: 0, smaller: 7))
      }
      for part in stride(from: UInt32(0), to: 4, by: 2) {
        power(push, row: 64 * part, second: 64 * part + 64)
      }
    }
    // By the sum of all parts.
    divide = Routine(after: weigh) { push in
      for part: UInt32 in 0..<4 {
        push(VectorUnit.load(1, row: 64 * part))
        push(VectorUnit.load(2, row: 64 * (Parts.share + part)))
        vector(push, part == 0 ? VectorUnit.multiply(0, 1, 2) : VectorUnit.mad(0, 1, 2, 0))
      }
      reciprocal(push, guess: 7)
      for part: UInt32 in 0..<4 {
        push(VectorUnit.load(1, row: 64 * part))
        vector(push, VectorUnit.multiply(1, 1, 0))
        push(VectorUnit.store(1, row: 64 * part))
      }
    }
    add = Routine(after: divide) { push in
      for part: UInt32 in 0..<4 { push(VectorUnit.load(part, row: 64 * part)) }
      for v in stride(from: UInt32(0), to: 4, by: 2) {
        let place = vectorRow(Parts.share, 0, v), next = vectorRow(Parts.share, 0, v + 1)
        for part: UInt32 in 0..<4 {
          push(VectorUnit.load(6, row: place + 64 * part))
          push(VectorUnit.load(7, row: next + 64 * part))
          if part == 0 {
            push(VectorUnit.multiply(4, 0, 6))
            push(VectorUnit.multiply(5, 0, 7))
          } else {
            push(VectorUnit.mad(4, part, 6, 4))
            push(VectorUnit.mad(5, part, 7, 5))
          }
        }
        push(VectorUnit.store(4, row: place))
        push(VectorUnit.store(5, row: next))
      }
    }
  }
}

/// `multiplyKept`, which may be run as often as wanted without a drain between.
private func keptRoutine(_ count: UInt32, from first: UInt32, after other: Routine) -> Routine {
  Routine(after: other) { push in
    for tile in first..<first + count {
      push(Tensix.setc16(1, 64 * tile))
      push(Tensix.mop())
    }
    push(Tensix.setrwcZero(release: 2))
  }
}

/// The maximum of a strip of `count` tiles, as the other routines leave it; also of what was there before, unless
/// these are the first.
private func maximumRoutine(_ count: UInt32, isFirst: Bool, after other: Routine) -> Routine {
  Routine(after: other) { push in
    push(VectorUnit.load(0))
    push(VectorUnit.load(2, row: vectorRow(0, 0, 1)))
    for vector in 1..<2 * count {
      let row = vectorRow(vector >> 1, 0, (vector & 1) * 2)
      push(VectorUnit.load(1, row: row))
      push(VectorUnit.load(3, row: row + 2))
      push(VectorUnit.sort(larger: 0, smaller: 1))
      push(VectorUnit.sort(larger: 2, smaller: 3))
    }
    push(VectorUnit.nop)
    vector(push, VectorUnit.sort(larger: 0, smaller: 2))
    settleMaximum(push, to: 7, isFirst: isFirst)
  }
}

/// Both columns of a pair, 32 values of each: Dst has them, then cosine and sine.
private func turnRoutine() -> Routine {
  Routine { push in
    for step: UInt32 in 0..<4 {
      for register: UInt32 in 0..<4 {
        push(VectorUnit.load(register, row: 64 * register + 2 * step))
      }
      push(VectorUnit.multiply(4, 0, 2))
      push(VectorUnit.multiply(5, 1, 2))
      push(VectorUnit.negate(1, 1))
      push(VectorUnit.mad(4, 1, 3, 4))
      push(VectorUnit.mad(5, 0, 3, 5))
      push(VectorUnit.store(4, row: 2 * step))
      push(VectorUnit.store(5, row: 64 + 2 * step))
    }
  }
}

func attendThin(_ command: ThinAttentionCommand) {
  let share = ThinAttentionShare(command)
  programLoop(Replay.product, phases: 3, release: 1)
  if command.isTurned { turnPairs(share.queryPairs(command) + share.keyPairs(command)) }
  guard share.hasUnit else { return }
  let terms = command.headColumns + (command.mask != 0 ? 1 : 0), scale = command.scale
  let exponent = exponentiateRoutine()
  takeDst()
  Thread.push(Tensix.zeroaccHalf(1))
  setProductModes(transposed: true)
  let size = ThinAttentionCommand.setSize(of: share.keys)
  var first: UInt32 = 0
  while first < share.keys {
    let count = min(size, share.keys - first)
    let kept = score(terms, count, after: exponent)
    let maximum = maximumRoutine(count, isFirst: first == 0, after: kept)
    beginVector()
    setVectorRegister(7, scale ^ 0x8000_0000)
    forEachStrip(maximum)
    endVector(transposed: true)
    first += size
  }
  share.forEachSet { first, count in
    if first + count != share.keys {
      takeDst()
      _ = score(terms, count, after: exponent)
    }
    let half = min(count, 4)
    exponentiate(scale, from: 0, half, exponent)
    finish()
    if count > half {
      exponentiate(scale, from: half, count - half, exponent)
      finish()
    }
  }
  setProductModes()
  weighColumns(1 + command.headColumns, keys: share.keys, after: exponent)
  combineParts(command.combinedColumns)
}

/// q k^T + mask of `count` tiles of keys, a term for each column and one for the mask. The routine is in use no more.
@inline(never)
private func score(_ terms: UInt32, _ count: UInt32, after other: Routine) -> Routine {
  Thread.drain()
  let kept = keptRoutine(count, from: 0, after: other)
  Thread.push(Tensix.zeroaccHalf(0))
  for _ in 0..<terms { kept() }
  Thread.drain()
  return kept
}

@inline(never) private func turnPairs(_ count: UInt32) {
  let routine = turnRoutine()
  setProductModes()
  var half: UInt32 = 0
  for _ in 0..<count {
    begin(half: half)
    multiplyKept(4, from: 4 * half)
    beginVector()
    for part: UInt32 in 0..<8 {
      Thread.push(Tensix.setc16(1, 256 * half + 8 * part))
      routine()
    }
    endVector()
    finish()
    half ^= 1
  }
}

/// p times ones, for its sums, then p v; one half of Dst is packed while the other is computed.
@inline(never)
private func weighColumns(_ columns: UInt32, keys: UInt32, after other: Routine) {
  takeDst()
  var column: UInt32 = 0, half: UInt32 = 0
  while column < columns {
    let count = min(4, columns - column)
    let kept = keptRoutine(count, from: 4 * half, after: other)
    begin(half: half)
    for _ in 0..<keys { kept() }
    finish()
    half ^= 1
    column += count
  }
}

@inline(never) private func combineParts(_ columns: UInt32) {
  let routines = CombineRoutines()
  takeDst()
  Thread.push(Tensix.zeroaccHalf(0))
  multiplyKept(4)
  beginVector()
  setPowerConstants(scale: 0xBF80_0000)  // -1
  forEachStrip(routines.weigh)
  endVector()
  takeShares()
  beginVector()
  setVectorRegister(7, 0x7EF3_11C7)
  forEachStrip(routines.divide)
  endVector()
  for column in 0..<columns {
    if column != 0 { takeDst() }
    takeShares()
    beginVector()
    forEachStrip(routines.add)
    endVector()
    finish()
  }
}

/// Carries out the routine on each strip of the tile.
@inline(never) private func forEachStrip(_ routine: Routine) {
  for strip: UInt32 in 0..<8 {
    Thread.push(Tensix.setc16(1, vectorRow(0, strip, 0)))
    routine()
  }
  Thread.drain()
}

@inline(never) private func takeShares() {
  Thread.push(Tensix.zeroaccHalf(1))
  multiplyKept(4, from: Parts.share)
}
