// NCRISC: weights and activations of a grid product. Every tile reads its share of both from DRAM, and
// multicasts it when all that are to have it have room.

func readGrid(_ command: GridProductCommand, _ sequence: UInt32) {
  let share = GridShare(command)
  let position = Memory[Buffer.tiles + 4 * Memory[Control.tileIndex]]
  let lastSteps = command.inner - (command.chunks - 1) * command.chunk
  let batches =
    (command.chunks - 1) * command.leftBatches(steps: command.chunk)
    + command.leftBatches(steps: lastSteps)
  var activations = Sender(
    Stream.activations, members: TileGrid.columns, own: share.x,
    depth: command.leftDepth, count: share.rows * batches,
    rectangle: NoC.sharing.row(of: position), transaction: 1)
  var weights = Sender(
    Stream.weights, members: share.gridRows, own: share.y, depth: command.rightDepth,
    count: share.groups * command.inner, rectangle: NoC.sharing.column(of: position),
    transaction: 2)
  var addends = GridAddends(command, share)
  waitForRelease(sequence)
  NoC.sharing.tag(4)
  // None of these waits: each has what other tiles need, so that another may go on.
  while !(activations.isDone && weights.isDone && addends.isDone) {
    weights.advance(until: activations.due(32)) { requestWeights(command, share, batch: $0) }
    activations.advance(until: weights.due(0)) { requestActivations(command, share, batch: $0) }
    // What streams carry is needed sooner.
    if NoC.reading.isDone(1) && NoC.reading.isDone(2) { addends.advance(command, share) }
  }
  activations.finish()
  weights.finish()
  NoC.reading.tag(0)
}

/// Where a batch is in L1, and how many steps of the sum are taken before it is needed.
struct Packet {
  var address: UInt32 = 0
  var bytes: UInt32 = 0
  var due: UInt32 = 0
}

/// One tile's part in a stream.
struct Sender {
  private let stream: UInt32
  /// How many tiles send in turn, and which of them this one is.
  private let members: UInt32
  private let own: UInt32
  /// Batches that there is room for, and how many come in all.
  private let depth: UInt32
  private let count: UInt32
  private let rectangle: UInt32
  private let transaction: UInt32
  /// The number of the first batch; those below count from it.
  private let first: UInt32
  /// This tile's next one, and whether it is on its way from DRAM.
  private var next: UInt32
  private var isReading = false
  private var packet = Packet()
  /// Batches that this tile has said, that all are known to have used up.
  private var told: UInt32 = 0
  private var usedByAll: UInt32 = 0

  init(
    _ stream: UInt32, members: UInt32, own: UInt32, depth: UInt32, count: UInt32,
    rectangle: UInt32, transaction: UInt32
  ) {
    self.stream = stream
    self.members = members
    self.own = own
    self.depth = depth
    self.count = count
    self.rectangle = rectangle
    self.transaction = transaction
    first = Memory[Stream.first(stream)]
    next = own
  }

  /// All of this tile's batches are sent, and nobody waits to hear what it has used up.
  var isDone: Bool { next >= count && told + depth >= count }

  /// When the other stream is to have more, too: what DRAM gives to what is needed much later comes too late for what is
  /// needed now. As each stream waits for what is needed sooner alone, some tile can always go on.
  @inline(__always) func due(_ slack: UInt32) -> UInt32 {
    let end = min(count, Memory[Stream.usedHere(stream)] &- first + depth)
    return isReading || next < end ? packet.due + slack : .max
  }

  /// Goes on as far as it can without waiting. `request` asks DRAM for a batch, unless the last one is needed later than
  /// `end`.
  @inline(__always) mutating func advance(
    until end: UInt32, _ request: (_ batch: UInt32) -> Packet
  ) {
    let used = Memory[Stream.usedHere(stream)] &- first
    if told + depth < count, used >= told + 4 || used + depth >= count, used != told {
      told = used
      tell(Stream.used(stream, own), first &+ used)
    }
    guard next < count else { return }
    if isReading {
      guard NoC.reading.isDone(transaction), hasRoom else { return }
      if members > 1 {
        NoC.sharing.multicast(
          packet.address, to: packet.address, bytes: packet.bytes, rectangle: rectangle)
      }
      tell(Stream.sent(stream, own), first &+ next &+ 1)
      next += members
      isReading = false
    } else if next < used + depth, packet.due <= end, NoC.sharing.hasSent(4) {
      // What was here before, and has been sent from here, has left.
      NoC.reading.tag(transaction)
      packet = request(next)
      isReading = true
    }
  }

  /// Whether the place of the next batch is free in all tiles.
  private var hasRoom: Bool {
    mutating get {
      if next < usedByAll + depth { return true }
      var least = Memory[Stream.usedHere(stream)] &- first
      for member in 0..<members where member != own {
        // What is said of an earlier command is below 0.
        let used = Int32(bitPattern: Memory[Stream.used(stream, member)] &- first)
        least = min(least, UInt32(max(0, used)))
      }
      usedByAll = least
      return next < least + depth
    }
  }

  /// Stores a counter here and in the other tiles. It comes behind what was multicast before.
  private func tell(_ address: UInt32, _ value: UInt32) {
    Memory[address] = value
    guard members > 1 else { return }
    Memory.settle(address)
    NoC.sharing.multicast(address, to: address, bytes: 4, rectangle: rectangle)
  }

  /// The unpacker, too, has begun and ended.
  func finish() {
    Memory.wait(Stream.usedHere(stream)) { $0 == first &+ count }
    while !NoC.sharing.hasSent(4) {}
    Memory[Stream.first(stream)] = first &+ count
  }
}

/// Neighbouring tiles of a row.
@inline(never)
func requestActivations(
  _ command: GridProductCommand, _ share: GridShare, batch: UInt32
) -> Packet {
  let inChunk = share.rows * command.leftBatches(steps: command.chunk)
  let start = batch / inChunk * command.chunk, rest = batch % inChunk
  let steps = min(command.chunk, command.inner - start)
  let inRow = command.leftBatches(steps: steps)
  let part = rest % inRow * GridProductCommand.leftBatch
  let count = min(GridProductCommand.leftBatch, steps - part)
  let row = command.firstRow + share.row + rest / inRow
  let packet = Packet(
    address: Buffer.left + batch % command.leftDepth * GridProductCommand.leftBatch * 2048,
    bytes: count * 2048,
    due: share.groups * share.rows * start + rest * GridProductCommand.leftBatch)
  for i in 0..<count {
    request(
      base: command.a, page: row * command.inner + start + part + i, bytes: 2048,
      to: packet.address + 2048 * i)
  }
  return packet
}

/// A group's columns of one step, of the second matrix behind those of the first.
@inline(never)
func requestWeights(
  _ command: GridProductCommand, _ share: GridShare, batch: UInt32
) -> Packet {
  let inChunk = share.groups * command.chunk
  let start = batch / inChunk * command.chunk, rest = batch % inChunk
  let steps = min(command.chunk, command.inner - start)
  let group = rest / steps
  let column = share.column(of: group)
  let count = share.start(of: group + 1) - share.start(of: group)
  let bytes = DataFormat.tileBytes(command.bFormat), step = start + rest % steps
  var packet = Packet(
    address: command.rightBase + batch % command.rightDepth * command.rightBytes)
  packet.due = share.rows * (share.groups * start + group * steps) + rest % steps
  for i in column..<column + count {
    let place = command.place(of: i), page = step * place.bStride + place.number
    let slot = packet.address + packet.bytes
    request(base: place.b, page: page, bytes: bytes, to: slot)
    if command.isGated {
      request(base: command.factor, page: page, bytes: bytes, to: slot + count * bytes)
    }
    packet.bytes += bytes
  }
  if command.isGated { packet.bytes *= 2 }
  return packet
}

/// Biases of the groups, each with the residuals of its blocks behind it, in the right buffer: nobody else needs
/// them.
struct GridAddends {
  private let count: UInt32
  private var next: UInt32 = 0
  private var isReading = false
  private var tiles: UInt32 = 0

  init(_ command: GridProductCommand, _ share: GridShare) {
    let hasSome = command.bias != 0 || command.residual != 0
    count = hasSome && !share.isEmpty ? share.groups * share.rows : 0
  }

  var isDone: Bool { next == count }

  mutating func advance(_ command: GridProductCommand, _ share: GridShare) {
    guard next != count else { return }
    let right = CircularBuffer.right(DataFormat.bfloat16)
    if isReading {
      guard NoC.reading.isDone(3) else { return }
      right.push(tiles)
      next += 1
      isReading = false
    } else if right.hasRoom(8) {
      ask(command, share)
      isReading = true
    }
  }

  @inline(never)
  private mutating func ask(_ command: GridProductCommand, _ share: GridShare) {
    NoC.reading.tag(3)
    let right = CircularBuffer.right(DataFormat.bfloat16)
    let group = next / share.rows, row = command.firstRow + share.row + next % share.rows
    var number = right.reserve(0)
    let first = number
    func add(_ base: UInt32, _ page: UInt32) {
      request(base: base, page: page, bytes: 2048, to: right.slot(number))
      number &+= 1
    }
    let start = share.column(of: group)
    let end = start + share.start(of: group + 1) - share.start(of: group)
    if command.bias != 0 && next % share.rows == 0 {
      for column in start..<end {
        let place = command.place(of: column)
        add(place.bias, place.number)
      }
    }
    if command.residual != 0 {
      for column in start..<end { add(command.residual, row * command.columns + column) }
    }
    tiles = number &- first
  }
}
