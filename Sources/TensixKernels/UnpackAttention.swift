// Unpack thread: attention.

/// What the left buffer counts: for each unit its query, and where they come with it keys and values.
private struct Arrivals {
  /// The next tile that nobody has asked for.
  private var next = CircularBuffer.left(DataFormat.bfloat16).first
  /// The first keys of a group with an even number, and of one with an odd number.
  private var firstKeys: (UInt32, UInt32) = (0, 0)
  /// Of two neighbouring units the groups, and all tiles that came with them.
  private var groups: (UInt32, UInt32) = (0, 0)
  private var sizes: (UInt32, UInt32) = (0, 0)

  /// Goes on to the next unit, and waits for its query.
  @inline(never)
  mutating func begin(_ command: AttentionCommand, _ share: AttentionShare, _ unit: UInt32) {
    let first = next
    next &+= share.queryTiles(unit, command)
    // It may have come with the unit before.
    if next != first { CircularBuffer.left(DataFormat.bfloat16).wait(for: next &- 1) }
    let loaded = share.groupsToLoad(unit, command), group = share.unit(unit, command).group
    // Of shared ones all come at once, and this is the first of them.
    if loaded.count != 0 {
      if loaded.first & 1 == 0 { firstKeys.0 = next } else { firstKeys.1 = next }
      next &+= loaded.count * command.keyTiles
    }
    if unit & 1 == 0 {
      (groups.0, sizes.0) = (group, next &- first)
    } else {
      (groups.1, sizes.1) = (group, next &- first)
    }
  }

  @inline(__always) func group(_ unit: UInt32) -> UInt32 { unit & 1 == 0 ? groups.0 : groups.1 }

  /// Gives back what came with the unit, which may be more than it needs.
  @inline(never) func end(_ unit: UInt32) {
    let left = CircularBuffer.left(DataFormat.bfloat16)
    let size = unit & 1 == 0 ? sizes.0 : sizes.1
    guard size != 0 else { return }
    left.wait(for: left.first &+ size &- 1)
    left.pop(size)
  }

  /// The number of the first tile of a group's keys, which its values follow.
  @inline(__always) func firstKey(of group: UInt32, _ command: AttentionCommand) -> UInt32 {
    if command.sharers != 0 { return firstKeys.0 &+ group * command.keyTiles }
    return group & 1 == 0 ? firstKeys.0 : firstKeys.1
  }
}

func unpackAttention(_ command: AttentionCommand) {
  configureSources(
    a: DataFormat.bfloat16, b: DataFormat.bfloat16, out: DataFormat.bfloat16)
  recordNextTiles()
  let share = AttentionShare(command)
  var turns = AttentionTurns(command, share), arrivals = Arrivals(), verdicts = Verdicts()
  var isTransposed = false
  while turns.advance(past: &verdicts) {
    let isScores = turns.kind != .values
    if isTransposed != isScores {
      finishUnpacking()
      setTransposed(isScores)
      isTransposed = isScores
    }
    if turns.kind == .scores && turns.first == 0 { arrivals.begin(command, share, turns.unit) }
    let group = arrivals.group(turns.unit), key = arrivals.firstKey(of: group, command)
    if isScores {
      CircularBuffer.left(DataFormat.bfloat16)
        .wait(for: key &+ (turns.first + turns.count) * command.headColumns &- 1)
      unpackScores(
        command, turns.count, query: command.querySlot(turns.unit, 0),
        key: command.keySlot(group % command.keyPlaces, turns.first, 0),
        mask: command.maskSlot(turns.first))
    } else {
      unpackValues(
        command, turns.count, hasSums: turns.first == 0,
        probabilities: command.probabilitySlot(turns.unit, 0),
        value: command.valueSlot(group % command.keyPlaces, 0, turns.first),
        after: key &+ command.keyTiles / 2)
      if turns.endsUnit {
        finishUnpacking()
        arrivals.end(turns.unit)
      }
    }
  }
  finishUnpacking()
}

/// q k^T of `count` tiles of keys: a tile of q stays while those of k pass; then the identity while their masks do.
@inline(never) private func unpackScores(
  _ command: AttentionCommand, _ count: UInt32, query: UInt32, key: UInt32, mask: UInt32
) {
  let columns = command.headColumns
  set(distance: columns)
  for column in 0..<columns {
    set(b: query + 2048 * column)
    set(a: key + 2048 * column, distance: columns)
    unpackNext(count)
    if column & 7 == 7 { Thread.drain() }
  }
  if command.mask != 0 {
    set(distance: 1)
    set(b: Buffer.identity)
    set(a: mask, distance: 1)
    unpackNext(count)
  }
  Thread.drain()
}

/// p v of `count` columns of v, before them if wanted p's sums. The values come behind tile number `start`.
@inline(never) private func unpackValues(
  _ command: AttentionCommand, _ count: UInt32, hasSums: Bool, probabilities: UInt32,
  value: UInt32, after start: UInt32
) {
  let columns = command.headColumns
  set(distance: 1)
  for key in 0..<command.keys {
    CircularBuffer.left(DataFormat.bfloat16).wait(for: start &+ (key + 1) * columns &- 1)
    set(b: probabilities + 2048 * key)
    unpackNext(0)
    if hasSums {
      set(a: Buffer.allOnes, distance: 1)
      Thread.push(nextA)
    }
    set(a: value + 2048 * key * columns, distance: 1)
    for _ in 0..<count { Thread.push(nextA) }
    if key & 7 == 7 { Thread.drain() }
  }
  Thread.drain()
}
