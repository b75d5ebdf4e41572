// Math thread: attention of few rows. A part's scores are in tiles 0 to 6 of Dst, minus their maximum in 7.

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

  init(after other: Routine) {
    // 2^(own maximum - largest)
    weigh = Routine(after: other) { push in
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
      for v: UInt32 in 0..<4 {
        let place = vectorRow(Parts.share, 0, v)
        for part: UInt32 in 0..<4 {
          push(VectorUnit.load(4, row: place + 64 * part))
          vector(
            push,
            part == 0 ? VectorUnit.multiply(5, 0, 4) : VectorUnit.mad(5, part, 4, 5))
        }
        push(VectorUnit.store(5, row: place))
      }
    }
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
  attend(
    KeyChunks(keys: share.keys), columns: command.headColumns,
    terms: command.headColumns + (command.mask != 0 ? 1 : 0), scale: command.scale)
}

@inline(never)
private func attend(_ chunks: KeyChunks, columns: UInt32, terms: UInt32, scale: UInt32) {
  let routines = AttentionRoutines()
  takeDst()
  Thread.push(Tensix.zeroaccHalf(1))
  setProductModes(transposed: true)
  chunks.forEach { first, count in
    score(terms, count)
    raiseMaximum(count, isFirst: first == 0, routines)
  }
  finishMaximum(scale, routines)
  chunks.forEach { first, count in
    if first != 0 { takeDst() }
    if !chunks.isOne { score(terms, count) }
    let half = min(count, 4)
    exponentiate(scale, from: 0, half, routines)
    finish()
    if count > half {
      exponentiate(scale, from: half, count - half, routines)
      finish()
    }
  }
  setProductModes()
  weighColumns(1 + columns, keys: chunks.keys)
  combineParts(columns / ThinAttentionCommand.parts, after: routines.exponentiate)
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
@inline(never) private func weighColumns(_ columns: UInt32, keys: UInt32) {
  takeDst()
  var column: UInt32 = 0, half: UInt32 = 0
  while column < columns {
    let count = min(4, columns - column)
    begin(half: half)
    for _ in 0..<keys { multiplyKept(count, from: 4 * half) }
    finish()
    half ^= 1
    column += count
  }
}

@inline(never) private func combineParts(_ columns: UInt32, after other: Routine) {
  let routines = CombineRoutines(after: other)
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

@inline(never) private func takeShares() {
  Thread.push(Tensix.zeroaccHalf(1))
  multiplyKept(4, from: Parts.share)
}
