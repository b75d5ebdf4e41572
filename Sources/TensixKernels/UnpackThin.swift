// Unpack thread: thin products and norms.

/// Each weight goes to SrcA once, the activations of all rows pass in SrcB.
func unpackThin(_ command: ThinProductCommand) {
  let share = ThinShare(command)
  let left = CircularBuffer.left(DataFormat.bfloat16)
  let right = CircularBuffer.right(command.bFormat)
  let changesFormats = command.addends != 0 && command.bFormat != DataFormat.bfloat16
  configureSources(a: command.bFormat, b: DataFormat.bfloat16, out: command.outFormat)
  let first = left.first, activations = command.activations
  var here: UInt32 = 0, addend = activations
  share.forEachColumn(command) { _ in
    var number = right.first, activation: UInt32 = 0
    for step in 0..<command.steps {
      for _ in 0..<command.products {
        right.wait(for: number)
        unpackTile(Unpacker.sourceA, from: right.slot(number))
        number &+= 1
        for row in activation..<activation + command.rows {
          if row >= here {
            left.wait(for: first &+ row)
            here = left.full
          }
          unpackTile(Unpacker.sourceB, from: ThinProductCommand.activation(row))
        }
      }
      activation += command.rows
      if step & 7 == 7 {
        finishUnpacking()
        right.pop(number &- right.first)
      }
    }
    finishUnpacking()
    right.pop(number &- right.first)
    guard command.addends != 0 else { return }
    left.wait(for: first &+ addend &+ command.addends &- 1)
    if changesFormats { configureSourceA(DataFormat.bfloat16) }
    unpackThinAddends(command, from: addend)
    addend += command.addends
    if changesFormats { configureSourceA(command.bFormat) }
  }
  // What others send comes to tiles without columns, too.
  while left.full < addend {}
  left.pop(addend)
}

@inline(never) func unpackThinAddends(_ command: ThinProductCommand, from addend: UInt32) {
  var addend = addend
  if command.bias != 0 {
    unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(addend))
    addend += 1
    for _ in 0..<command.rows { unpackTile(Unpacker.sourceB, from: Buffer.ones) }
  }
  if command.residual != 0 {
    for _ in 0..<command.rows {
      unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(addend))
      unpackTile(Unpacker.sourceB, from: Buffer.identity)
      addend += 1
    }
  }
  finishUnpacking()
}

/// A row times its own transpose, of which the diagonal counts: that is the identity. Then each column of
/// the tile's with its weight and bias.
func unpackThinNormalize(_ command: NormalizeCommand) {
  let left = CircularBuffer.left(DataFormat.bfloat16)
  let bfloat16 = DataFormat.bfloat16
  let first = left.first, rows = command.rows
  var addend = rows * command.columns, isFirst = true
  command.forEachThinColumn { row, column in
    if isFirst {
      isFirst = false
      configureSources(a: bfloat16, b: bfloat16, out: command.outFormat)
      setTransposed(true)
      var number = row
      for k in 0..<command.columns {
        left.wait(for: first &+ number)
        unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(number))
        unpackTile(Unpacker.sourceB, from: ThinProductCommand.activation(number))
        number += rows
        if k & 7 == 7 { finishUnpacking() }
      }
      finishUnpacking()
      setTransposed(false)
      unpackTile(Unpacker.sourceA, from: Buffer.identity)
      unpackTile(Unpacker.sourceB, from: Buffer.identity)
    }
    left.wait(for: first &+ max(column * rows + row, addend + command.addends - 1))
    unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(column * rows + row))
    unpackTile(Unpacker.sourceB, from: Buffer.identity)
    for _ in 0..<command.addends {
      unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(addend))
      unpackTile(Unpacker.sourceB, from: Buffer.ones)
      addend += 1
    }
    finishUnpacking()
  }
  while left.full < addend {}
  left.pop(addend)
}
