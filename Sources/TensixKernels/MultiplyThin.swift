// Math thread: thin products.

func multiplyThin(_ command: ThinProductCommand) {
  setProductModes()
  programLoop(Replay.product, phases: command.phases, release: 2)
  let rows = command.rows, products = command.products * rows
  // The queue holds 511 instructions.
  let most = 480 / (16 * command.phases + 4)
  var half: UInt32 = 0
  ThinShare(command).forEachColumn(command) { _ in
    let first = 4 * half
    begin(half: half)
    var queued: UInt32 = 0
    for _ in 0..<command.steps {
      if queued + products > most {
        Thread.drain()
        queued = 0
      }
      accumulate(rows, from: first)
      if command.isGated { accumulate(rows, from: first + rows) }
      queued += products
    }
    Thread.drain()
    if command.bias != 0 { accumulate(rows, from: first) }
    if command.residual != 0 {
      for row in first..<first + rows { accumulate(1, from: row) }
    }
    activate(command.activation, tiles: rows, from: first)
    if command.isGated {
      for row in first..<first + rows { multiply(row, by: row + rows) }
    }
    finish()
    half ^= 1
  }
}

/// A tile of Dst times another, element by element.
@inline(never) func multiply(_ tile: UInt32, by factor: UInt32) {
  beginVector()
  selectDst(0)
  for step: UInt32 in 0..<32 {
    Thread.drain()
    Thread.push(VectorUnit.load(0, row: 64 * tile + 2 * step))
    Thread.push(VectorUnit.load(1, row: 64 * factor + 2 * step))
    vector(VectorUnit.multiply(0, 0, 1))
    Thread.push(VectorUnit.store(0, row: 64 * tile + 2 * step))
  }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.matrix))
  restoreModeThree()
  Thread.drain()
}
