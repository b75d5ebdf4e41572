// Math thread: rows to mean 0 and variance 1. Sums are in fp32 on the vector unit.

/// Tiles of Dst: the ones at work, behind them their weight and bias, and what is known of the rows: of
/// row r, in vector r of each strip.
private enum Place {
  static var x: UInt32 { 0 }
  /// Of a thin command, in the mean's place.
  static var identity: UInt32 { 4 }
  static var mean: UInt32 { 4 }
  /// A sum of squares, later 1 / sqrt(variance + epsilon).
  static var scale: UInt32 { 5 }
  static var zero: UInt32 { 6 }
}

func normalize(_ command: NormalizeCommand) {
  setProductModes()
  // x and weights are whole in SrcA's two phases.
  programLoop(Replay.product, phases: 2, release: 1)
  command.forEachBand { band in
    let sums = SumRoutines(command)
    takeDst()
    Thread.push(Tensix.zeroaccHalf(1))
    clear(Place.scale)
    if command.isCentred {
      clear(Place.mean)
      addUp(command, band, sums.values, sums.parts, to: Place.mean)
      finishMean(command, rows: band.rows)
    }
    addUp(command, band, sums.squares, sums.parts, to: Place.scale)
    finishScale(command, rows: band.rows)
    let results = ResultRoutines(command)
    var isFirst = true
    command.forEachGroup(band) { _, row, rows in
      if !isFirst { takeDst() }
      isFirst = false
      Thread.push(Tensix.zeroaccHalf(0))
      if command.addends != 0 { bring(command.addends, to: 4 - command.addends) }
      bring(rows, to: Place.x)
      apply(command, results, rows: row..<row + rows)
      finish()
    }
  }
}

/// Zeros all vectors of a tile: of a row of Dst that was zeroed, no part may be read when another was written.
@inline(never) func clear(_ tile: UInt32) {
  beginVector()
  selectDst(tile)
  for strip: UInt32 in 0..<8 {
    for v: UInt32 in 0..<4 {
      Thread.push(VectorUnit.store(VectorUnit.zero, row: vectorRow(0, strip, v)))
    }
  }
  endVector()
}

/// The next products to tiles of Dst.
@inline(never) private func bring(_ count: UInt32, to first: UInt32) {
  for tile in first..<first + count {
    selectDst(tile)
    Thread.push(Tensix.mop())
  }
  Thread.push(Tensix.setrwcZero(release: 2))
  Thread.drain()
}

/// The next products to tiles 0, 1 and 2.
@inline(never) func take(_ count: UInt32) {
  Thread.push(Tensix.zeroaccHalf(0))
  for tile in 0..<count { accumulate(1, from: tile) }
  Thread.drain()
}

/// What is done to a strip of a tile to add up its rows, lane by lane.
private struct SumRoutines {
  /// Adds the values, their squares, to L2 and L3; L7 is minus the mean.
  let values: Routine
  let squares: Routine
  /// Adds four tiles to L0 to L3.
  let parts: Routine

  init(_ command: NormalizeCommand) {
    func addUp(_ push: (UInt32) -> Void, squares: Bool) {
      /// L0, L1, L4 and L5.
      func x(_ v: UInt32) -> UInt32 { v + (v & 2) }
      for v: UInt32 in 0..<4 { push(VectorUnit.load(x(v), row: vectorRow(Place.x, 0, v))) }
      if squares && command.isCentred {
        for v: UInt32 in 0..<4 { push(VectorUnit.add(x(v), x(v), 7)) }
      }
      for v: UInt32 in 0..<4 {
        let sum = 2 + (v & 1)
        push(squares ? VectorUnit.mad(sum, x(v), x(v), sum) : VectorUnit.add(sum, x(v), sum))
      }
    }
    values = Routine { addUp($0, squares: false) }
    squares = Routine(after: values) { addUp($0, squares: true) }
    parts = Routine(after: squares) { push in
      for tile: UInt32 in 0..<4 {
        for v: UInt32 in 0..<4 { push(VectorUnit.load(4 + v, row: vectorRow(tile, 0, v))) }
        for v: UInt32 in 0..<4 { push(VectorUnit.add(v, v, 4 + v)) }
      }
    }
  }
}

/// What is done to a strip of tile 0, 1, 2 or 3: L6 is the row's scale, L7 minus its mean, L11 the offset.
private struct ResultRoutines {
  private let routines: (Routine, Routine, Routine, Routine)

  /// Weight and bias stand in the last tiles of four.
  init(_ command: NormalizeCommand) {
    let weight = 4 - command.addends
    let first = Self.routine(command, weight: weight, after: nil)
    let second = Self.routine(command, weight: weight - 1, after: first)
    let third = Self.routine(command, weight: weight - 2, after: second)
    let fourth =
      command.addends == 0 ? Self.routine(command, weight: weight - 3, after: third) : third
    routines = (first, second, third, fourth)
  }

  /// Of tile 0, which weight and bias follow.
  init(thin command: NormalizeCommand) {
    let first = Self.routine(command, weight: 1, after: nil)
    routines = (first, first, first, first)
  }

  subscript(_ tile: UInt32) -> Routine {
    tile == 0 ? routines.0 : tile == 1 ? routines.1 : tile == 2 ? routines.2 : routines.3
  }

  /// `weight` is how many tiles further it stands.
  @inline(never)
  private static func routine(
    _ command: NormalizeCommand, weight: UInt32, after other: Routine?
  ) -> Routine {
    let bias = command.weight != 0 ? weight + 1 : weight
    return Routine(after: other) { push in
      for v in stride(from: UInt32(0), to: 4, by: 2) {
        func both(_ body: (_ x: UInt32, _ w: UInt32, _ b: UInt32, _ v: UInt32) -> UInt32) {
          push(body(0, 2, 4, v))
          push(body(1, 3, 5, v + 1))
        }
        both { x, _, _, v in VectorUnit.load(x, row: vectorRow(0, 0, v)) }
        if command.isCentred { both { x, _, _, _ in VectorUnit.add(x, x, 7) } }
        both { x, _, _, _ in VectorUnit.multiply(x, x, 6) }
        if command.bias != 0 {
          both { _, _, b, v in VectorUnit.load(b, row: vectorRow(bias, 0, v)) }
        }
        if command.weight != 0 {
          both { _, w, _, v in VectorUnit.load(w, row: vectorRow(weight, 0, v)) }
          if command.offset != 0 { both { _, w, _, _ in VectorUnit.add(w, w, 11) } }
          both { x, w, b, _ in VectorUnit.mad(x, x, w, command.bias != 0 ? b : VectorUnit.zero) }
        } else if command.bias != 0 {
          both { x, _, b, _ in VectorUnit.add(x, x, b) }
        }
        both { x, _, _, v in VectorUnit.store(x, row: vectorRow(0, 0, v)) }
      }
    }
  }
}

/// A row's sums of values, or of squares, lane by lane; then those of all that share the rows.
private func addUp(
  _ command: NormalizeCommand, _ band: NormalizeBand, _ routine: Routine, _ parts: Routine,
  to place: UInt32
) {
  command.forEachSummand(band) { row, _, columns in
    Thread.push(Tensix.zeroaccHalf(0))
    bring(columns, to: Place.x)
    addTiles(columns, row: vectorRow(0, 0, row), to: place, routine)
  }
  guard command.parts != 1 else { return }
  finish()
  for group: UInt32 in 0..<2 {
    awaitUnpacked()
    addSums(from: group == 0 ? Place.zero : place, to: place, parts)
    if group == 0 {
      Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.sync))
      Thread.push(Tensix.sempost(Semaphore.dstFree))
    }
  }
}

@inline(never)
private func addTiles(_ count: UInt32, row: UInt32, to place: UInt32, _ routine: Routine) {
  beginVector()
  for strip: UInt32 in 0..<8 {
    selectStrip(Place.mean, strip)
    Thread.push(VectorUnit.load(7, row: row))
    selectStrip(place, strip)
    Thread.push(VectorUnit.load(2, row: row))
    Thread.push(VectorUnit.loadShort(3, 0))
    for tile in 0..<count {
      selectStrip(tile, strip)
      routine()
    }
    selectStrip(place, strip)
    Thread.push(VectorUnit.nop)
    vector(VectorUnit.add(2, 2, 3))
    Thread.push(VectorUnit.store(2, row: row))
    if strip & 3 == 3 { Thread.drain() }
  }
  endVector()
}

@inline(never)
private func addSums(from start: UInt32, to place: UInt32, _ routine: Routine) {
  beginVector()
  for strip: UInt32 in 0..<8 {
    selectStrip(start, strip)
    for v: UInt32 in 0..<4 { Thread.push(VectorUnit.load(v, row: vectorRow(0, 0, v))) }
    selectStrip(0, strip)
    routine()
    selectStrip(place, strip)
    for v: UInt32 in 0..<4 { Thread.push(VectorUnit.store(v, row: vectorRow(0, 0, v))) }
    if strip & 3 == 3 { Thread.drain() }
  }
  endVector()
}

/// Minus the mean, in every lane.
@inline(never) func finishMean(_ command: NormalizeCommand, rows: UInt32) {
  beginVector()
  selectDst(0)
  setVectorRegister(7, command.inverseWidth)
  for strip: UInt32 in 0..<8 {
    for row in 0..<rows {
      let place = vectorRow(Place.mean, strip, row)
      Thread.push(VectorUnit.load(0, row: place))
      combineRow { vector(VectorUnit.add(0, 0, 1)) }
      vector(VectorUnit.multiply(0, 0, 7))
      Thread.push(VectorUnit.negate(0, 0))
      Thread.push(VectorUnit.store(0, row: place))
    }
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
@inline(never) func finishScale(_ command: NormalizeCommand, rows: UInt32) {
  beginVector()
  selectDst(0)
  setScaleConstants(command)
  setVectorRegister(3, command.minusPadding)
  for strip: UInt32 in 0..<8 {
    for row in 0..<rows {
      let place = vectorRow(Place.scale, strip, row)
      Thread.push(VectorUnit.load(0, row: place))
      combineRow { vector(VectorUnit.add(0, 0, 1)) }
      if command.isCentred && command.minusPadding != 0 {
        // Columns beyond the width are zeros, and each has added the mean's square.
        Thread.push(VectorUnit.load(1, row: vectorRow(Place.mean, strip, row)))
        vector(VectorUnit.multiply(1, 1, 1))
        vector(VectorUnit.mad(0, 1, 3, 0))
      }
      root()
      Thread.push(VectorUnit.store(0, row: place))
    }
    Thread.drain()
  }
  endVector()
}

/// Of the rows, whose tiles are 0, 1 and so on.
@inline(never) private func apply(
  _ command: NormalizeCommand, _ routines: ResultRoutines, rows: Range<UInt32>
) {
  beginVector()
  setVectorConstant(11, command.offset)
  for tile in 0..<UInt32(rows.count) {
    let row = vectorRow(0, 0, rows.lowerBound + tile), routine = routines[tile]
    for strip: UInt32 in 0..<8 {
      selectStrip(Place.mean, strip)
      Thread.push(VectorUnit.load(7, row: row))
      Thread.push(VectorUnit.load(6, row: row + 64))
      selectStrip(tile, strip)
      routine()
    }
    Thread.drain()
  }
  endVector()
}

/// The sum of a row's squares is on the diagonal of its product with its transpose. Each tile of the card has it of its
/// columns, and adds up what all have told one another.
func normalizeThin(_ command: NormalizeCommand) {
  let share = NormShare(rows: command.rows, columns: command.columns)
  guard !share.isEmpty else { return }
  let results = ResultRoutines(thin: command), spread = spreadRoutine(after: results[0])
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
    apply(command, results, rows: 0..<1)
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
