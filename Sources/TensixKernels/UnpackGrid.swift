// Unpack thread: a grid product. An activation goes to SrcB once for a step of the sum, and the weights of all
// columns of the block pass in SrcA.

/// Registers of the thread: addresses of a weight and of an activation, and the distance of weights.
private enum Register {
  static var weight: UInt32 { 16 }
  static var activation: UInt32 { 17 }
  static var distance: UInt32 { 18 }
}

/// Contents of the replay buffer.
private enum Replay {
  /// An activation, and the first weight.
  static var first: UInt32 { Tensix.replay(start: 0, count: 6) }
  /// Another weight.
  static var next: UInt32 { Tensix.replay(start: 6, count: 5) }
}

/// UNPACR takes an address when it begins: a new one need not wait until it has ended.
private func recordSteps() {
  Thread.push(Tensix.replayRecord(start: 0, count: 11))
  Thread.push(Tensix.stallwait(until: Idle.thcon, blocking: Block.configuration))
  Thread.push(Tensix.wrcfg(104, register: Register.activation))
  Thread.push(Tensix.wrcfg(64, register: Register.weight))
  Thread.push(Tensix.nop)
  Thread.push(Tensix.unpacr(unpacker: Unpacker.sourceB))
  Thread.push(Tensix.unpacr(unpacker: Unpacker.sourceA))
  Thread.push(Tensix.adddmareg(Register.weight, Register.weight, Register.distance))
  Thread.push(Tensix.stallwait(until: Idle.thcon, blocking: Block.configuration))
  Thread.push(Tensix.wrcfg(64, register: Register.weight))
  Thread.push(Tensix.nop)
  Thread.push(Tensix.unpacr(unpacker: Unpacker.sourceA))
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

  /// The next `count` batches are not looked at again.
  @inline(__always) func giveBack(_ count: UInt32) {
    let address = Stream.usedHere(stream)
    Memory[address] = Memory[address] &+ count
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
  recordSteps()
  Thread.setRegister(Register.distance, DataFormat.tileBytes(command.bFormat) >> 4)

  // Where the chunk's activations, the group's weights begin.
  var chunkStart = activations, groupStart = weights
  var half: UInt32 = 0, isBehind = false
  var usedWeights: UInt32 = 0, usedActivations: UInt32 = 0
  /// Of two portions that the unpackers are given, the first has left L1.
  func awaitPortion() {
    guard isBehind else { return }
    isBehind = false
    Thread.take(Semaphore.unpacked)
    if usedWeights != 0 { weights.giveBack(usedWeights) }
    if usedActivations != 0 { activations.giveBack(usedActivations) }
  }
  share.forEachBlock(command) { block in
    if block.row == 0 {
      if block.startsGroups { chunkStart = activations } else { activations = chunkStart }
      groupStart = weights
    } else {
      weights = groupStart
    }
    if !block.startsSum {
      awaitPortion()
      unpackPartialSums(command, share, block, half: half)
    }
    let tiles = command.accumulators(block)
    var step: UInt32 = 0
    while step < block.steps {
      // A portion is eight steps.
      let end = min(step + 8, block.steps)
      var batches: UInt32 = 0
      let count = end - step
      while step < end {
        let left = command.leftAddress(activations.place)
        activations.take()
        batches += 1
        let last = min(step + GridProductCommand.leftBatch, end)
        var address = left
        while step < last {
          let weight = command.rightAddress(weights.place)
          weights.take()
          Thread.setRegister(Register.weight, weight)
          Thread.setRegister(Register.activation, address)
          Thread.push(Replay.first)
          for _ in 1..<tiles { Thread.push(Replay.next) }
          address += 2048 >> 4
          step += 1
        }
      }
      Thread.push(Tensix.stallwait(until: Idle.unpackers, blocking: Block.sync))
      Thread.push(Tensix.sempost(Semaphore.unpacked))
      awaitPortion()
      isBehind = true
      usedWeights = block.endsRows ? count : 0
      usedActivations = block.endsGroups ? batches : 0
    }
    if hasAddends, block.endsSum {
      awaitPortion()
      unpackGridAddends(command, block, right)
    }
    half ^= 1
  }
  awaitPortion()
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
      activations.giveBack(1)
    }
    for _ in 0..<share.groups * steps {
      weights.take()
      weights.giveBack(1)
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
