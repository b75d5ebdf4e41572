// Math thread: partial sums in fp32, which the unpacker puts into Dst, are added by the vector unit.

func addPlanes(_ command: MatrixCommand) {
  let gate = gateRoutine(command.activation)
  setProductModes()
  programLoop(Replay.product, phases: command.phases, release: 2)
  command.forEachBlock { block in
    var done: UInt32 = 0
    while done < command.inner {
      let count = planesAtOnce(after: done, of: command.inner)
      let last = done == 0 ? count : count + 1
      done += count
      let scale = done == command.inner ? command.scale : 0x3F80_0000
      let adding = combiningRoutine(
        VectorUnit.add, to: last, scales: scale != 0x3F80_0000, after: gate)
      awaitUnpacked()
      combine(adding, scale: scale)
      if done < command.inner {
        Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.sync))
        Thread.push(Tensix.sempost(Semaphore.dstFree))
      }
    }
    if command.factor != 0 {
      clear(1)
      accumulate(1, from: 1)
      Thread.drain()
      combine(combiningRoutine(VectorUnit.multiply, to: 2, scales: false, after: gate))
    }
    addAddends(command, block, from: 0)
    activate(command.activation, gate, tiles: 1, from: 0)
    finish()
  }
}

/// All of tile 0 of Dst.
@inline(never) private func combine(_ routine: Routine, scale: UInt32 = 0) {
  beginVector()
  setVectorRegister(4, scale)
  for step: UInt32 in 0..<16 {
    Thread.push(Tensix.setc16(1, 4 * step))
    routine()
  }
  endVector()
}

/// Combines 64 values of Dst tiles 1 ..< `last` with tile 0's, and multiplies the result by L4.
@inline(__always)
private func combiningRoutine(
  _ combination: (_ out: UInt32, _ a: UInt32, _ b: UInt32) -> UInt32, to last: UInt32, scales: Bool,
  after other: Routine?
) -> Routine {
  Routine(after: other) { push in
    func both(_ instruction: (_ register: UInt32) -> UInt32) {
      push(instruction(0))
      push(instruction(1))
    }
    both { VectorUnit.load($0, row: 2 * $0) }
    for tile in 1..<last {
      both { VectorUnit.load(2 + $0, row: 64 * tile + 2 * $0) }
      both { combination($0, $0, 2 + $0) }
    }
    if scales { both { VectorUnit.multiply($0, $0, 4) } }
    both { VectorUnit.store($0, row: 2 * $0) }
  }
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
