// Math thread: thin products. What follows the sum is the pack thread's.

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
    finish()
    half ^= 1
  }
}
