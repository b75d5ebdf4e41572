// NCRISC: weights and activations of a thin product.

/// The weights of this tile's columns, asked for in the order of their use, several batches at a time: of the command
/// that runs, then of those announced behind it, as far as the right buffer has room.
struct WeightStream {
  /// Weights that are requested together, with a transaction identifier of their own.
  private static var batch: UInt32 { 4 }
  private static var batches: UInt32 { 2 }

  /// The command whose weights are asked for, or the last one without any; products before it are asked for.
  private var sequence: UInt32 = 0
  private var command = ThinProductCommand()
  private var share: ThinShare
  /// The next weights to ask for.
  private var column: UInt32 = 0
  private var step: UInt32 = 0
  /// Batches so far that were asked for, that have come.
  private var asked: UInt32 = 0
  private var come: UInt32 = 0
  /// Of those on their way, the oldest first, eight bits each: how many weights, and in the upper four the last bits of
  /// the command's number.
  private var batchesOnWay: UInt32 = 0
  /// Weights on their way.
  private var pending: UInt32 = 0

  /// Stands before any command.
  init() { share = ThinShare(command) }

  /// The reader has come to that command, all before it is done.
  mutating func reach(_ sequence: UInt32) {
    if Int32(bitPattern: sequence &- self.sequence) > 1 { self.sequence = sequence &- 1 }
  }

  /// All of the command's weights are in the buffer.
  func isFinished(_ sequence: UInt32) -> Bool {
    let isAsked = Int32(bitPattern: self.sequence &- sequence) > 0 || column >= command.columns
    return isAsked && (batchesOnWay == 0 || (batchesOnWay >> 4 ^ sequence) & 0xF != 0)
  }

  /// Goes on until the command is released.
  @inline(never) mutating func advance(untilReleased sequence: UInt32) {
    while !isReleased(sequence) && advance() {}
    waitForRelease(sequence)
  }

  /// Goes on until what was asked for with that identifier is here.
  @inline(never) mutating func advance(untilDone transaction: UInt32) {
    while !NoC.reading.isDone(transaction) { advance() }
  }

  /// Hands over what has come, and asks for more where there is room; waits for neither. Whether there is anything on
  /// its way, or to be asked for.
  @inline(never) @discardableResult mutating func advance() -> Bool {
    let right = CircularBuffer.right(command.bFormat)
    while batchesOnWay != 0 && NoC.reading.isDone(transaction(come)) {
      let count = batchesOnWay & 0xF
      right.push(count)
      pending -= count
      batchesOnWay >>= 8
      come &+= 1
    }
    guard findColumn() else { return batchesOnWay != 0 }
    // A command that does not run yet leaves DRAM to those that do.
    let runs = Int32(bitPattern: Memory[Control.release] &- sequence) >= 0
    if asked &- come < (runs ? Self.batches : 1) { ask() }
    return true
  }

  /// Goes on to the next product that is announced; false where there is none, or a command before it needs the right
  /// buffer.
  private mutating func findColumn() -> Bool {
    while column >= command.columns {
      let next = sequence &+ 1
      guard Int32(bitPattern: Memory[Control.announced] &- next) >= 0 else { return false }
      switch operation(of: next) {
      case Operation.thinProduct:
        let format = ThinProductCommand.bFormat(first: Memory[Buffer.command(next)])
        guard batchesOnWay == 0 || format == command.bFormat else { return false }
        begin(next)
      case Operation.thinNormalize, Operation.thinAttention: break
      case Operation.reduce: guard MatrixCommand(next).a == 0 else { return false }
      default: return false
      }
      sequence = next
    }
    return true
  }

  @inline(never) private mutating func begin(_ sequence: UInt32) {
    command = ThinProductCommand(sequence)
    share = ThinShare(command)
    (column, step) = (share.member, 0)
  }

  private mutating func ask() {
    let right = CircularBuffer.right(command.bFormat)
    let steps = min(Self.batch / command.products, command.steps - step)
    let count = steps * command.products
    guard right.hasRoom(pending + count) else { return }
    let bytes = DataFormat.tileBytes(command.bFormat)
    var number = right.next &+ pending
    let place = command.place(of: column)
    var page = (share.plane * command.steps + step) * place.bStride + place.number
    NoC.reading.tag(transaction(asked))
    for _ in 0..<steps {
      request(base: place.b, page: page, bytes: bytes, to: right.slot(number))
      number &+= 1
      if command.isGated {
        request(base: command.factor, page: page, bytes: bytes, to: right.slot(number))
        number &+= 1
      }
      page += place.bStride
    }
    NoC.reading.tag(0)
    batchesOnWay |= (count | (sequence & 0xF) << 4) << (8 * (asked &- come))
    pending += count
    asked &+= 1
    step += steps
    if step == command.steps { (column, step) = (column + share.members, 0) }
  }

  /// 0 counts the master's multicasts, too.
  @inline(__always) private func transaction(_ batch: UInt32) -> UInt32 {
    1 + batch % Self.batches
  }
}

/// Transactions of what is not weights.
enum Transaction {
  static var activations: UInt32 { 9 }
  static var addends: UInt32 { 10 }
}

@inline(never) func readThin(
  _ command: ThinProductCommand, _ sequence: UInt32, _ weights: inout WeightStream
) {
  let share = ThinShare(command)
  if !command.isNormalized { requestActivations(command, share) }
  var number = command.activations
  NoC.reading.tag(Transaction.addends)
  share.forEachColumn(command) { column in
    requestAddend(command.bias, page: column, &number)
    for row in 0..<command.rows {
      requestAddend(command.residual, page: row * command.columns + column, &number)
    }
  }
  NoC.reading.tag(0)
  var senders = share.members, sent = sequence
  // Activations follow one another column by column, the tiles that normalise them row by row.
  var distance: UInt32 = 1, rows: UInt32 = 1
  if command.isNormalized {
    let norm = NormShare(rows: command.rows, columns: command.inner)
    (senders, distance, rows) = (norm.count, norm.members, command.rows)
    sent &-= 1
  } else {
    weights.advance(untilDone: Transaction.activations)
    sendShared(command.activations, share, sequence)
  }
  // A sender tells once what it has sent.
  senders = min(senders, command.activations)
  var received: UInt32 = 0
  while received < senders || !weights.isFinished(sequence) {
    weights.advance()
    let first = received
    while received < senders
      && Memory[Control.sent(received % rows * distance + received / rows)] == sent
    {
      received += 1
    }
    let more = received == senders && first != senders ? command.activations - senders : 0
    CircularBuffer.left(DataFormat.bfloat16).push(received - first + more)
  }
  pushAddends(number - command.activations, &weights)
}

/// Each tile adds up the squares of its columns, tells all others, and normalises when it knows all parts of its row. The
/// left buffer counts twice: values, then what comes behind them.
func readThinNormalize(
  _ command: NormalizeCommand, _ sequence: UInt32, _ weights: inout WeightStream
) {
  let share = NormShare(rows: command.rows, columns: command.columns)
  let left = CircularBuffer.left(DataFormat.bfloat16)
  var number = command.firstValue
  share.forEachColumn { column in
    NoC.reading.tag(Transaction.activations)
    if command.isSummed {
      number += 1
    } else {
      requestAddend(command.a, page: share.row * command.aStride + column, &number)
    }
    NoC.reading.tag(Transaction.addends)
    requestAddend(command.weight, page: column, &number)
    requestAddend(command.bias, page: column, &number)
  }
  NoC.reading.tag(0)
  weights.advance(untilDone: Transaction.activations)

  let noc = NoC.sharing, index = Memory[Control.tileIndex], first = sequence ^ 1 << 31
  func wait(_ isDone: () -> Bool) {
    while !isDone() { weights.advance() }
  }
  if !share.isEmpty {
    left.push()
    wait { Memory[Control.partPacked] == sequence }
    noc.multicast(
      Buffer.ownPart, to: Buffer.part(share.row, share.member), bytes: Buffer.partBytes,
      rectangle: noc.allTiles, includesSelf: true)
    tell(first, Control.firstTold, index)
  }
  // The parts of this row, then all: nothing comes when the command has ended.
  func waitForParts(_ senders: Range<UInt32>) {
    for sender in senders {
      wait {
        let told = Memory[Control.sent(sender)]
        return told == first || told == sequence
      }
    }
  }
  if !share.isEmpty {
    let start = share.row * share.members
    waitForParts(start..<start + share.members)
    weights.advance(untilDone: Transaction.addends)
    left.push()
  }
  waitForParts(0..<share.count)
  guard command.isShared, !share.isEmpty else { return }
  // What this tile writes is there, too, when the others have the result.
  wait { Memory[Control.donePack] == sequence && Memory[Control.doneWriter] == sequence }
  share.forEachColumn { column in
    let address = ThinProductCommand.activation(column * command.rows + share.row)
    noc.multicast(address, to: address, bytes: 2048, rectangle: noc.allTiles)
  }
  tell(sequence, Control.thenTold, index)
}

/// Sets this tile's line in all tiles, behind what it has multicast before.
func tell(_ value: UInt32, _ source: UInt32, _ index: UInt32) {
  Memory[source] = value
  Memory.settle(source)
  let noc = NoC.sharing
  noc.multicast(
    source, to: Control.sent(index), bytes: 4, rectangle: noc.allTiles, includesSelf: true)
}

// MARK: - Activations, and what is added, in the left buffer one after the other

/// Asks for this tile's activations, each to where everybody will have it.
@inline(never) func requestActivations(_ command: ThinProductCommand, _ share: ThinShare) {
  requestShared(command.activations, share) { number, slot in
    let page =
      number % command.rows * command.aStride + share.plane * command.steps
      + number / command.rows
    request(base: command.a, page: page, bytes: 2048, to: slot)
  }
}

/// Of `count` tiles that are shared, this one's.
@inline(__always) func requestShared(
  _ count: UInt32, _ share: ThinShare, _ request: (_ number: UInt32, _ slot: UInt32) -> Void
) {
  NoC.reading.tag(Transaction.activations)
  var number = share.member
  while number < count {
    request(number, ThinProductCommand.activation(number))
    number += share.members
  }
  NoC.reading.tag(0)
}

/// What was asked for is here.
@inline(__always) var hasShared: Bool { NoC.reading.isDone(Transaction.activations) }

@inline(__always) func requestAddend(_ base: UInt32, page: UInt32, _ number: inout UInt32) {
  guard base != 0 else { return }
  request(base: base, page: page, bytes: 2048, to: ThinProductCommand.activation(number))
  number += 1
}

/// Multicasts this tile's of `count` tiles, then says so.
@inline(never) func sendShared(_ count: UInt32, _ share: ThinShare, _ sequence: UInt32) {
  guard share.member < count else { return }
  let noc = NoC.sharing
  let first = Buffer.tiles + 4 * share.plane * share.width
  let rectangle = noc.columns(of: Memory[first], to: Memory[first + 4 * (share.width - 1)])
  var number = share.member
  while number < count {
    let address = ThinProductCommand.activation(number)
    noc.multicast(address, to: address, bytes: 2048, rectangle: rectangle)
    number += share.members
  }
  let line = Control.sent(share.member)
  Memory[line] = sequence
  Memory.settle(line)
  noc.multicast(line, to: line, bytes: 4, rectangle: rectangle)
}

@inline(__always) func pushAddends(_ count: UInt32, _ weights: inout WeightStream) {
  weights.advance(untilDone: Transaction.addends)
  CircularBuffer.left(DataFormat.bfloat16).push(count)
}
