// Math thread: a grid product. SrcB stays for the columns of a block, and every SrcA is one of them.

func multiplyGrid(_ command: GridProductCommand) {
  let share = GridShare(command)
  guard !share.isEmpty else { return }
  setProductModes()
  programLoop(Replay.product, phases: command.phases, release: 1)
  var products = KeptProducts(most: command.phases < 3 ? 3 : command.phases == 3 ? 2 : 1)
  let addends: UInt32 = (command.bias != 0 ? 1 : 0) + (command.residual != 0 ? 1 : 0)
  var half: UInt32 = 0
  share.forEachBlock(command) { block in
    begin(half: half)
    if !block.startsSum {
      // The sum may have been in Dst just now.
      if share.groups * share.rows == 1 { Thread.await(Semaphore.mathToPack, is: 0) }
      Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.sync))
      Thread.push(Tensix.sempost(Semaphore.halfFree))
      awaitUnpacked()
    }
    let tiles = command.accumulators(block)
    func multiply(_ steps: UInt32) {
      for _ in 0..<steps { products.multiply(tiles, from: 4 * half) }
    }
    if command.addendPhases != command.phases, block.endsSum, addends != 0 {
      multiply(block.steps)
      programLoop(Replay.product, phases: command.addendPhases, release: 1)
      multiply(addends)
      programLoop(Replay.product, phases: command.phases, release: 1)
    } else {
      multiply(block.endsSum ? block.steps + addends : block.steps)
    }
    Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.sync))
    Thread.push(Tensix.sempost(Semaphore.mathToPack))
    half ^= 1
  }
  products.finish()
}
