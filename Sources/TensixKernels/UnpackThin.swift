// Unpack thread: thin products and norms.

/// Registers of the thread: addresses of a weight and of an activation, and the distance of activations.
private enum Register {
  static var weight: UInt32 { 16 }
  static var activation: UInt32 { 17 }
  static var distance: UInt32 { 18 }
}

/// A weight, and the activations of all rows. UNPACR takes an address when it begins: a new one need not
/// wait until it has ended.
private func recordStep(rows: UInt32) {
  Thread.setRegister(Register.distance, 2048 >> 4)
  Thread.push(Tensix.replayRecord(start: 0, count: 1 + 5 * rows))
  Thread.push(Tensix.stallwait(until: Idle.thcon, blocking: Block.configuration))
  Thread.push(Tensix.wrcfg(64, register: Register.weight))
  Thread.push(Tensix.wrcfg(104, register: Register.activation))
  Thread.push(Tensix.nop)
  Thread.push(Tensix.unpacr(unpacker: Unpacker.sourceA))
  Thread.push(Tensix.unpacr(unpacker: Unpacker.sourceB))
  guard rows == 2 else { return }
  Thread.push(Tensix.adddmareg(Register.activation, Register.activation, Register.distance))
  Thread.push(Tensix.stallwait(until: Idle.thcon, blocking: Block.configuration))
  Thread.push(Tensix.wrcfg(104, register: Register.activation))
  Thread.push(Tensix.nop)
  Thread.push(Tensix.unpacr(unpacker: Unpacker.sourceB))
}

/// Each weight goes to SrcA once, the activations of all rows pass in SrcB.
func unpackThin(_ command: ThinProductCommand) {
  let share = ThinShare(command), rows = command.rows
  let left = CircularBuffer.left(DataFormat.bfloat16)
  let right = CircularBuffer.right(command.bFormat)
  let changesFormats = command.addends != 0 && command.bFormat != DataFormat.bfloat16
  configureSources(a: command.bFormat, b: DataFormat.bfloat16, out: command.outFormat)
  recordStep(rows: rows)
  let step = Tensix.replay(start: 0, count: 1 + 5 * rows)
  let first = left.first, activations = command.activations, products = command.products
  var activationsHere: UInt32 = 0, addend = activations
  share.forEachColumn(command) { _ in
    var number = right.first, weightsHere = number, activation: UInt32 = 0, inPortion: UInt32 = 0
    while activation < activations {
      activation += rows
      if activation > activationsHere {
        left.wait(for: first &+ activation &- 1)
        activationsHere = left.full
      }
      let address = (ThinProductCommand.activation(activation - rows) >> 4) - 1
      for _ in 0..<products {
        if number == weightsHere {
          right.wait(for: number)
          weightsHere = right.end
        }
        Thread.setRegister(Register.weight, (right.slot(number) >> 4) - 1)
        Thread.setRegister(Register.activation, address)
        Thread.push(step)
        number &+= 1
      }
      inPortion += 1
      if inPortion == 16 {
        inPortion = 0
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

/// Each of the tile's columns times its own transpose, then the identity, of which math makes the tile's part of the sums
/// of squares. Then all parts of the row, and each column with its weight and bias.
func unpackThinNormalize(_ command: NormalizeCommand) {
  let share = NormShare(rows: command.rows, columns: command.columns)
  guard !share.isEmpty else { return }
  let left = CircularBuffer.left(DataFormat.bfloat16)
  let bfloat16 = DataFormat.bfloat16
  // Of tiles that there are not, nothing is added.
  let words = Buffer.partBytes / 4
  for word in share.members * words..<Buffer.partCount * words {
    Memory[Buffer.part(share.row, 0) + 4 * word] = 0
    Memory.settle(Buffer.part(share.row, 0) + 4 * word)
  }
  configureSources(a: bfloat16, b: bfloat16, out: DataFormat.float32)
  setTransposed(true)
  var addend = command.firstValue
  left.wait(for: left.first)
  share.forEachColumn { _ in
    unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(addend))
    unpackTile(Unpacker.sourceB, from: ThinProductCommand.activation(addend))
    finishUnpacking()
    addend += 1 + command.addends
  }
  setTransposed(false)
  unpackTile(Unpacker.sourceA, from: Buffer.identity)
  unpackTile(Unpacker.sourceB, from: Buffer.identity)
  finishUnpacking()

  left.wait(for: left.first &+ 1)
  configureSources(a: bfloat16, b: bfloat16, out: command.outFormat)
  configureDst()
  awaitDst()
  for half: UInt32 in 0..<2 {
    unpackToDst(
      ThinNorm.parts + half, from: Buffer.part(share.row, half * Buffer.partCount / 2))
  }
  finishUnpacking()
  Thread.push(Tensix.sempost(Semaphore.unpackToMath))
  configureSourceA(bfloat16)
  addend = command.firstValue
  share.forEachColumn { _ in
    unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(addend))
    unpackTile(Unpacker.sourceB, from: Buffer.identity)
    for _ in 0..<command.addends {
      addend += 1
      unpackTile(Unpacker.sourceA, from: ThinProductCommand.activation(addend))
      unpackTile(Unpacker.sourceB, from: Buffer.ones)
    }
    addend += 1
    finishUnpacking()
  }
  left.pop(2)
}
