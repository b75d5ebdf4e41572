// Unpack thread: attention of few rows.

func unpackThinAttention(_ command: ThinAttentionCommand, _ sequence: UInt32) {
  let share = ThinAttentionShare(command), bfloat16 = DataFormat.bfloat16
  configureSources(a: bfloat16, b: bfloat16, out: bfloat16)
  unpackTurns(
    command, command.isTurned ? share.queryPairs(command) + share.keyPairs(command) : 0)
  awaitShared(command, share, sequence)
  guard share.hasUnit else { return }
  let packed = Memory[Control.probabilities] &+ 1
  setTransposed(true)
  let chunks = KeyChunks(keys: share.keys)
  chunks.forEach { unpackScores(command, share, $0, $1) }
  if !chunks.isOne { chunks.forEach { unpackScores(command, share, $0, $1) } }
  setTransposed(false)
  Memory.wait(Control.probabilities) { $0 == packed }
  unpackColumns(command, share)
  for part in 0..<ThinAttentionCommand.parts {
    Memory.wait(Control.partSent(part)) { $0 == sequence }
  }
  for number in 0..<2 + command.combinedColumns {
    unpackTile(Unpacker.sourceB, from: Buffer.identity)
    for part in 0..<ThinAttentionCommand.parts {
      unpackTile(Unpacker.sourceA, from: command.partSlot(part, number))
    }
    finishUnpacking()
  }
}

/// Pairs of columns and their tables go to Dst.
@inline(never) private func unpackTurns(_ command: ThinAttentionCommand, _ turns: UInt32) {
  guard turns != 0 else { return }
  let left = CircularBuffer.left(DataFormat.bfloat16)
  left.wait(for: left.first &+ (4 * turns - 1))
  for turn in 0..<turns {
    unpackTile(Unpacker.sourceB, from: Buffer.identity)
    for i: UInt32 in 0..<4 {
      unpackTile(Unpacker.sourceA, from: command.turned(turn) + 2048 * i)
    }
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

/// q k^T: a tile of q stays while those of k pass; then the identity while their masks do.
@inline(never) private func unpackScores(
  _ command: ThinAttentionCommand, _ share: ThinAttentionShare, _ first: UInt32, _ count: UInt32
) {
  for column in 0..<command.headColumns {
    unpackTile(Unpacker.sourceB, from: command.query(share.unit, column))
    for key in first..<first + count {
      unpackTile(Unpacker.sourceA, from: command.key(key, column))
    }
    finishUnpacking()
  }
  guard command.mask != 0 else { return }
  let row = command.maskRows == 1 ? 0 : share.row
  unpackTile(Unpacker.sourceB, from: Buffer.identity)
  for key in first..<first + count {
    unpackTile(Unpacker.sourceA, from: share.mask(command, key) + 2048 * row)
  }
  finishUnpacking()
}

/// p times ones, then p v, four columns at a time.
@inline(never) private func unpackColumns(
  _ command: ThinAttentionCommand, _ share: ThinAttentionShare
) {
  var column: UInt32 = 0
  while column <= command.headColumns {
    let end = min(column + 4, command.headColumns + 1)
    for key in 0..<share.keys {
      unpackTile(Unpacker.sourceB, from: Buffer.probabilities(key))
      for c in column..<end {
        unpackTile(
          Unpacker.sourceA,
          from: c == 0 ? Buffer.allOnes : share.value(command, key, c - 1))
      }
    }
    finishUnpacking()
    column = end
  }
}
