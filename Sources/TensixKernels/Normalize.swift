// Math thread: rows to mean 0 and variance 1. Sums are in fp32 on the vector unit.

/// Tiles of Dst: the one at work with its weight and bias, and what is known of the rows.
private enum Place {
  static var x: UInt32 { 0 }
  static var weight: UInt32 { 1 }
  static var bias: UInt32 { 2 }
  /// Of a thin command, in the mean's place.
  static var identity: UInt32 { 4 }
  static var mean: UInt32 { 4 }
  /// A sum of squares, later 1 / sqrt(variance + epsilon).
  static var scale: UInt32 { 5 }
}

func normalize(_ command: NormalizeCommand) {
  let routines = Routines(command)
  setProductModes()
  programLoop(Replay.product, phases: 4, release: 2)
  command.forEachRow { _ in
    takeDst()
    Thread.push(Tensix.zeroaccHalf(1))
    if command.isCentred {
      for _ in 0..<command.columns {
        take(1)
        addUp(routines.mean)
      }
      finishMean(command)
    }
    for _ in 0..<command.columns {
      take(1)
      addUp(routines.squares)
    }
    finishScale(command)
    for column in 0..<command.columns {
      if column != 0 { takeDst() }
      take(1 + (command.weight != 0 ? 1 : 0) + (command.bias != 0 ? 1 : 0))
      apply(command, routines.apply)
      finish()
    }
  }
}

/// The next products to tiles 0, 1 and 2; a bias without a weight stands in the weight's place.
@inline(never) func take(_ count: UInt32) {
  Thread.push(Tensix.zeroaccHalf(0))
  for tile in 0..<count { accumulate(1, from: tile) }
  Thread.drain()
}

/// What is done to a strip of a row's tile.
private struct Routines {
  /// Adds the values, their squares, to the sums of the rows, lane by lane.
  let mean: Routine
  let squares: Routine
  let apply: Routine

  init(_ command: NormalizeCommand) {
    func addUp(_ push: (UInt32) -> Void, squares: Bool, centred: Bool) {
      let sum = vectorRow(squares ? Place.scale : Place.mean, 0, 0)
      push(VectorUnit.load(2, row: sum))
      if centred { push(VectorUnit.load(7, row: vectorRow(Place.mean, 0, 0))) }
      for v: UInt32 in 0..<4 {
        push(VectorUnit.load(0, row: vectorRow(Place.x, 0, v)))
        if centred { vector(push, VectorUnit.add(0, 0, 7)) }
        vector(push, squares ? VectorUnit.mad(2, 0, 0, 2) : VectorUnit.add(2, 2, 0))
      }
      push(VectorUnit.store(2, row: sum))
    }
    mean = Routine { addUp($0, squares: false, centred: false) }
    squares = Routine(after: mean) { addUp($0, squares: true, centred: command.isCentred) }
    apply = applyRoutine(command, after: squares)
  }
}

/// x minus the mean times the scale, weight and bias of a strip.
@inline(never)
private func applyRoutine(_ command: NormalizeCommand, after other: Routine? = nil) -> Routine {
  Routine(after: other) { push in
    let bias = command.weight != 0 ? Place.bias : Place.weight
    push(VectorUnit.load(6, row: vectorRow(Place.scale, 0, 0)))
    if command.isCentred { push(VectorUnit.load(7, row: vectorRow(Place.mean, 0, 0))) }
    for v: UInt32 in 0..<4 {
      push(VectorUnit.load(0, row: vectorRow(Place.x, 0, v)))
      if command.isCentred { vector(push, VectorUnit.add(0, 0, 7)) }
      vector(push, VectorUnit.multiply(0, 0, 6))
      if command.weight != 0 {
        push(VectorUnit.load(1, row: vectorRow(Place.weight, 0, v)))
        vector(push, VectorUnit.add(1, 1, 5))
        vector(push, VectorUnit.multiply(0, 0, 1))
      }
      if command.bias != 0 {
        push(VectorUnit.load(1, row: vectorRow(bias, 0, v)))
        vector(push, VectorUnit.add(0, 0, 1))
      }
      push(VectorUnit.store(0, row: vectorRow(Place.x, 0, v)))
    }
  }
}

/// Carries out the routine on each strip of the tile.
@inline(never) func forEachStrip(_ routine: Routine) {
  for strip: UInt32 in 0..<8 {
    Thread.push(Tensix.setc16(1, vectorRow(0, strip, 0)))
    routine()
  }
  Thread.drain()
}

@inline(never) private func addUp(_ routine: Routine) {
  beginVector()
  forEachStrip(routine)
  endVector()
}

/// Minus the mean, in every lane.
@inline(never) func finishMean(_ command: NormalizeCommand) {
  beginVector()
  selectDst(0)
  setVectorRegister(7, command.inverseWidth)
  for strip: UInt32 in 0..<8 {
    let place = vectorRow(Place.mean, strip, 0)
    Thread.push(VectorUnit.load(0, row: place))
    combineRow { vector(VectorUnit.add(0, 0, 1)) }
    vector(VectorUnit.multiply(0, 0, 7))
    Thread.push(VectorUnit.negate(0, 0))
    Thread.push(VectorUnit.store(0, row: place))
    Thread.drain()
  }
  endVector()
}

/// What ``root()`` needs.
@inline(never) private func setScaleConstants(_ command: NormalizeCommand) {
  setVectorRegister(7, command.inverseWidth)
  setVectorRegister(6, command.epsilon)
  setVectorRegister(5, 0x5F37_59DF)
  setVectorRegister(4, 0x3FC0_0000)
}

/// 1 / sqrt(L0 / width + epsilon) to L0.
@inline(never) private func root() {
  vector(VectorUnit.mad(0, 0, 7, 6))
  reciprocalRoot(guess: 5, half: 4)
}

/// 1 / sqrt(variance + epsilon), in every lane.
@inline(never) func finishScale(_ command: NormalizeCommand) {
  beginVector()
  selectDst(0)
  setScaleConstants(command)
  setVectorRegister(3, command.minusPadding)
  for strip: UInt32 in 0..<8 {
    let place = vectorRow(Place.scale, strip, 0)
    Thread.push(VectorUnit.load(0, row: place))
    combineRow { vector(VectorUnit.add(0, 0, 1)) }
    if command.isCentred && command.minusPadding != 0 {
      // Columns beyond the width are zeros, and each has added the mean's square.
      Thread.push(VectorUnit.load(1, row: vectorRow(Place.mean, strip, 0)))
      vector(VectorUnit.multiply(1, 1, 1))
      vector(VectorUnit.mad(0, 1, 3, 0))
    }
    root()
    Thread.push(VectorUnit.store(0, row: place))
    Thread.drain()
  }
  endVector()
}

@inline(never) private func apply(_ command: NormalizeCommand, _ routine: Routine) {
  beginVector()
  setVectorRegister(5, command.offset)
  forEachStrip(routine)
  endVector()
}

/// The sum of a row's squares is on the diagonal of its product with its transpose. Each tile of the card has it of its
/// columns, and adds up what all have told one another.
func normalizeThin(_ command: NormalizeCommand) {
  let share = NormShare(rows: command.rows, columns: command.columns)
  guard !share.isEmpty else { return }
  let applying = applyRoutine(command), spread = spreadRoutine(after: applying)
  programLoop(Replay.product, phases: 4, release: 2)
  takeDst()
  Thread.push(Tensix.zeroaccHalf(0))
  Thread.push(Tensix.zeroaccHalf(1))
  setProductModes(transposed: true)
  share.forEachColumn { _ in
    accumulate(1, from: Place.scale)
    Thread.drain()
  }
  setProductModes()
  accumulate(1, from: Place.identity)
  takeDiagonal()
  finish()
  awaitUnpacked()
  addParts()
  finishParts(command, spread)
  var isFirst = true
  share.forEachColumn { _ in
    if !isFirst { takeDst() }
    isFirst = false
    take(1 + command.addends)
    apply(command, applying)
    finish()
  }
}

/// Sums of 32 rows in two vectors: of the diagonal in the upper faces, and in the lower.
@inline(never) private func takeDiagonal() {
  beginVector()
  selectDst(0)
  for sum: UInt32 in 2..<4 { setVectorRegister(sum, 0) }
  for strip: UInt32 in 0..<8 {
    let lower = strip >> 2
    for v in 2 * lower..<2 * lower + 2 {
      Thread.push(VectorUnit.load(0, row: vectorRow(Place.scale, strip, v)))
      Thread.push(VectorUnit.load(1, row: vectorRow(Place.identity, strip, v)))
      vector(VectorUnit.mad(2 + lower, 0, 1, 2 + lower))
    }
  }
  storeSums()
  endVector()
}

/// L2 and L3 to the first rows of tile 0: they are the tile's part, in 256 bytes.
@inline(__always) private func storeSums() {
  for sum: UInt32 in 0..<2 {
    Thread.push(VectorUnit.store(2 + sum, row: vectorRow(Place.x, 0, sum)))
  }
}

/// The parts of all tiles, four rows each.
@inline(never) private func addParts() {
  beginVector()
  selectDst(ThinNorm.parts)
  for sum: UInt32 in 2..<4 { setVectorRegister(sum, 0) }
  for part in 0..<Buffer.partCount {
    Thread.push(VectorUnit.load(0, row: 4 * part))
    Thread.push(VectorUnit.load(1, row: 4 * part + 2))
    Thread.push(VectorUnit.add(2, 2, 0))
    Thread.push(VectorUnit.add(3, 3, 1))
  }
  selectDst(0)
  storeSums()
}

/// 1 / sqrt(mean square + epsilon) of all rows, then in every lane of each strip's.
@inline(never) private func finishParts(_ command: NormalizeCommand, _ spread: Routine) {
  setScaleConstants(command)
  for sum: UInt32 in 0..<2 {
    Thread.push(VectorUnit.load(0, row: vectorRow(Place.x, 0, sum)))
    root()
    Thread.push(VectorUnit.store(0, row: vectorRow(Place.x, 0, sum)))
  }
  for strip: UInt32 in 0..<8 {
    let lower = strip >> 2
    selectDst(0)
    Thread.push(VectorUnit.load(4, row: vectorRow(Place.x, 0, lower)))
    Thread.push(Tensix.setc16(1, vectorRow(0, strip, 2 * lower)))
    spread()
    Thread.push(VectorUnit.store(0, row: vectorRow(Place.scale, 0, 0) - 16 * lower))
  }
  endVector()
}

/// What L4 holds of each row, where the identity has its one, to all lanes of L0.
private func spreadRoutine(after other: Routine) -> Routine {
  Routine(after: other) { push in
    for v: UInt32 in 0..<2 {
      push(VectorUnit.load(1 + v, row: vectorRow(Place.identity, 0, v)))
    }
    vector(push, VectorUnit.multiply(0, 4, 1))
    vector(push, VectorUnit.mad(0, 4, 2, 0))
    combineRow(push) { vector(push, VectorUnit.add(0, 0, 1)) }
  }
}
