// Math thread: heads turned by the angles of their positions.

/// Dst, in either half: x, x r, cosine, sine.
func rotate(_ command: RotateCommand) {
  setProductModes()
  programLoop(Replay.product, phases: 3, release: 2)
  let terms = command.terms
  // Eight rows.
  let routine = Routine { push in
    for step: UInt32 in 0..<4 {
      for register: UInt32 in 0..<4 {
        push(VectorUnit.load(register, row: 64 * register + 2 * step))
      }
      vector(push, VectorUnit.multiply(0, 0, 2))
      vector(push, VectorUnit.mad(0, 1, 3, 0))
      push(VectorUnit.store(0, row: 2 * step))
    }
  }
  var half: UInt32 = 0
  command.forEachTile { _, _ in
    let first = 4 * half
    begin(half: half)
    accumulate(1, from: first)
    for _ in 0..<terms {
      accumulate(1, from: first + 1)
      Thread.drain()
    }
    accumulate(1, from: first + 2)
    accumulate(1, from: first + 3)
    Thread.drain()
    beginVector()
    for part: UInt32 in 0..<8 {
      Thread.push(Tensix.setc16(1, 64 * first + 8 * part))
      routine()
    }
    Thread.drain()
    endVector()
    finish()
    half ^= 1
  }
}
