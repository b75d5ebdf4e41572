// Unpack thread: attention of few rows, and what it has in common with that of many.

/// Registers of the thread: the tiles that were unpacked last to SrcA and SrcB, and how far the next ones are.
private enum Register {
  static var a: UInt32 { 16 }
  static var b: UInt32 { 17 }
  static var aDistance: UInt32 { 18 }
  static var bDistance: UInt32 { 19 }
}

/// The next tile to SrcA, and to SrcB. UNPACR takes an address when it begins: a new one need not wait until it
/// has ended.
var nextA: UInt32 { Tensix.replay(start: 0, count: 5) }
private var nextB: UInt32 { Tensix.replay(start: 5, count: 5) }

func recordNextTiles() {
  Thread.push(Tensix.replayRecord(start: 0, count: 10))
  for unpacker: UInt32 in 0..<2 {
    let register = Register.a + unpacker
    Thread.push(
      Tensix.adddmareg(register, register, Register.aDistance + unpacker))
    Thread.push(Tensix.stallwait(until: Idle.thcon, blocking: Block.configuration))
    Thread.push(Tensix.wrcfg(unpacker == 0 ? 64 : 104, register: register))
    Thread.push(Tensix.nop)
    Thread.push(Tensix.unpacr(unpacker: unpacker))
  }
  Thread.setRegister(Register.bDistance, 2048 >> 4)
}

/// What comes next to SrcA: tiles that are `distance` tiles apart, as was said before.
@inline(never) func set(a address: UInt32, distance: UInt32) {
  Thread.setRegister(Register.a, (address >> 4) - 1 - distance * 128)
}
@inline(never) func set(b address: UInt32) {
  Thread.setRegister(Register.b, (address >> 4) - 1 - 128)
}
@inline(never) func set(distance: UInt32) {
  Thread.setRegister(Register.aDistance, distance * 128)
}
/// A tile to SrcB, then `count` to SrcA.
@inline(never) func unpackNext(_ count: UInt32) {
  Thread.push(nextB)
  for _ in 0..<count { Thread.push(nextA) }
}

func unpackThinAttention(_ command: ThinAttentionCommand, _ sequence: UInt32) {
  let share = ThinAttentionShare(command), bfloat16 = DataFormat.bfloat16
  configureSources(a: bfloat16, b: bfloat16, out: bfloat16)
  recordNextTiles()
  unpackTurns(
    command, command.isTurned ? share.queryPairs(command) + share.keyPairs(command) : 0)
  awaitShared(command, share, sequence)
  guard share.hasUnit else { return }
  let packed = Memory[Control.probabilities] &+ 1
  setTransposed(true)
  let size = ThinAttentionCommand.setSize(of: share.keys)
  var first: UInt32 = 0
  while first < share.keys {
    unpackScores(command, share, first, min(size, share.keys - first))
    first += size
  }
  share.forEachSet { first, count in
    if first + count != share.keys { unpackScores(command, share, first, count) }
  }
  setTransposed(false)
  Memory.wait(Control.probabilities) { $0 == packed }
  unpackColumns(command, share)
  for part in 0..<ThinAttentionCommand.parts {
    Memory.wait(Control.partSent(part)) { $0 == sequence }
  }
  let slots = 2 + command.combinedColumns
  set(distance: slots)
  for number in 0..<slots {
    set(b: Buffer.identity)
    set(a: command.partSlot(0, number), distance: slots)
    unpackNext(ThinAttentionCommand.parts)
  }
  finishUnpacking()
}

/// Pairs of columns and their tables go to Dst.
@inline(never) private func unpackTurns(_ command: ThinAttentionCommand, _ turns: UInt32) {
  guard turns != 0 else { return }
  let left = CircularBuffer.left(DataFormat.bfloat16)
  left.wait(for: left.first &+ (4 * turns - 1))
  set(distance: 1)
  set(a: command.turned(0), distance: 1)
  for turn in 0..<turns {
    set(b: Buffer.identity)
    unpackNext(4)
    if turn & 7 == 7 { finishUnpacking() }
  }
  finishUnpacking()
  left.pop(4 * turns)
}

/// What others send comes to tiles without a unit, too.
@inline(never) private func awaitShared(
  _ command: ThinAttentionCommand, _ share: ThinAttentionShare, _ sequence: UInt32
) {
  for x in 0..<TileGrid.columns {
    Memory.wait(Control.queriesSent(x)) { $0 == sequence }
  }
  for sharer in 0..<share.sharers {
    Memory.wait(Control.keysSent(sharer)) {
      Int32(bitPattern: $0 &- (4 &* sequence &+ 3)) >= 0
    }
  }
  for sharer in 0..<share.turners(command) {
    Memory.wait(Control.turnedSent(sharer)) { $0 == sequence }
  }
}

/// q k^T of some keys: a tile of q stays while those of k pass; then the identity while their masks do.
@inline(never) private func unpackScores(
  _ command: ThinAttentionCommand, _ share: ThinAttentionShare, _ first: UInt32, _ count: UInt32
) {
  let columns = command.headColumns
  set(distance: columns)
  set(b: command.query(share.unit, 0))
  for column in 0..<columns {
    set(a: command.key(first, column), distance: columns)
    unpackNext(count)
    if column & 7 == 7 { finishUnpacking() }
  }
  if command.mask != 0 {
    let row = command.maskRows == 1 ? 0 : share.row
    set(distance: command.maskRows)
    set(b: Buffer.identity)
    set(a: share.mask(command, first) + 2048 * row, distance: command.maskRows)
    unpackNext(count)
  }
  finishUnpacking()
}

/// p times ones, then p v, four columns at a time.
@inline(never) private func unpackColumns(
  _ command: ThinAttentionCommand, _ share: ThinAttentionShare
) {
  set(distance: 1)
  var column: UInt32 = 0
  while column <= command.headColumns {
    let count = min(4, command.headColumns + 1 - column)
    set(b: Buffer.probabilities(0))
    for key in 0..<share.keys {
      if column == 0 {
        set(a: Buffer.allOnes, distance: 1)
        unpackNext(1)
        set(a: share.value(command, key, 0), distance: 1)
        for _ in 1..<count { Thread.push(nextA) }
      } else {
        set(a: share.value(command, key, column - 1), distance: 1)
        unpackNext(count)
      }
      if key & 7 == 7 { finishUnpacking() }
    }
    finishUnpacking()
    column += count
  }
}
