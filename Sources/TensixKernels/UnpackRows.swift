// Unpack thread: normalize and rotate.

/// Each pass over the rows takes tiles to Dst as identity x tile, a weight and a bias as ones x row.
func unpackNormalize(_ command: NormalizeCommand, _ sequence: UInt32) {
  let left = CircularBuffer.left(command.format), right = CircularBuffer.right(command.format)
  let sharesRows = command.parts != 1
  configureSources(
    a: command.format, b: DataFormat.bfloat16,
    out: sharesRows ? DataFormat.float32 : command.outFormat)
  command.forEachBand { band in
    let first = left.first
    for number in 0..<command.sums {
      command.forEachSummand(band) { row, column, columns in
        unpackTile(Unpacker.sourceB, from: Buffer.identity)
        let start = first &+ row * band.columns &+ column
        left.wait(for: start &+ columns &- 1)
        for i in 0..<columns { unpackTile(Unpacker.sourceA, from: left.slot(start &+ i)) }
        finishUnpacking()
      }
      if sharesRows { unpackSums(command, number, sequence) }
    }
    command.forEachGroup(band) { column, row, rows in
      let addends = command.addends, addend = right.first
      if addends != 0 {
        right.wait(for: addend &+ addends &- 1)
        unpackTile(Unpacker.sourceB, from: Buffer.ones)
        for i in 0..<addends { unpackTile(Unpacker.sourceA, from: right.slot(addend &+ i)) }
      }
      unpackTile(Unpacker.sourceB, from: Buffer.identity)
      for current in row..<row + rows {
        unpackTile(
          Unpacker.sourceA, from: left.slot(first &+ current * band.columns &+ column))
      }
      finishUnpacking()
      if row + rows == band.rows { right.pop(addends) }
    }
    left.pop(band.rows * band.columns)
  }
}

/// The sums of all parts to Dst, four at a time, when this tile's own have left it.
private func unpackSums(_ command: NormalizeCommand, _ number: UInt32, _ sequence: UInt32) {
  for part in 0..<command.parts {
    Memory.wait(NormalizeCommand.sent(number, part)) { $0 == sequence }
  }
  configureDst()
  for part in 0..<command.parts {
    if part & 3 == 0 { awaitDst() }
    unpackToDst(part & 3, from: NormalizeCommand.sums(number, of: part))
    if part & 3 == 3 {
      finishUnpacking()
      Thread.push(Tensix.sempost(Semaphore.unpackToMath))
    }
  }
  Thread.drain()
  configureSourceA(command.format)
}

/// x and the tables as themselves x identity, x again as itself x r.
func unpackRotate(_ command: RotateCommand) {
  let left = CircularBuffer.left(command.format), right = CircularBuffer.right(command.format)
  configureSources(a: DataFormat.bfloat16, b: command.format, out: command.outFormat)
  let terms = command.terms, inputs = command.inputs
  command.forEachPlace { _, _ in
    right.wait(for: right.first &+ command.shared &- 1)
    for _ in 0..<command.heads {
      let first = left.first
      var shared = right.first
      left.wait(for: first &+ inputs &- 1)
      for output in 0..<command.outputs {
        for i in 0..<terms + 3 {
          var (a, b) = (Buffer.identity, right.slot(shared))
          if i <= terms {
            if i != 0 { a = b }
            b = left.slot(first &+ RotateCommand.input(i, for: output))
          }
          unpackTile(Unpacker.sourceA, from: a)
          unpackTile(Unpacker.sourceB, from: b)
          if i != 0 { shared &+= 1 }
        }
        finishUnpacking()
      }
      left.pop(inputs)
    }
    right.pop(command.shared)
  }
}
