// Math thread: partial sums in fp32, which the unpacker puts into Dst, are added by the vector unit.

func addPlanes(_ command: MatrixCommand) {
  let routine = gateRoutine(command.activation)
  setProductModes()
  programLoop(Replay.product, phases: command.phases, release: 2)
  command.forEachBlock { block in
    var done: UInt32 = 0
    while done < command.inner {
      let count = planesAtOnce(after: done, of: command.inner)
      let last = done == 0 ? count : count + 1
      done += count
      awaitUnpacked()
      addTiles(from: 1, to: last, scale: done == command.inner ? command.scale : 0x3F80_0000)
      if done < command.inner {
        Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.sync))
        Thread.push(Tensix.sempost(Semaphore.dstFree))
      }
    }
    addAddends(command, block, from: 0)
    activate(command.activation, routine, tiles: 1, from: 0)
    finish()
  }
}

/// Adds Dst tiles `first` ..< `last` to tile 0, and scales the sum.
func addTiles(from first: UInt32, to last: UInt32, scale: UInt32) {
  let scales = scale != 0x3F80_0000
  guard first < last || scales else { return }
  beginVector()
  selectDst(0)
  if scales { setVectorRegister(4, scale) }
  for step: UInt32 in 0..<32 {
    Thread.drain()
    Thread.push(VectorUnit.load(0, row: 2 * step))
    for tile in first..<last {
      Thread.push(VectorUnit.load(1, row: 64 * tile + 2 * step))
      vector(VectorUnit.add(0, 0, 1))
    }
    if scales { vector(VectorUnit.multiply(0, 0, 4)) }
    Thread.push(VectorUnit.store(0, row: 2 * step))
  }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.matrix))
  restoreModeThree()
  Thread.drain()
}

@inline(__always) func awaitUnpacked() {
  Thread.push(
    Tensix.semwaitWhileZero(
      Semaphore.unpackToMath, blocking: Block.matrix | Block.vector | Block.sync))
  Thread.push(Tensix.semget(Semaphore.unpackToMath))
}

/// a + scale b, or a b, of tiles 0 and 1 of Dst.
func combineExactly(_ command: MatrixCommand) {
  let routine = gateRoutine(command.activation)
  command.forEachBlock { _ in
    awaitUnpacked()
    beginVector()
    selectDst(0)
    setVectorRegister(4, command.scale)
    for step: UInt32 in 0..<32 {
      Thread.drain()
      Thread.push(VectorUnit.load(0, row: 2 * step))
      Thread.push(VectorUnit.load(1, row: 64 + 2 * step))
      if command.multiplies {
        vector(VectorUnit.multiply(0, 0, 1))
      } else {
        vector(VectorUnit.mad(0, 1, 4, 0))
      }
      Thread.push(VectorUnit.store(0, row: 2 * step))
    }
    Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.matrix))
    activate(command.activation, routine, tiles: 1, from: 0)
    finish()
  }
}
