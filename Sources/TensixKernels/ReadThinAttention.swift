// NCRISC: keys, values and queries of attention of few rows. Each tile is read from DRAM once, by one of those that
// need it, and multicast to the others.

/// Transactions of this tile's reads.
extension Transaction {
  fileprivate static var keys: UInt32 { 11 }
  fileprivate static var values: UInt32 { 12 }
  fileprivate static var queries: UInt32 { 13 }
  fileprivate static var second: UInt32 { 14 }
}

/// Tiles that follow one another in DRAM and in L1, shared by those of a part.
private struct SharedTiles {
  let base: UInt32
  let page: UInt32
  let count: UInt32
  let slot: UInt32

  /// Asks for this tile's.
  @inline(never) func request(_ share: ThinAttentionShare, _ transaction: UInt32) {
    NoC.reading.tag(transaction)
    var number = share.sharer
    while number < count {
      fetch(base, page: page + number, to: slot + 2048 * number)
      number += share.sharers
    }
    NoC.reading.tag(0)
  }

  /// Sends them to the others.
  @inline(never) func send(_ share: ThinAttentionShare, _ rectangle: UInt32) {
    var number = share.sharer
    while number < count {
      multicast(slot + 2048 * number, bytes: 2048, rectangle)
      number += share.sharers
    }
  }
}

@inline(never) private func fetch(_ base: UInt32, page: UInt32, to slot: UInt32) {
  request(base: base, page: page, bytes: 2048, to: slot)
}

@inline(never) private func multicast(_ address: UInt32, bytes: UInt32, _ rectangle: UInt32) {
  NoC.sharing.multicast(address, to: address, bytes: bytes, rectangle: rectangle)
}

/// Behind what was multicast before, where there is something to tell.
@inline(never) private func announce(_ line: UInt32, _ value: UInt32, _ rectangle: UInt32) {
  guard line != 0 else { return }
  Memory[line] = value
  Memory.settle(line)
  multicast(line, bytes: 4, rectangle)
}

func readThinAttention(
  _ command: ThinAttentionCommand, _ sequence: UInt32, _ weights: inout WeightStream
) {
  let share = ThinAttentionShare(command), columns = command.headColumns
  let first = share.y * TileGrid.columns + share.part * ThinAttentionCommand.partColumns
  let partRectangle = NoC.sharing.columns(
    of: Memory[Buffer.tiles + 4 * first],
    to: Memory[Buffer.tiles + 4 * (first + ThinAttentionCommand.partColumns - 1)])
  let line = share.sharer < share.sharers ? Control.keysSent(share.sharer) : 0
  let cachedTiles = share.cached * columns
  if !mayReadAhead(command, before: sequence) { weights.advance(untilReleased: sequence) }

  let page = share.firstKey * columns
  let keys = SharedTiles(
    base: command.firstK, page: page, count: cachedTiles, slot: command.key(0, 0))
  let masks = SharedTiles(
    base: command.mask, page: share.firstKey * command.maskRows,
    count: command.mask == 0 ? 0 : share.keys * command.maskRows, slot: share.mask(command, 0))
  let values = SharedTiles(
    base: command.firstV, page: page, count: cachedTiles, slot: share.value(command, 0, 0))
  keys.request(share, Transaction.keys)
  masks.request(share, Transaction.keys)
  values.request(share, Transaction.values)
  weights.advance(untilDone: Transaction.keys)
  keys.send(share, partRectangle)
  masks.send(share, partRectangle)
  announce(line, 4 &* sequence &+ 1, partRectangle)
  weights.advance(untilDone: Transaction.values)
  values.send(share, partRectangle)
  announce(line, 4 &* sequence &+ 2, partRectangle)

  weights.advance(untilReleased: sequence)
  requestPairs(command, share)
  let own = (share.keys - share.cached) * columns
  let ownPage = (share.firstKey + share.cached) * columns - command.firstKeys * columns
  let ownValues = SharedTiles(
    base: command.secondV, page: ownPage, count: own,
    slot: share.value(command, share.cached, 0))
  let ownKeys = SharedTiles(
    base: command.secondK, page: ownPage, count: command.isTurned ? 0 : own,
    slot: command.key(share.cached, 0))
  ownKeys.request(share, Transaction.second)
  ownValues.request(share, Transaction.second)
  weights.advance(untilDone: Transaction.queries)
  let turns = command.isTurned ? share.queryPairs(command) + share.keyPairs(command) : 0
  let turned = Memory[Control.turned]
  CircularBuffer.left(DataFormat.bfloat16).push(4 * turns)
  if turns == 0 { sendPairs(command, share, sequence, partRectangle, after: turned, &weights) }
  weights.advance(untilDone: Transaction.second)
  ownKeys.send(share, partRectangle)
  ownValues.send(share, partRectangle)
  announce(line, 4 &* sequence &+ 3, partRectangle)
  if turns != 0 { sendPairs(command, share, sequence, partRectangle, after: turned, &weights) }
}

/// The first segment, and the masks, are there, and their places are free in all tiles: a thin product
/// that is still at work uses neither.
@inline(never)
private func mayReadAhead(_ command: ThinAttentionCommand, before sequence: UInt32) -> Bool {
  guard operation(of: sequence &- 1) == Operation.thinProduct else { return false }
  let product = ThinProductCommand(sequence &- 1)
  let addends = product.addends * product.columns
  guard
    product.activations + addends < Buffer.leftDepth - ThinAttentionCommand.sharedTiles
  else { return false }
  @inline(__always) func writes(_ address: UInt32) -> Bool {
    address == product.out || address == product.secondOut || address == product.thirdOut
  }
  return !writes(command.firstK) && !writes(command.firstV)
}

/// Both columns of each pair to where they are turned, with their tables; or to their places.
@inline(never)
private func requestPairs(_ command: ThinAttentionCommand, _ share: ThinAttentionShare) {
  NoC.reading.tag(Transaction.queries)
  let columns = command.headColumns, distance = command.pairs
  for number in 0..<share.queryPairs(command) + share.keyPairs(command) {
    let pair = share.pair(command, number)
    let base = pair.isKey ? command.secondK : command.q
    let page = pair.row * (pair.isKey ? columns : command.stride) + pair.head * columns
    var first = pair.place, second = pair.place + 2048 * distance
    if command.isTurned {
      first = command.turned(number)
      second = first + 2048
      let table = pair.row * columns + pair.column
      fetch(command.cosine, page: table, to: first + 4096)
      fetch(command.sine, page: table, to: first + 6144)
    }
    fetch(base, page: page + pair.column, to: first)
    fetch(base, page: page + pair.column + distance, to: second)
  }
  NoC.reading.tag(0)
}

/// Each pair when it is in its place: a query to the row of the grid, keys to the part.
@inline(never)
private func sendPairs(
  _ command: ThinAttentionCommand, _ share: ThinAttentionShare, _ sequence: UInt32,
  _ partRectangle: UInt32, after turned: UInt32, _ weights: inout WeightStream
) {
  let rowRectangle = NoC.sharing.row(of: Memory[Buffer.tiles + 4 * Memory[Control.tileIndex]])
  let queries = share.queryPairs(command), keys = share.keyPairs(command)
  @inline(never) func send(_ number: UInt32, _ rectangle: UInt32) {
    while command.isTurned && Memory[Control.turned] &- turned <= number { weights.advance() }
    let place = share.pair(command, number).place
    multicast(place, bytes: 2048, rectangle)
    multicast(place + 2048 * command.pairs, bytes: 2048, rectangle)
  }
  for number in 0..<queries { send(number, rowRectangle) }
  announce(Control.queriesSent(share.x), sequence, rowRectangle)
  guard keys != 0 else { return }
  for number in queries..<queries + keys { send(number, partRectangle) }
  announce(Control.turnedSent(share.sharer), sequence, partRectangle)
}
