// Pack thread: a grid product. The vector unit works for this thread, on one half of Dst, while the matrix
// unit is at work on the other.

func packGrid(_ command: GridProductCommand) {
  let share = GridShare(command)
  guard !share.isEmpty else { return }
  var packsResults = command.chunks == 1
  configurePackers(packsResults ? command.outFormat : DataFormat.float32)
  beginActivation(command.activation)
  var half: UInt32 = 0
  share.forEachBlock(command) { block in
    awaitMathForVector()
    if block.endsSum {
      if !packsResults {
        packsResults = true
        takeFromDst(command.outFormat)
      }
      activate(
        command.activation, isGated: command.isGated, tiles: block.columns, from: 4 * half)
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

@inline(__always) func awaitMathForVector() {
  Thread.push(
    Tensix.semwaitWhileZero(Semaphore.mathToPack, blocking: Block.tdma | Block.vector))
}

/// The packers have left partial sums, in fp32, and go on to results.
private func takeFromDst(_ format: UInt32) {
  guard format == DataFormat.bfloat16 else { return }
  Thread.push(Tensix.stallwait(until: Idle.packers, blocking: Block.configuration))
  Thread.push(Tensix.setUpperByte(1, format << 1, mask: 0x1E))
  Thread.drain()
  configurePackers(format)
}

/// What the vector unit needs of an activation.
@inline(never) func beginActivation(_ activation: UInt32) {
  guard activation != ActivationCode.none else { return }
  setAddressMode(3, sources: 0, destination: 0)
  Thread.push(Tensix.setrwcZero())
  setGateConstants(activation)
  Thread.drain()
}

/// The activation of some tiles of Dst, and their product with as many tiles behind them.
@inline(never)
func activate(_ activation: UInt32, isGated: Bool, tiles: UInt32, from first: UInt32) {
  guard activation != ActivationCode.none else { return }
  Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.vector))
  for tile in 0..<tiles {
    selectDst(first + tile)
    for step: UInt32 in 0..<16 {
      if step & 3 == 0 { Thread.drain() }
      if isGated {
        gate(row: 4 * step, gelu: true, factor: 64 * tiles)
      } else {
        gate(row: 4 * step, gelu: activation == ActivationCode.gelu)
      }
    }
  }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.tdma))
  Thread.drain()
}
