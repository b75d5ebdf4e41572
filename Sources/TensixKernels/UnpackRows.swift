// Unpack thread: normalize and rotate.

/// Each pass over a row takes its tiles to Dst as identity x tile; a weight and a bias follow their column
/// as ones x row.
func unpackNormalize(_ command: NormalizeCommand) {
  let left = CircularBuffer.left(command.format), right = CircularBuffer.right(command.format)
  configureSources(a: command.format, b: DataFormat.bfloat16, out: command.outFormat)
  let passes: UInt32 = command.isCentred ? 3 : 2
  command.forEachRow { _ in
    let first = left.first
    for pass in 0..<passes {
      for column in 0..<command.columns {
        left.wait(for: first &+ column)
        unpackTile(Unpacker.sourceA, from: left.slot(first &+ column))
        unpackTile(Unpacker.sourceB, from: Buffer.identity)
        if pass == passes - 1 {
          unpackRow(command.weight, right)
          unpackRow(command.bias, right)
        }
        if column & 7 == 7 { finishUnpacking() }
      }
      finishUnpacking()
    }
    left.pop(command.columns)
  }
}

@inline(__always) func unpackRow(_ address: UInt32, _ right: CircularBuffer) {
  guard address != 0 else { return }
  let number = right.first
  right.wait(for: number)
  unpackTile(Unpacker.sourceA, from: right.slot(number))
  unpackTile(Unpacker.sourceB, from: Buffer.ones)
  finishUnpacking()
  right.pop()
}

/// x and the tables as themselves x identity, x again as itself x r.
func unpackRotate(_ command: RotateCommand) {
  let left = CircularBuffer.left(command.format)
  let right = CircularBuffer.right(DataFormat.bfloat16)
  configureSources(a: DataFormat.bfloat16, b: command.format, out: command.outFormat)
  let terms = command.terms
  command.forEachTile { _, _, _ in
    let first = left.first, constant = right.first
    left.wait(for: first &+ terms &+ 2)
    right.wait(for: constant &+ terms &- 1)
    for i in 0..<terms + 3 {
      let isTerm = i != 0 && i <= terms
      unpackTile(
        Unpacker.sourceA, from: isTerm ? right.slot(constant &+ i &- 1) : Buffer.identity)
      unpackTile(Unpacker.sourceB, from: left.slot(first &+ i))
    }
    finishUnpacking()
    left.pop(terms + 3)
    right.pop(terms)
  }
}
