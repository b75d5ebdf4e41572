// Pack thread: a grid product. The vector unit works for this thread, on one half of Dst, while the matrix
// unit is at work on the other.

func packGrid(_ command: GridProductCommand) {
  let share = GridShare(command)
  guard !share.isEmpty else { return }
  var packsResults = command.chunks == 1
  configurePackers(packsResults ? command.outFormat : DataFormat.float32)
  if command.activation != ActivationCode.none {
    setAddressMode(3, sources: 0, destination: 0)
    Thread.push(Tensix.setrwcZero())
    setGateConstants(command.activation)
    Thread.drain()
  }
  var half: UInt32 = 0
  share.forEachBlock(command) { block in
    Thread.push(
      Tensix.semwaitWhileZero(
        Semaphore.mathToPack, blocking: Block.tdma | Block.vector))
    if block.endsSum {
      if !packsResults {
        packsResults = true
        takeFromDst(command.outFormat)
      }
      finishBlock(command, columns: block.columns, from: 4 * half)
      for column in 0..<block.columns { packTile(4 * half + column, command.outFormat) }
    } else {
      for tile in 0..<command.accumulators(block) {
        packTile(
          4 * half + tile, to: command.partialSum(share, block, tile), DataFormat.float32)
      }
    }
    release()
    half ^= 1
  }
}

/// The packers have left partial sums, in fp32, and go on to results.
private func takeFromDst(_ format: UInt32) {
  guard format == DataFormat.bfloat16 else { return }
  Thread.push(Tensix.stallwait(until: Idle.packers, blocking: Block.configuration))
  Thread.push(Tensix.setUpperByte(1, format << 1, mask: 0x1E))
  Thread.drain()
  configurePackers(format)
}

/// The activation, and the product with the second half of the accumulators.
@inline(never)
private func finishBlock(_ command: GridProductCommand, columns: UInt32, from first: UInt32) {
  guard command.activation != ActivationCode.none else { return }
  Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.vector))
  for column in 0..<columns {
    selectDst(first + column)
    for step: UInt32 in 0..<16 {
      if step & 3 == 0 { Thread.drain() }
      if command.isGated {
        gate(row: 4 * step, gelu: true, factor: 64 * columns)
      } else {
        gate(row: 4 * step, gelu: command.activation == ActivationCode.gelu)
      }
    }
  }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.tdma))
  Thread.drain()
}
