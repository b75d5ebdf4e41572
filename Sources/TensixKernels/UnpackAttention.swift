// Unpack thread: attention.

func unpackAttention(_ command: AttentionCommand) {
  let left = CircularBuffer.left(DataFormat.bfloat16)
  configureSources(
    a: DataFormat.bfloat16, b: DataFormat.bfloat16, out: DataFormat.bfloat16)
  var packed = Memory[Control.probabilities]
  command.forEachUnit { unit in
    let needed = command.keyTiles + command.unitTiles
    while left.full != needed {}
    // More scores than Dst holds are computed twice: for their maximum, and again for the probabilities.
    setTransposed(true)
    unpackScores(command)
    if command.keys > 4 { unpackScores(command) }
    left.pop(command.unitTiles)

    packed &+= 1
    setTransposed(false)
    Memory.wait(Control.probabilities) { $0 == packed }
    unpackValues(command)
    if unit.endsGroup { left.pop(command.keyTiles) }
  }
}

/// q k^T: a tile of q stays while four of k pass; then the identity while their masks do.
func unpackScores(_ command: AttentionCommand) {
  var key: UInt32 = 0
  while key < command.keys {
    let end = min(key + 4, command.keys)
    for column in 0..<command.headColumns {
      unpackTile(Unpacker.sourceB, from: command.querySlot(column))
      for k in key..<end { unpackTile(Unpacker.sourceA, from: command.keySlot(k, column)) }
      if column & 7 == 7 { finishUnpacking() }
    }
    if command.mask != 0 {
      unpackTile(Unpacker.sourceB, from: Buffer.identity)
      for k in key..<end { unpackTile(Unpacker.sourceA, from: command.maskSlot(k)) }
    }
    finishUnpacking()
    key = end
  }
}

/// p v, four columns of v at a time; first p's sums, too.
func unpackValues(_ command: AttentionCommand) {
  var column: UInt32 = 0
  while column < command.headColumns {
    let end = min(column + 4, command.headColumns)
    for key in 0..<command.keys {
      unpackTile(Unpacker.sourceB, from: Buffer.probabilities(key))
      if column == 0 { unpackTile(Unpacker.sourceA, from: Buffer.allOnes) }
      for c in column..<end { unpackTile(Unpacker.sourceA, from: command.valueSlot(key, c)) }
      if key & 7 == 7 { finishUnpacking() }
    }
    finishUnpacking()
    column = end
  }
}
