// NCRISC: what normalize, rotate and attention need from DRAM.

/// Tiles on their way, not too many at a time.
struct TileRequests {
  private var awaited = NoC.reading.readsDone
  private var pending: UInt32 = 0

  init() {}

  mutating func add(base: UInt32, page: UInt32, bytes: UInt32, to slot: UInt32) {
    request(base: base, page: page, bytes: bytes, to: slot)
    awaited &+= 1
    pending += 1
    if pending == 64 { wait() }
  }

  mutating func wait() {
    NoC.reading.awaitReads(awaited)
    pending = 0
  }
}

/// Values, then the columns' weights and biases, and meanwhile sums to and from those who share the rows.
func readNormalize(_ command: NormalizeCommand, _ sequence: UInt32) {
  let right = CircularBuffer.right(command.format)
  let bytes = DataFormat.tileBytes(command.format), addends = command.addends
  let packed = Memory[Control.probabilities]
  command.forEachBand { band in
    readBand(command, band)
    var column: UInt32 = 0
    while column < band.columns {
      let end = min(column + 16, band.columns)
      var slot = right.reserve((end - column) * addends)
      var requests = TileRequests()
      func add(_ base: UInt32, _ column: UInt32) {
        guard base != 0 else { return }
        requests.add(
          base: base, page: band.column + column, bytes: bytes, to: right.slot(slot))
        slot &+= 1
      }
      for current in column..<end {
        add(command.weight, current)
        add(command.bias, current)
      }
      if column == 0 && command.parts != 1 {
        for number in 0..<command.sums {
          Memory.wait(Control.probabilities) { $0 == packed &+ number &+ 1 }
          sendSums(number, band.part, sequence)
        }
      }
      requests.wait()
      right.push((end - column) * addends)
      column = end
    }
  }
  while !NoC.sharing.hasSent(4) {}
}

/// Eight tiles have a transaction of their own, of eight.
private func readBand(_ command: NormalizeCommand, _ band: NormalizeBand) {
  let left = CircularBuffer.left(command.format)
  let bytes = DataFormat.tileBytes(command.format), count = band.rows * band.columns
  var asked: UInt32 = 0, come: UInt32 = 0
  var row = band.row, column: UInt32 = 0
  while come < count {
    let more = min(8, count - asked)
    if more != 0, asked - come < 64, left.hasRoom(asked - come + more) {
      NoC.reading.tag(1 + asked >> 3 & 7)
      for _ in 0..<more {
        request(
          base: command.a, page: row * command.aStride + band.column + column, bytes: bytes,
          to: left.slot(left.next &+ asked - come))
        asked += 1
        column += 1
        if column == band.columns { (row, column) = (row + 1, 0) }
      }
    } else if NoC.reading.isDone(1 + come >> 3 & 7) {
      let those = min(8, count - come)
      left.push(those)
      come += those
    }
  }
  NoC.reading.tag(0)
}

/// This tile's sums to the others of its row of the grid.
private func sendSums(_ number: UInt32, _ part: UInt32, _ sequence: UInt32) {
  let noc = NoC.sharing
  let rectangle = noc.row(of: Memory[Buffer.tiles + 4 * Memory[Control.tileIndex]])
  let sums = NormalizeCommand.sums(number, of: part), line = NormalizeCommand.sent(number, part)
  noc.tag(4)
  noc.multicast(sums, to: sums, bytes: 4096, rectangle: rectangle)
  Memory[line] = sequence
  Memory.settle(line)
  noc.multicast(line, to: line, bytes: 4, rectangle: rectangle)
}

func readRotate(_ command: RotateCommand) {
  let left = CircularBuffer.left(command.format), right = CircularBuffer.right(command.format)
  let bytes = DataFormat.tileBytes(command.format)
  let terms = command.terms, columns = command.headColumns
  command.forEachPlace { row, column in
    var requests = TileRequests()
    var shared = right.reserve(command.shared)
    func share(_ base: UInt32, _ page: UInt32, bytes: UInt32) {
      requests.add(base: base, page: page, bytes: bytes, to: right.slot(shared))
      shared &+= 1
    }
    for output in 0..<command.outputs {
      let column = column + output * command.places
      for term in 0..<terms {
        share(command.r, command.source(term, for: column) * columns + column, bytes: 2048)
      }
      let table = row % command.tableRows * columns + column
      share(command.cosine, table, bytes: bytes)
      share(command.sine, table, bytes: bytes)
    }
    var head: UInt32 = 0
    while head < command.heads {
      let count = min(RotateCommand.headsAtOnce, command.heads - head)
      var slot = left.reserve(count * command.inputs)
      func add(_ column: UInt32) {
        requests.add(
          base: command.a, page: row * command.aStride + head * columns + column, bytes: bytes,
          to: left.slot(slot))
        slot &+= 1
      }
      for _ in 0..<count {
        add(column)
        for term in 0..<terms { add(command.source(term, for: column)) }
        head += 1
      }
      requests.wait()
      if head == count { right.push(command.shared) }
      left.push(count * command.inputs)
    }
  }
}

/// Tiles for the left buffer, which come in the order in which they are asked for. Eight of them have a transaction
/// of their own, of eight.
private struct TileStream {
  private let left = CircularBuffer.left(DataFormat.bfloat16)
  private var asked: UInt32 = 0
  private var come: UInt32 = 0
  /// Four bits for each of the eight: how many of its tiles the left buffer counts.
  private var counted: UInt32 = 0

  /// `count`: 1 where the left buffer counts the tile, or 0.
  @inline(never) mutating func add(
    base: UInt32, page: UInt32, to slot: UInt32, count: UInt32 = 1
  ) {
    let place = asked >> 1 & 28
    if asked & 7 == 0 {
      while asked - come == 64 || (asked != come && isNextHere) { take() }
      NoC.reading.tag(1 + asked >> 3 & 7)
      counted &= ~(15 << place)
    }
    request(base: base, page: page, bytes: 2048, to: slot)
    asked += 1
    counted += count << place
  }

  private var isNextHere: Bool { NoC.reading.isDone(1 + come >> 3 & 7) }

  private mutating func take() {
    while !isNextHere {}
    left.push(counted >> (come >> 1 & 28) & 15)
    come += min(8, asked - come)
  }

  /// Waits for all.
  @inline(never) mutating func finish() {
    while come != asked { take() }
    (asked, come) = (0, 0)
    NoC.reading.tag(0)
  }
}

/// Keys and values stay for all units that share them; the next queries and what comes with them are brought while the
/// tile is at work on a unit.
func readAttention(_ command: AttentionCommand, _ sequence: UInt32) {
  let share = AttentionShare(command), places = command.queryPlaces
  let shared = SharedKeys(command, share)
  var stream = TileStream()
  /// All tiles that have come with the units so far, and those that came with the last four.
  var come: UInt32 = 0, sizes: (UInt32, UInt32, UInt32, UInt32) = (0, 0, 0, 0)
  let start = CircularBuffer.left(DataFormat.bfloat16).first
  // Masks are in the right buffer, which is no ring here: what was there before is used up.
  if command.mask != 0 { Memory.wait(Control.rightPopped) { $0 == Memory[Control.rightPushed] } }
  for number in 0..<share.count {
    let groups = share.groupsToLoad(number, command)
    // What has the place of the query is done with, and of keys or a mask.
    var needed = start &+ come
    if command.sharesMask && (groups.count == 0 || command.keyPlaces != 1) {
      needed &-= sizes.0
      if groups.count == 0 && places == 4 { needed &-= sizes.1 &+ sizes.2 }
    }
    if Int32(bitPattern: Memory[Control.leftPopped] &- needed) < 0 {
      stream.finish()
      Memory.wait(Control.leftPopped) { Int32(bitPattern: $0 &- needed) >= 0 }
    }
    // Masks are not counted: they are there when what comes behind them is.
    if command.sharers == 0 || !command.sharesMask {
      requestMask(command, share, number, &stream)
    }
    for query in 0..<share.queries(number, command) {
      requestQuery(command, share, number + query, &stream)
    }
    if command.sharers == 0 {
      for group in groups.first..<groups.first + groups.count {
        requestKeys(command, share, group, &stream)
      }
    } else if number == 0 {
      shared.ask(command, share)
      stream.finish()
      shared.send(command, share, sequence)
    }
    let size = share.queryTiles(number, command) + groups.count * command.keyTiles
    come += size
    sizes = (size, sizes.0, sizes.1, sizes.2)
  }
  stream.finish()
  if command.sharers != 0 && share.count == 0 {
    shared.ask(command, share)
    shared.send(command, share, sequence)
  }
  // What comes next may go to the masks' place.
  if command.mask != 0 { Memory.wait(Control.leftPopped) { $0 == Memory[Control.leftPushed] } }
}

@inline(never)
private func requestQuery(
  _ command: AttentionCommand, _ share: AttentionShare, _ number: UInt32, _ stream: inout TileStream
) {
  let page = command.queryPage(share.unit(number, command), column: 0)
  let slot = command.querySlot(number, 0)
  for column in 0..<command.headColumns {
    stream.add(base: command.q, page: page + column, to: slot + 2048 * column)
  }
}

@inline(never)
private func requestMask(
  _ command: AttentionCommand, _ share: AttentionShare, _ number: UInt32, _ stream: inout TileStream
) {
  guard command.mask != 0, number == 0 || !command.sharesMask else { return }
  let row = share.unit(number, command).row % command.maskRows
  for key in 0..<command.keys {
    stream.add(
      base: command.mask, page: key * command.maskRows + row, to: command.maskSlot(key), count: 0)
  }
}

/// Where the tiles of a group's keys, which its values follow, are in DRAM.
private struct KeyPages {
  private let command: AttentionCommand
  /// Of the first key in each segment, if all keys stood in it.
  private let first: UInt32
  private let second: UInt32

  @inline(never) init(_ command: AttentionCommand, _ group: UInt32) {
    self.command = command
    let groups = command.heads / command.groupHeads
    let item = group / groups, column = group % groups * command.headColumns
    first = item * command.firstKeys * command.keyStride + column
    second = (item * command.secondKeys &- command.firstKeys) &* command.keyStride &+ column
  }

  @inline(never) func place(_ tile: UInt32) -> (base: UInt32, page: UInt32) {
    let isValue = tile >= command.keyTiles / 2
    var key = tile / command.headColumns
    let column = tile - key * command.headColumns
    if isValue { key -= command.keys }
    let isFirst = key < command.firstKeys
    return (
      isValue
        ? (isFirst ? command.firstV : command.secondV)
        : (isFirst ? command.firstK : command.secondK),
      (isFirst ? first : second) &+ key * command.keyStride &+ column
    )
  }
}

@inline(never) private func requestKeys(
  _ command: AttentionCommand, _ share: AttentionShare, _ group: UInt32, _ stream: inout TileStream
) {
  let slot = command.keySlot(group % command.keyPlaces, 0, 0)
  let pages = KeyPages(command, share.firstGroup + group)
  for tile in 0..<command.keyTiles {
    let (base, page) = pages.place(tile)
    stream.add(base: base, page: page, to: slot + 2048 * tile)
  }
}

/// A mask, keys and values that tiles share: they come to all of them, each by one of them. A member brings each
/// `members`-th tile, sends some in a round, and says how many rounds it has sent.
private struct SharedKeys {
  private static var firstTransaction: UInt32 { 9 }
  private static var mostRounds: UInt32 { 7 }
  /// Of what is sent.
  private static var transaction: UInt32 { 4 }

  private let count: UInt32
  private let masks: UInt32
  private let member: UInt32
  private let members: UInt32
  /// Tiles of a member in a round.
  private let depth: UInt32

  init(_ command: AttentionCommand, _ share: AttentionShare) {
    masks = command.sharesMask ? command.maskTiles : 0
    count = masks + command.sharedGroups * command.keyTiles
    members = max(1, command.sharers)
    member = share.place % members
    depth = (count / members + Self.mostRounds) / Self.mostRounds
  }

  @inline(never) private func slot(_ command: AttentionCommand, _ number: UInt32) -> UInt32 {
    number < masks ? command.maskSlot(number) : command.keySlot(0, 0, number - masks)
  }

  /// Asks for what this tile brings.
  @inline(never) func ask(_ command: AttentionCommand, _ share: AttentionShare) {
    var number = member, left = depth, transaction = Self.firstTransaction
    NoC.reading.tag(transaction)
    func ask(_ base: UInt32, _ page: UInt32) {
      if left == 0 {
        (left, transaction) = (depth, transaction + 1)
        NoC.reading.tag(transaction)
      }
      request(base: base, page: page, bytes: 2048, to: slot(command, number))
      number += members
      left -= 1
    }
    while number < masks { ask(command.mask, number) }
    var group = share.firstGroup, end = masks
    while end != count {
      let start = end, pages = KeyPages(command, group)
      end += command.keyTiles
      group += 1
      while number < end {
        let (base, page) = pages.place(number - start)
        ask(base, page)
      }
    }
    NoC.reading.tag(0)
  }

  /// Sends what has come, and hands over what others send, until all is here.
  @inline(never)
  func send(_ command: AttentionCommand, _ share: AttentionShare, _ sequence: UInt32) {
    let noc = NoC.sharing, line = Control.sent(member), rectangle = rectangle(share)
    noc.tag(Self.transaction)
    var next = member, sent: UInt32 = 0
    /// Of what comes, the next tile's sender, and tiles that have come of its round, and rounds before it.
    var received: UInt32 = 0, sender: UInt32 = 0, inRound: UInt32 = 0, rounds: UInt32 = 0
    while received < count || next < count {
      if next < count, NoC.reading.isDone(Self.firstTransaction + sent) {
        // What the line said before has left.
        while !noc.hasSent(Self.transaction) {}
        for _ in 0..<depth where next < count {
          let address = slot(command, next)
          noc.multicast(address, to: address, bytes: 2048, rectangle: rectangle)
          next += members
        }
        sent += 1
        Memory[line] = sequence ^ sent << 28
        Memory.settle(line)
        noc.multicast(line, to: line, bytes: 4, rectangle: rectangle)
      }
      let told = Memory[Control.sent(sender)] ^ sequence
      if received < count, told << 4 == 0, told >> 28 > rounds {
        if share.count != 0, received >= masks { CircularBuffer.left(DataFormat.bfloat16).push() }
        received += 1
        sender += 1
        if sender == members {
          (sender, inRound) = (0, inRound + 1)
          if inRound == depth { (inRound, rounds) = (0, rounds + 1) }
        }
      }
    }
    while !noc.hasSent(Self.transaction) {}
  }

  private func rectangle(_ share: AttentionShare) -> UInt32 {
    let gridRows = Memory[Control.tileCount] / TileGrid.columns
    if members > gridRows { return NoC.sharing.allTiles }
    func position(_ place: UInt32) -> UInt32 {
      let index = place % gridRows * TileGrid.columns + place / gridRows
      return Memory[Buffer.tiles + 4 * index]
    }
    let first = share.place - member
    return NoC.sharing.rows(of: position(first), to: position(first + members - 1))
  }
}
