// Math thread: two tiles, element by element.

func combineElements(_ command: MatrixCommand) {
  if command.isExact { return combineExactly(command) }
  let routine = gateRoutine(command.activation)
  recordElements(multiplies: command.multiplies, broadcast: command.broadcast)
  programLoop(
    Replay.elements, phases: command.multiplies ? command.phases : 1, release: 3)
  setElementModes(broadcast: command.broadcast, multiplies: command.multiplies)
  var half: UInt32 = 0
  command.forEachBlock { _ in
    begin(half: half)
    selectDst(4 * half)
    Thread.push(Tensix.mop())
    if command.activation != ActivationCode.none {
      activate(command.activation, routine, tiles: 1, from: 4 * half)
      setElementModes(broadcast: command.broadcast, multiplies: command.multiplies)
    }
    finish()
    half ^= 1
  }
}

/// Eight instructions of eight rows; after which of them SrcB goes back depends on the broadcast.
func recordElements(multiplies: Bool, broadcast: UInt32) {
  Thread.push(Tensix.replayRecord(start: 16, count: 8))
  let returns = broadcast == BroadcastCode.row || broadcast == BroadcastCode.column
  for i: UInt32 in 0..<8 {
    let mode: UInt32 =
      i == 7 ? 1 : returns && i & 1 == 1 ? (i == 3 ? 3 : 2) : 0
    Thread.push(
      multiplies
        ? Tensix.elwmul(addressMode: mode, broadcast: broadcast)
        : Tensix.elwadd(addressMode: mode, broadcast: broadcast))
  }
  Thread.drain()
}

func setElementModes(broadcast: UInt32, multiplies: Bool) {
  // Rows of SrcB before the eight instructions: 0 8 .. 56, for a column 0 8 0 8 32 40 32 40, for a
  // row 0 0 16 16 0 0 16 16, for one value 0.
  let advances = broadcast == BroadcastCode.none || broadcast == BroadcastCode.column
  let step = Move.a(8) | (advances ? Move.b(8) : 0)
  setAddressMode(0, sources: step, destination: 8)
  setAddressMode(
    1, sources: Move.bClear | Move.aClear,
    destination: Move.dstClear | (multiplies ? Move.nextPhase : 0))
  if broadcast == BroadcastCode.column {
    setAddressMode(2, sources: Move.a(8) | Move.bReturn, destination: 8)
    setAddressMode(3, sources: Move.a(8) | Move.bReturn | Move.b(32), destination: 8)
  } else {
    setAddressMode(2, sources: Move.a(8) | Move.bReturn | Move.b(16), destination: 8)
    setAddressMode(3, sources: Move.a(8) | Move.bClear, destination: 8)
  }
}
