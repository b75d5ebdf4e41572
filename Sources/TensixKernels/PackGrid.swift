// Pack thread: a grid product. The vector unit works for this thread, on one half of Dst, while the matrix
// unit is at work on the other.

func packGrid(_ command: GridProductCommand) {
  let share = GridShare(command)
  guard !share.isEmpty else { return }
  var packsResults = command.chunks == 1
  configurePackers(packsResults ? command.outFormat : DataFormat.float32)
  var activation = PackedActivation(command.activation, isGated: command.isGated)
  var half: UInt32 = 0
  share.forEachBlock(command) { block in
    awaitMathForVector()
    if block.endsSum {
      if !packsResults {
        packsResults = true
        takeFromDst(command.outFormat)
      }
      activation.apply(tiles: block.columns, from: 4 * half)
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

/// The packers have left sums in fp32, and go on to results.
func takeFromDst(_ format: UInt32) {
  guard format == DataFormat.bfloat16 else { return }
  Thread.push(Tensix.stallwait(until: Idle.packers, blocking: Block.configuration))
  Thread.push(Tensix.setUpperByte(1, format << 1, mask: 0x1E))
  Thread.drain()
  configurePackers(format)
}

/// An activation that the vector unit computes for this thread.
struct PackedActivation {
  private let code: UInt32
  private let isGated: Bool
  /// Of the rows behind a tile where its factor begins.
  private var factor: UInt32 = .max
  private var routine: Routine?

  @inline(never) init(_ code: UInt32, isGated: Bool) {
    self.code = code
    self.isGated = isGated
    guard code != ActivationCode.none else { return }
    setAddressMode(3, sources: 0, destination: 0)
    setAddressMode(2, sources: 0, destination: 4)
    setGateConstants(code)
    Thread.drain()
  }

  /// The activation of some tiles of Dst, and where it is gated their product with as many tiles behind them.
  @inline(never) mutating func apply(tiles: UInt32, from first: UInt32) {
    guard code != ActivationCode.none else { return }
    let behind = isGated ? 64 * tiles : 0
    if factor != behind {
      factor = behind
      routine = gateRoutine(code, factor: behind, advances: true)
    }
    guard let routine else { return }
    Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.vector))
    // The row counter goes through the tiles: setting where they begin takes turns with the other threads.
    Thread.push(Tensix.setrwcZero())
    selectDst(first)
    for _ in 0..<16 * tiles { routine() }
    Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.tdma))
    Thread.drain()
  }
}
