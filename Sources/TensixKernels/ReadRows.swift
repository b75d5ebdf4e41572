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
  let left = CircularBuffer.left(command.format)
  let right = CircularBuffer.right(DataFormat.bfloat16)
  let bytes = DataFormat.tileBytes(command.format)
  let terms = command.terms, columns = command.headColumns
  command.forEachTile { row, head, column in
    var slot = left.reserve(terms + 3), constant = right.reserve(terms)
    var requests = TileRequests()
    func add(_ base: UInt32, _ page: UInt32) {
      requests.add(base: base, page: page, bytes: bytes, to: left.slot(slot))
      slot &+= 1
    }
    let start = row * command.aStride + head * columns
    add(command.a, start + column)
    for term in 0..<terms {
      let source = command.source(term, for: column)
      add(command.a, start + source)
      requests.add(
        base: command.r, page: source * columns + column, bytes: 2048,
        to: right.slot(constant))
      constant &+= 1
    }
    let table = row % command.tableRows * columns + column
    add(command.cosine, table)
    add(command.sine, table)
    requests.wait()
    left.push(terms + 3)
    right.push(terms)
  }
}

/// Keys and values stay for all units that share them; a query and its mask come when the one before
/// is no longer needed.
func readAttention(_ command: AttentionCommand, _ sequence: UInt32) {
  if command.sharesKeys { shareKeys(command, sequence) }
  let left = CircularBuffer.left(DataFormat.bfloat16)
  command.forEachUnit { unit in
    let held = unit.startsGroup ? 0 : command.keyTiles
    while left.full != held {}
    var requests = TileRequests()
    if unit.startsGroup && !command.sharesKeys {
      requestKeys(command, unit, &requests)
    }
    for column in 0..<command.headColumns {
      requests.add(
        base: command.q, page: command.queryPage(unit, column: column), bytes: 2048,
        to: command.querySlot(column))
    }
    if command.mask != 0 {
      let row = unit.row % command.maskRows
      for key in 0..<command.keys {
        requests.add(
          base: command.mask, page: key * command.maskRows + row, bytes: 2048,
          to: command.maskSlot(key))
      }
    }
    requests.wait()
    left.push(command.unitTiles + (unit.startsGroup ? command.keyTiles : 0))
  }
}

/// Keys and values come to all tiles of a column, each by one of them.
func shareKeys(_ command: AttentionCommand, _ sequence: UInt32) {
  let share = ThinShare(inColumn: true), count = command.keyTiles
  requestShared(count, share) { number, slot in
    let isValue = number >= count / 2
    let tile = isValue ? number - count / 2 : number
    let key = tile / command.headColumns
    let isFirst = key < command.firstKeys
    let row = isFirst ? key : key - command.firstKeys
    let k = isFirst ? command.firstK : command.secondK
    let v = isFirst ? command.firstV : command.secondV
    request(
      base: isValue ? v : k, page: row * command.keyStride + tile % command.headColumns,
      bytes: 2048, to: slot)
  }
  while !hasShared {}
  sendShared(count, share, sequence)
  for member in 0..<min(count, share.members) {
    Memory.wait(Control.sent(member)) { $0 == sequence }
  }
}

func requestKeys(
  _ command: AttentionCommand, _ unit: AttentionUnit, _ requests: inout TileRequests
) {
  let start = unit.head / command.groupHeads * command.headColumns
  for key in 0..<command.keys {
    let isFirst = key < command.firstKeys
    let row =
      isFirst
      ? unit.item * command.firstKeys + key
      : unit.item * command.secondKeys + key - command.firstKeys
    let page = row * command.keyStride + start
    let k = isFirst ? command.firstK : command.secondK
    let v = isFirst ? command.firstV : command.secondV
    for column in 0..<command.headColumns {
      requests.add(base: k, page: page + column, bytes: 2048, to: command.keySlot(key, column))
      requests.add(base: v, page: page + column, bytes: 2048, to: command.valueSlot(key, column))
    }
  }
}
