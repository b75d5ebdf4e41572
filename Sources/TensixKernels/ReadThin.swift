// NCRISC: weights and activations of a thin product.

/// The weights of this tile's columns, asked for in the order of their use, several batches at a time.
struct WeightStream {
  /// Steps whose weights are requested together, with a transaction identifier of their own.
  private static var batch: UInt32 { 4 }
  private static var batches: UInt32 { 2 }

  private var sequence: UInt32 = 0
  private var command: ThinProductCommand
  private var share: ThinShare
  private var right: CircularBuffer
  /// The next weights to ask for, the next to come.
  private var asked: Position
  private var come: Position
  /// Weights on their way.
  private var pending: UInt32 = 0

  private struct Position {
    var column: UInt32
    var step: UInt32 = 0
    /// Batches so far.
    var number: UInt32 = 0

    @inline(__always) mutating func advance(_ steps: UInt32, of all: UInt32, next: UInt32) {
      number &+= 1
      step += steps
      if step == all {
        step = 0
        column += next
      }
    }
  }

  /// Stands before any command.
  init() {
    command = ThinProductCommand()
    share = ThinShare(command)
    right = .right(command.bFormat)
    asked = Position(column: 0)
    come = asked
  }

  /// Of that command, unless it has begun.
  @inline(never) mutating func begin(_ sequence: UInt32) {
    guard sequence != self.sequence else { return }
    self.sequence = sequence
    command = ThinProductCommand(sequence)
    share = ThinShare(command)
    right = .right(command.bFormat)
    asked = Position(column: share.member)
    come = asked
  }

  var isFinished: Bool { come.column >= command.columns }

  /// Hands over what has come, and asks for more where there is room; waits for neither.
  @inline(never) mutating func advance() {
    while come.number != asked.number && NoC.reading.isDone(transaction(come)) {
      let steps = min(Self.batch, command.steps - come.step)
      right.push(steps * command.products)
      pending -= steps * command.products
      come.advance(steps, of: command.steps, next: share.members)
    }
    guard asked.column < command.columns, asked.number &- come.number < Self.batches else { return }
    let steps = min(Self.batch, command.steps - asked.step), count = steps * command.products
    guard right.hasRoom(pending + count) else { return }
    let bytes = DataFormat.tileBytes(command.bFormat)
    var number = right.next &+ pending
    let column = command.place(of: asked.column)
    var page = (share.plane * command.steps + asked.step) * column.bStride + column.number
    NoC.reading.tag(transaction(asked))
    for _ in 0..<steps {
      request(base: column.b, page: page, bytes: bytes, to: right.slot(number))
      number &+= 1
      if command.isGated {
        request(base: command.factor, page: page, bytes: bytes, to: right.slot(number))
        number &+= 1
      }
      page += column.bStride
    }
    NoC.reading.tag(0)
    pending += count
    asked.advance(steps, of: command.steps, next: share.members)
  }

  /// 0 counts the master's multicasts, too.
  @inline(__always) private func transaction(_ position: Position) -> UInt32 {
    1 + position.number % Self.batches
  }
}

/// Transactions of what is not weights.
private enum Transaction {
  static var activations: UInt32 { 9 }
  static var addends: UInt32 { 10 }
}

/// Weights come even before the command is released.
func readThin(
  _ command: ThinProductCommand, _ sequence: UInt32, _ weights: inout WeightStream
) {
  weights.begin(sequence)
  while !isReleased(sequence) { weights.advance() }
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
  if command.isNormalized {
    senders = NormShare(rows: command.rows, columns: command.inner).count
    sent &-= 1
  } else {
    while !hasShared { weights.advance() }
    sendShared(command.activations, share, sequence)
  }
  var received: UInt32 = 0
  while received < command.activations || !weights.isFinished {
    weights.advance()
    if received < command.activations, Memory[Control.sent(received % senders)] == sent {
      CircularBuffer.left(DataFormat.bfloat16).push()
      received += 1
    }
  }
  pushAddends(number - command.activations)
}

/// Each tile adds up the squares of its columns, tells all others, and normalises when it knows all parts of its row.
func readThinNormalize(
  _ command: NormalizeCommand, _ sequence: UInt32, _ weights: inout WeightStream
) {
  let share = NormShare(rows: command.rows, columns: command.columns)
  let place = command.rows * command.columns
  var number = place
  NoC.reading.tag(Transaction.addends)
  share.forEachColumn { column in
    requestAddend(command.a, page: share.row * command.aStride + column, &number)
    requestAddend(command.weight, page: column, &number)
    requestAddend(command.bias, page: column, &number)
  }
  NoC.reading.tag(0)
  pushAddends(number - place)

  let noc = NoC.sharing, index = Memory[Control.tileIndex], first = sequence ^ 1 << 31
  func wait(_ isDone: () -> Bool) {
    while !isDone() { readAhead(&weights, sequence &+ 1) }
  }
  if !share.isEmpty {
    wait { Memory[Control.partPacked] == sequence }
    noc.multicast(
      Buffer.ownPart, to: Buffer.part(share.row, share.member), bytes: Buffer.partBytes,
      rectangle: noc.allTiles, includesSelf: true)
    tell(first, Control.firstTold, index)
  }
  // The parts of this row, then all: nothing comes when the command has ended.
  func waitForParts(from sender: UInt32, by step: UInt32) {
    var sender = sender
    while sender < share.count {
      wait {
        let told = Memory[Control.sent(sender)]
        return told == first || told == sequence
      }
      sender += step
    }
  }
  waitForParts(from: share.row, by: command.rows)
  if !share.isEmpty { CircularBuffer.left(DataFormat.bfloat16).push() }
  waitForParts(from: 0, by: 1)
  guard command.isShared, !share.isEmpty else { return }
  wait { Memory[Control.donePack] == sequence }
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

/// Asks for weights of the next command where that is a thin product.
@inline(never) func readAhead(_ weights: inout WeightStream, _ next: UInt32) {
  guard Int32(bitPattern: Memory[Control.announced] &- next) >= 0,
    operation(of: next) == Operation.thinProduct
  else { return }
  weights.begin(next)
  weights.advance()
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
  let place = Memory[Buffer.tiles + 4 * Memory[Control.tileIndex]]
  let rectangle = share.inColumn ? noc.column(of: place) : noc.allTiles
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

@inline(__always) func pushAddends(_ count: UInt32) {
  while !NoC.reading.isDone(Transaction.addends) {}
  CircularBuffer.left(DataFormat.bfloat16).push(count)
}
