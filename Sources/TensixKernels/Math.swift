/// TRISC1: matrix and vector unit.
@c(kmain) public func math() {
  Thread.push(Tensix.setc16(0, 0))
  Thread.push(Tensix.setc16(1, 0))
  Thread.push(Tensix.setc16(2, 0))
  Thread.push(Tensix.setc16(5, 0))
  Thread.push(Tensix.setc16(6, 0))
  recordProduct()
  Thread.push(Tensix.seminit(Semaphore.mathToPack, value: 0, maximum: 2))
  Thread.push(Tensix.seminit(Semaphore.unpackToMath, value: 0, maximum: 1))
  Thread.push(Tensix.seminit(Semaphore.dstFree, value: 1, maximum: 1))
  Thread.push(Tensix.seminit(Semaphore.unpacked, value: 0, maximum: 15))
  Thread.push(Tensix.seminit(Semaphore.multiplied, value: 0, maximum: 15))
  Thread.push(Tensix.seminit(Semaphore.halfFree, value: 0, maximum: 1))
  Thread.push(Tensix.zeroaccAll)
  Thread.push(Tensix.setrwcZero())
  Thread.push(VectorUnit.allLanesOn)
  Thread.drain()
  Memory[Control.mathReady] = 1  // the others may use the semaphores

  serve(done: Control.doneMath) { sequence in
    switch operation(of: sequence) {
    case Operation.linear: multiplyMatrices(MatrixCommand(sequence))
    case Operation.reduce: addPlanes(MatrixCommand(sequence))
    case Operation.binary: combineElements(MatrixCommand(sequence))
    case Operation.normalize: normalize(NormalizeCommand(sequence))
    case Operation.rotate: rotate(RotateCommand(sequence))
    case Operation.attention: attend(AttentionCommand(sequence))
    case Operation.thinAttention: attendThin(ThinAttentionCommand(sequence))
    case Operation.gridProduct: multiplyGrid(GridProductCommand(sequence))
    case Operation.thinProduct: multiplyThin(ThinProductCommand(sequence))
    case Operation.thinNormalize: normalizeThin(NormalizeCommand(sequence))
    default: break
    }
  }
}

// MARK: - Dst in two halves: one is computed while the other is packed

/// Waits until the half is free, and zeroes it.
@inline(__always) func begin(half: UInt32) {
  Thread.push(
    Tensix.semwaitWhileFull(Semaphore.mathToPack, blocking: Block.matrix | Block.vector))
  Thread.push(Tensix.zeroaccHalf(half))
}

/// Hands the half to the packers.
@inline(__always) func finish() {
  Thread.push(Tensix.stallwait(until: Idle.matrix | Idle.vector, blocking: Block.sync))
  Thread.push(Tensix.sempost(Semaphore.mathToPack))
  Thread.drain()
}

/// Waits until the packers have taken what was in Dst: for work that does not leave it in halves.
@inline(__always) func takeDst() {
  Thread.push(
    Tensix.semwaitWhileZero(
      Semaphore.dstFree, blocking: Block.matrix | Block.vector | Block.sync))
  Thread.push(Tensix.semget(Semaphore.dstFree))
}

// MARK: - Products

func multiplyMatrices(_ command: MatrixCommand) {
  setProductModes()
  programLoop(Replay.product, phases: command.phases, release: 2)
  let routine = gateRoutine(command.activation)
  var half: UInt32 = 0
  command.forEachBlock { block in
    let first = 4 * half
    begin(half: half)
    var queued: UInt32 = 0
    for _ in 0..<block.steps {
      // The queue holds 511 instructions; a product is 65 of them at most.
      if queued + block.rows > 7 {
        Thread.drain()
        queued = 0
      }
      accumulate(block.rows, from: first)
      queued += block.rows
    }
    addAddends(command, block, from: first)
    activate(command.activation, routine, tiles: block.rows, from: first)
    finish()
    half ^= 1
  }
}

/// Products that share SrcB, without a drain between.
struct KeptProducts {
  /// How often the thread's queue, which a simulated card does not guard, has room for.
  private let most: UInt32
  private var queued: UInt32 = 0

  init(most: UInt32) { self.most = most }

  /// SrcB stays for `count` products into neighbouring tiles of Dst, which release SrcA.
  @inline(never) mutating func multiply(_ count: UInt32, from first: UInt32) {
    if queued == most {
      Thread.take(Semaphore.multiplied)
      queued -= 1
    }
    for tile in first..<first + count {
      selectDst(tile)
      Thread.push(Tensix.mop())
    }
    Thread.push(Tensix.setrwcZero(release: 2))
    Thread.push(Tensix.sempost(Semaphore.multiplied))
    queued += 1
  }

  func finish() {
    for _ in 0..<queued { Thread.take(Semaphore.multiplied) }
    Thread.drain()
  }
}

/// One SrcA for a column of Dst tiles.
@inline(__always) func accumulate(_ rows: UInt32, from first: UInt32) {
  for row in 0..<rows {
    selectDst(first + row)
    Thread.push(Tensix.mop())
  }
  Thread.push(Tensix.setrwcZero(release: 1))
}

/// Bias, then residual.
func addAddends(_ command: MatrixCommand, _ block: OutputBlock, from first: UInt32) {
  Thread.drain()
  if command.bias != 0 { accumulate(block.rows, from: first) }
  if command.residual != 0 {
    Thread.drain()
    for row in 0..<block.rows { accumulate(1, from: first + row) }
  }
}

/// Contents of the 32-entry replay buffer.
enum Replay {
  static var product: UInt32 { Tensix.replay(start: 0, count: 16) }
  static var elements: UInt32 { Tensix.replay(start: 16, count: 8) }
}

/// Sixteen MVMULs are one fidelity phase of a 32 x 32 x 32 product.
func recordProduct() {
  Thread.push(Tensix.replayRecord(start: 0, count: 16))
  for _ in 0..<2 {
    for last: UInt32 in 2...3 {
      Thread.push(Tensix.mvmul(addressMode: 0))
      Thread.push(Tensix.mvmul(addressMode: 1))
      Thread.push(Tensix.mvmul(addressMode: 0))
      Thread.push(Tensix.mvmul(addressMode: last))
    }
  }
}

/// One MOP instruction then runs `body` once a phase and hands source banks back.
@inline(__always) func programLoop(_ body: UInt32, phases: UInt32, release: UInt32) {
  Thread.program(body, count: phases, end: Tensix.setrwcZero(release: release))
}

// MARK: - Address modes of products

/// `transposed`: SrcA's faces were exchanged when it was unpacked.
func setProductModes(transposed: Bool = false) {
  let across: UInt32 = transposed ? 32 : 16, down: UInt32 = transposed ? 16 : 32
  for bank: UInt32 in 0..<2 {
    let mode = 4 * bank
    // Next 8 rows of SrcB and Dst.
    setAddressMode(mode, sources: Move.b(8), destination: 8)
    // Next face of SrcA, SrcB back.
    setAddressMode(mode + 1, sources: Move.bReturn | Move.a(across), destination: 8)
    // SrcA back, lower half of SrcB.
    setAddressMode(
      mode + 2, sources: Move.bReturn | Move.b(32) | Move.aReturn, destination: 8)
  }
  // Second half of the sum.
  setAddressMode(
    3, sources: Move.bReturn | Move.b(48) | Move.aReturn | Move.a(down),
    destination: Move.dstReturn, bias: 1)
  // Next fidelity phase.
  setAddressMode(
    7, sources: Move.bClear | Move.aClear, destination: Move.nextPhase | Move.dstClear, bias: 1)
}

// MARK: - Activations

/// Applies the activation, whose routine is given, to `tiles` tiles of Dst.
func activate(
  _ activation: UInt32, _ routine: Routine?, tiles: UInt32, from first: UInt32
) {
  guard let routine else { return }
  beginVector()
  setGateConstants(activation)
  for tile in first..<first + tiles { gateTile(tile, routine) }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.matrix))
  restoreModeThree()
  Thread.drain()
}

/// Mode 3 as products have it.
func restoreModeThree(transposed: Bool = false) {
  setAddressMode(
    3, sources: Move.bReturn | Move.b(48) | Move.aReturn | Move.a(transposed ? 16 : 32),
    destination: Move.dstReturn, bias: 1)
}

/// The matrix unit waits for the vector unit, and gets its address mode back.
func endVector(transposed: Bool = false) {
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.matrix))
  restoreModeThree(transposed: transposed)
  Thread.drain()
}
