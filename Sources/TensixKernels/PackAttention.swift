// Pack thread: attention. The vector unit works for this thread, on one half of Dst, while the matrix unit is at
// work on the other. A tile of either is eight strips of four rows; a strip of the tile between them has what is known
// of its rows.

/// Rows of a strip of that tile.
private enum State {
  /// 640 - maximum * scale / ln 2, of the maximum of a unit's first scores.
  static var bias: UInt32 { vectorRow(0, 0, 0) }
  /// In each lane the maximum of its scores so far.
  static var maximum: UInt32 { vectorRow(0, 0, 1) }
  /// The bias by the maximum of all scores, where the other does not do.
  static var bestBias: UInt32 { vectorRow(0, 0, 2) }
  /// 1 / sum of the probabilities.
  static var inverseSum: UInt32 { vectorRow(0, 0, 3) }
}

/// What is done to a strip of up to four tiles: the last ones' instructions come first, and may be skipped.
private struct StripRoutines {
  static var maximumCount: UInt32 { 8 }
  static var powerCount: UInt32 { 40 }
  static var divideCount: UInt32 { 12 }

  let maximum: Routine
  let settle: Routine
  let power: Routine
  let invert: Routine
  let divide: Routine

  @inline(never) init() {
    // To L0, in each lane, where L0 and L2 are maxima of what came before.
    maximum = Routine { push in
      for tile in stride(from: UInt32(192), through: 0, by: -64) {
        for v: UInt32 in 0..<2 {
          push(VectorUnit.load(1, row: tile + vectorRow(0, 0, 2 * v)))
          push(VectorUnit.load(3, row: tile + vectorRow(0, 0, 2 * v + 1)))
          push(VectorUnit.sort(larger: 0, smaller: 1))
          push(VectorUnit.sort(larger: 2, smaller: 3))
        }
      }
      vector(push, VectorUnit.sort(larger: 0, smaller: 2))
    }
    // The maximum of all lanes of a row to L0, the bias that goes with it to L7.
    settle = Routine(after: maximum) { push in
      combineRow(push) { vector(push, VectorUnit.sort(larger: 0, smaller: 1)) }
      push(VectorUnit.negate(1, 0))
      push(VectorUnit.loadShort(2, 0x4420_0000))  // 640
      vector(push, VectorUnit.mad(7, 1, 12, 2))
    }
    power = Routine(after: settle) { push in
      for tile in stride(from: UInt32(192), through: 0, by: -64) {
        for v: UInt32 in 0..<2 { powerOfTwo(push, row: tile + vectorRow(0, 0, 2 * v)) }
      }
    }
    invert = Routine(after: power) { push in
      push(VectorUnit.load(0))
      reciprocal(push, guess: 7)
    }
    divide = Routine(after: invert) { push in
      for tile in stride(from: UInt32(192), through: 0, by: -64) {
        for v: UInt32 in 0..<4 { push(VectorUnit.load(1 + v, row: tile + vectorRow(0, 0, v))) }
        for v: UInt32 in 0..<4 { push(VectorUnit.multiply(1 + v, 1 + v, 0)) }
        for v: UInt32 in 0..<4 { push(VectorUnit.store(1 + v, row: tile + vectorRow(0, 0, v))) }
      }
    }
  }
}

/// 2^(x scale + L7 - 639) of two vectors, to a ten-thousandth; L7 is a bias.
@inline(never) private func powerOfTwo(_ push: (UInt32) -> Void, row: UInt32) {
  both(push) { x, _, _ in VectorUnit.load(x, row: x == 0 ? row : row + 2) }
  // Between 512 and 1024 the 14 lowest bits are a fraction, and the next 8 an exponent field: where a shift takes
  // them, that is the power with a straight line for each fraction.
  both(push) { x, _, _ in VectorUnit.mad(x, x, 12, 7) }
  both(push) { x, _, _ in VectorUnit.raise(x, to: 11) }
  both(push) { x, _, _ in VectorUnit.shiftLeft(x, 9) }
  // 2^(t - 1) of t = 1 + fraction; such a cubic has no use for t^2.
  both(push) { x, t, _ in VectorUnit.setExponent(t, x, 127) }
  both(push) { _, t, p in VectorUnit.multiply(p, t, t) }
  both(push) { _, _, p in VectorUnit.mad(p, p, 13, 14) }
  both(push) { _, t, p in VectorUnit.mad(p, p, t, 6) }
  both(push) { x, _, p in VectorUnit.keepExponent(x, p) }
  both(push) { x, _, _ in VectorUnit.store(x, row: x == 0 ? row : row + 2) }
}

private func setConstants(scale: UInt32) {
  setAddressMode(3, sources: 0, destination: 0)
  Thread.push(Tensix.setrwcZero())
  setVectorConstant(11, 0x4400_4000)  // 513: what is less becomes 2^-126
  setVectorConstant(12, scale)
  setVectorConstant(13, 0x3D9C_4052)
  setVectorConstant(14, 0x3EEE_7035)
  setVectorRegister(6, 0x3EEA_85FD)
  // All of the tile has values before it is packed.
  for strip: UInt32 in 0..<8 {
    selectStrip(AttentionTurns.state, strip)
    for v: UInt32 in 0..<4 {
      Thread.push(VectorUnit.store(VectorUnit.zero, row: vectorRow(0, 0, v)))
    }
  }
}

func packAttention(_ command: AttentionCommand) {
  configurePackers(DataFormat.bfloat16)
  let routines = StripRoutines()
  setConstants(scale: command.scale)
  var turns = AttentionTurns(command, AttentionShare(command)), isRepeated = false
  while turns.advance() {
    if turns.kind == .verdict {
      if isRepeated { turns.repeatScores() }
      continue
    }
    awaitMathForVector()
    Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.vector))
    Thread.drain()
    if turns.kind == .values {
      packColumns(turns, routines)
    } else {
      makeProbabilities(turns, routines)
      for tile in 0..<turns.count {
        startPacking(
          turns.tile + tile, to: command.probabilitySlot(turns.unit, turns.first + tile),
          DataFormat.bfloat16)
      }
      if turns.endsScores { isRepeated = turns.kind == .scores && isFarFromMaximum(routines) }
    }
    releaseWhenPacked()
    if turns.endsScores {
      Thread.drain()
      Memory[Control.probabilities] = Memory[Control.probabilities] &+ (isRepeated ? 2 : 1)
    }
  }
  Thread.drain()
}

@inline(never)
private func makeProbabilities(_ turn: AttentionTurns, _ routines: StripRoutines) {
  let state = 64 * (AttentionTurns.state - turn.tile), others = 4 - turn.count
  for strip: UInt32 in 0..<8 {
    selectStrip(turn.tile, strip)
    if turn.kind == .again {
      Thread.push(VectorUnit.load(7, row: state + State.bestBias))
    } else {
      let before = turn.first == 0 ? 0 : state + State.maximum
      Thread.push(VectorUnit.load(0, row: before))
      Thread.push(VectorUnit.load(2, row: before))
      routines.maximum(skipping: others * StripRoutines.maximumCount)
      Thread.push(VectorUnit.store(0, row: state + State.maximum))
      if turn.first == 0 {
        routines.settle()
        Thread.push(VectorUnit.store(7, row: state + State.bias))
      } else {
        Thread.push(VectorUnit.load(7, row: state + State.bias))
      }
    }
    routines.power(skipping: others * StripRoutines.powerCount)
  }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.tdma))
}

/// Whether in some row the maximum of all scores is more than 2^64 times that of the first. Then their probabilities
/// count for nothing, and the others may be too large; biases by the maximum of all are made.
@inline(never) private func isFarFromMaximum(_ routines: StripRoutines) -> Bool {
  Thread.push(VectorUnit.loadShort(0, 0))
  for strip: UInt32 in 0..<8 {
    selectStrip(AttentionTurns.state, strip)
    Thread.push(VectorUnit.load(1, row: State.maximum))
    Thread.push(VectorUnit.load(2, row: State.bias))
    vector(VectorUnit.mad(1, 1, 12, 2))
    vector(VectorUnit.sort(larger: 0, smaller: 1))
  }
  routines.settle()
  selectStrip(AttentionTurns.state, 0)
  Thread.push(VectorUnit.store(0, row: State.bestBias))
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.tdma))
  // A slot that the next result takes.
  let slot = CircularBuffer.output.slot(CircularBuffer.output.reserve())
  packTile(AttentionTurns.state, to: slot, DataFormat.bfloat16)
  var isFar = false
  for row: UInt32 in 0..<4 {
    // In bfloat16, 704.
    if Memory[slot + 512 + 32 * row] & 0xFFFF > 0x4430 { isFar = true }
  }
  guard isFar else { return false }
  for strip: UInt32 in 0..<8 {
    selectStrip(AttentionTurns.state, strip)
    Thread.push(VectorUnit.load(0, row: State.maximum))
    routines.settle()
    Thread.push(VectorUnit.store(7, row: State.bestBias))
  }
  return true
}

/// Columns of the result, divided by the sums of probabilities, for the writer.
@inline(never) private func packColumns(_ turn: AttentionTurns, _ routines: StripRoutines) {
  let state = 64 * (AttentionTurns.state - turn.tile)
  let hasSums = turn.first == 0, tile = hasSums ? turn.tile + 1 : turn.tile
  if hasSums { setVectorRegister(7, 0x7EF3_11C7) }
  for strip: UInt32 in 0..<8 {
    selectStrip(turn.tile, strip)
    if hasSums {
      routines.invert()
      Thread.push(VectorUnit.store(0, row: state + State.inverseSum))
      selectStrip(tile, strip)
    } else {
      Thread.push(VectorUnit.load(0, row: state + State.inverseSum))
    }
    routines.divide(skipping: (4 - turn.count) * StripRoutines.divideCount)
  }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.tdma))
  for column in 0..<turn.count { packTile(tile + column, DataFormat.bfloat16) }
}
