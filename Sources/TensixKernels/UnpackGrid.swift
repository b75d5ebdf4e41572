// Unpack thread: a grid product. An activation goes to SrcB once for a step of the sum, and the weights of all
// columns of the block pass in SrcA.

/// Registers of the thread: addresses of the next weight and of the next activation, and what they go on by.
private enum Register {
  static var weight: UInt32 { 16 }
  static var activation: UInt32 { 17 }
  static var weightBytes: UInt32 { 18 }
  static var activationBytes: UInt32 { 19 }
  /// From behind a step's weights to those of the next.
  static var gap: UInt32 { 20 }
}

/// Contents of the replay buffer.
private enum Replay {
  static var activation: UInt32 { Tensix.replay(start: 0, count: 5) }
  static var weight: UInt32 { Tensix.replay(start: 5, count: 5) }
}

/// UNPACR takes an address when it begins: a new one need not wait until it has ended.
private func recordSteps(_ command: GridProductCommand) {
  Thread.setRegister(Register.activationBytes, 2048 >> 4)
  Thread.setRegister(Register.weightBytes, DataFormat.tileBytes(command.bFormat) >> 4)
  Thread.push(Tensix.replayRecord(start: 0, count: 10))
  recordTile(
    Unpacker.sourceB, addressWord: 104, Register.activation, Register.activationBytes)
  recordTile(Unpacker.sourceA, addressWord: 64, Register.weight, Register.weightBytes)
}

@inline(never) private func recordTile(
  _ unpacker: UInt32, addressWord: UInt32, _ register: UInt32, _ distance: UInt32
) {
  Thread.push(Tensix.stallwait(until: Idle.thcon, blocking: Block.configuration))
  Thread.push(Tensix.wrcfg(addressWord, register: register))
  Thread.push(Tensix.nop)
  Thread.push(Tensix.unpacr(unpacker: unpacker))
  Thread.push(Tensix.adddmareg(register, register, distance))
}

/// A MOP instruction is a step from now on: an activation, and the weights of `tiles` accumulators.
private func programSteps(_ command: GridProductCommand, tiles: UInt32) {
  let gap = command.rightBytes - tiles * DataFormat.tileBytes(command.bFormat)
  Thread.setRegister(Register.gap, gap >> 4)
  Thread.program(
    start: Replay.activation, Replay.weight, count: tiles,
    end: gap == 0
      ? Tensix.nop : Tensix.adddmareg(Register.weight, Register.weight, Register.gap))
}

/// A stream's batches in L1, which its members have sent in turn.
private struct Arrivals {
  let stream: UInt32
  let members: UInt32
  let depth: UInt32
  let first: UInt32
  /// The next batch, its place and its sender.
  var number: UInt32
  var place: UInt32 = 0
  var member: UInt32 = 0

  init(_ stream: UInt32, members: UInt32, depth: UInt32) {
    self.stream = stream
    self.members = members
    self.depth = depth
    first = Memory[Stream.first(stream)]
    number = first
  }

  /// Waits for the next batch, and goes past it.
  @inline(__always) mutating func take() {
    let address = Stream.sent(stream, member)
    while Int32(bitPattern: Memory[address] &- number) <= 0 {}
    number &+= 1
    place = place + 1 == depth ? 0 : place + 1
    member = member + 1 == members ? 0 : member + 1
  }

  /// The next `count` batches of a stream are not looked at again.
  @inline(__always) static func giveBack(_ stream: UInt32, _ count: UInt32) {
    let address = Stream.usedHere(stream)
    Memory[address] = Memory[address] &+ count
  }
}

/// What the unpackers are given at a time. Of two portions, the first has left L1 before there is a third.
private struct Portions {
  private var isBehind = false
  /// Batches that are no longer needed when the last portion has left L1.
  private var weights: UInt32 = 0
  private var activations: UInt32 = 0

  /// All have left L1.
  @inline(never) mutating func finish() {
    guard isBehind else { return }
    isBehind = false
    Thread.take(Semaphore.unpacked)
    Arrivals.giveBack(Stream.weights, weights)
    Arrivals.giveBack(Stream.activations, activations)
  }

  /// A portion has been pushed.
  @inline(never) mutating func push(weights: UInt32, activations: UInt32) {
    Thread.push(Tensix.stallwait(until: Idle.unpackers, blocking: Block.sync))
    Thread.push(Tensix.sempost(Semaphore.unpacked))
    finish()
    isBehind = true
    (self.weights, self.activations) = (weights, activations)
  }
}

func unpackGrid(_ command: GridProductCommand) {
  let share = GridShare(command)
  var activations = Arrivals(
    Stream.activations, members: TileGrid.columns, depth: command.leftDepth)
  var weights = Arrivals(Stream.weights, members: share.gridRows, depth: command.rightDepth)
  if share.isEmpty { return passOn(command, share, &activations, &weights) }
  let right = CircularBuffer.right(DataFormat.bfloat16)
  let hasAddends = command.bias != 0 || command.residual != 0
  configureGrid(command)
  recordSteps(command)
  var programmed: UInt32 = 0

  // Where the chunk's activations, the group's weights begin.
  var chunkStart = activations, groupStart = weights
  var half: UInt32 = 0
  var portions = Portions()
  share.forEachBlock(command) { block in
    if block.row == 0 {
      if block.startsGroups { chunkStart = activations } else { activations = chunkStart }
      groupStart = weights
    } else {
      weights = groupStart
    }
    if !block.startsSum {
      portions.finish()
      unpackPartialSums(command, share, block, half: half)
    }
    let tiles = command.accumulators(block)
    if tiles != programmed {
      programSteps(command, tiles: tiles)
      programmed = tiles
    }
    var step: UInt32 = 0, isBehindOthers = false
    while step < block.steps {
      // A portion is eight steps.
      let end = min(step + 8, block.steps)
      var batches: UInt32 = 0
      let count = end - step
      while step < end {
        Thread.setRegister(Register.activation, command.leftAddress(activations.place))
        activations.take()
        batches += 1
        let last = min(step + GridProductCommand.leftBatch, end)
        while step < last {
          if !isBehindOthers {
            Thread.setRegister(Register.weight, command.rightAddress(weights.place))
          }
          weights.take()
          isBehindOthers = weights.place != 0
          Thread.push(Tensix.mop())
          step += 1
        }
      }
      portions.push(
        weights: block.endsRows ? count : 0, activations: block.endsGroups ? batches : 0)
    }
    if hasAddends, block.endsSum {
      portions.finish()
      unpackGridAddends(command, block, right)
    }
    half ^= 1
  }
  portions.finish()
  Thread.drain()
}

extension GridProductCommand {
  /// As UNPACR has them.
  @inline(__always) fileprivate func leftAddress(_ place: UInt32) -> UInt32 {
    ((Buffer.left + place * Self.leftBatch * 2048) >> 4) - 1
  }
  @inline(__always) fileprivate func rightAddress(_ place: UInt32) -> UInt32 {
    ((rightBase + place * rightBytes) >> 4) - 1
  }
}

private func configureGrid(_ command: GridProductCommand) {
  let isWhole = command.chunks == 1
  configureSources(
    a: command.bFormat, b: DataFormat.bfloat16,
    out: isWhole ? command.outFormat : DataFormat.float32)
}

/// A tile without work uses up what comes.
private func passOn(
  _ command: GridProductCommand, _ share: GridShare, _ activations: inout Arrivals,
  _ weights: inout Arrivals
) {
  var step: UInt32 = 0
  while step < command.inner {
    let steps = min(command.chunk, command.inner - step)
    for _ in 0..<share.rows * command.leftBatches(steps: steps) {
      activations.take()
      Arrivals.giveBack(Stream.activations, 1)
    }
    for _ in 0..<share.groups * steps {
      weights.take()
      Arrivals.giveBack(Stream.weights, 1)
    }
    step += steps
  }
}

/// Sums so far go back to Dst, when the packers have left that half of it.
private func unpackPartialSums(
  _ command: GridProductCommand, _ share: GridShare, _ block: GridBlock, half: UInt32
) {
  finishUnpacking()
  configureDst()
  Thread.push(
    Tensix.semwaitWhileZero(Semaphore.halfFree, blocking: Block.unpack | Block.sync))
  Thread.push(Tensix.semget(Semaphore.halfFree))
  for tile in 0..<command.accumulators(block) {
    unpackToDst(4 * half + tile, from: command.partialSum(share, block, tile))
  }
  finishUnpacking()
  Thread.push(Tensix.sempost(Semaphore.unpackToMath))
  configureSourceA(command.bFormat)
}

/// ones x bias adds a row to every row; identity x residual adds a tile; both exactly.
private func unpackGridAddends(
  _ command: GridProductCommand, _ block: GridBlock, _ right: CircularBuffer
) {
  let bfloat16 = DataFormat.bfloat16
  let changesFormat = command.bFormat != bfloat16
  if changesFormat {
    finishUnpacking()
    configureSourceA(bfloat16)
  }
  func add(_ times: UInt32, from first: UInt32) {
    unpackTile(Unpacker.sourceB, from: times)
    for i in 0..<block.columns {
      right.wait(for: first &+ i)
      unpackTile(Unpacker.sourceA, from: right.slot(first &+ i))
    }
  }
  var next = right.first
  if command.bias != 0 {
    add(Buffer.ones, from: next)
    next &+= block.columns
  }
  if command.residual != 0 {
    next &+= block.row * block.columns
    add(Buffer.identity, from: next)
    next &+= block.columns
  }
  finishUnpacking()
  if block.endsRows { right.pop(next &- right.first) }
  if changesFormat { configureSourceA(command.bFormat) }
}
