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

func readNormalize(_ command: NormalizeCommand) {
  let left = CircularBuffer.left(command.format), right = CircularBuffer.right(command.format)
  let bytes = DataFormat.tileBytes(command.format)
  command.forEachRow { row in
    var column: UInt32 = 0
    while column < command.columns {
      let count = min(batch, command.columns - column)
      let first = left.reserve(count)
      var requests = TileRequests()
      for i in 0..<count {
        requests.add(
          base: command.a, page: row * command.aStride + column + i, bytes: bytes,
          to: left.slot(first &+ i))
      }
      requests.wait()
      left.push(count)
      column += count
    }
    let addends: UInt32 = (command.weight != 0 ? 1 : 0) + (command.bias != 0 ? 1 : 0)
    guard addends != 0 else { return }
    for column in 0..<command.columns {
      var slot = right.reserve(addends)
      var requests = TileRequests()
      if command.weight != 0 {
        requests.add(base: command.weight, page: column, bytes: bytes, to: right.slot(slot))
        slot &+= 1
      }
      if command.bias != 0 {
        requests.add(base: command.bias, page: column, bytes: bytes, to: right.slot(slot))
      }
      requests.wait()
      right.push(addends)
    }
  }
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
  let left = CircularBuffer.left(DataFormat.bfloat16)
  if command.sharesKeys { shareKeys(command, sequence) }
  command.forEachUnit { unit in
    let held = unit.startsGroup ? 0 : command.keyTiles
    while left.full != held {}
    var requests = TileRequests()
    if unit.startsGroup, !command.sharesKeys { requestKeys(command, unit, &requests) }
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

/// Rows of tiles of keys and values, by the tiles of a column in turn.
func shareKeys(_ command: AttentionCommand, _ sequence: UInt32) {
  let index = Memory[Control.tileIndex], columns = GridProductCommand.gridColumns
  let members = Memory[Control.tileCount] / columns, own = index / columns
  let rectangle = NoC.sharing.column(of: Memory[Buffer.tiles + 4 * index])
  var requests = TileRequests()
  func forEachRow(_ body: (_ slot: UInt32, _ base: UInt32, _ row: UInt32) -> Void) {
    var row = own
    while row < 2 * command.keys {
      let isKey = row < command.keys, key = isKey ? row : row - command.keys
      let isFirst = key < command.firstKeys
      body(
        command.keySlot(row, 0),
        isFirst
          ? (isKey ? command.firstK : command.firstV)
          : (isKey ? command.secondK : command.secondV),
        isFirst ? key : key - command.firstKeys)
      row += members
    }
  }
  forEachRow { slot, base, row in
    for column in 0..<command.headColumns {
      requests.add(
        base: base, page: row * command.keyStride + column, bytes: 2048, to: slot + 2048 * column)
    }
  }
  requests.wait()
  guard members > 1 else { return }
  NoC.sharing.tag(4)
  forEachRow { slot, _, _ in
    var column: UInt32 = 0
    while column < command.headColumns {
      let count = min(4, command.headColumns - column)
      NoC.sharing.multicast(
        slot + 2048 * column, to: slot + 2048 * column, bytes: 2048 * count, rectangle: rectangle)
      column += count
    }
  }
  Memory[Stream.keys(own)] = sequence
  Memory.settle(Stream.keys(own))
  NoC.sharing.multicast(
    Stream.keys(own), to: Stream.keys(own), bytes: 4, rectangle: rectangle)
  // This tile's L1 is not free before all have sent to it, whether it has work or not.
  for member in 0..<members { Memory.wait(Stream.keys(member)) { $0 == sequence } }
  while !NoC.sharing.hasSent(4) {}
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
