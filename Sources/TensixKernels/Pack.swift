/// TRISC2: Dst to L1.
@c(kmain) public func pack() {
  Memory.wait(Control.mathReady) { $0 == 1 }
  Thread.push(Tensix.setc16(0, 0))
  Thread.push(Tensix.setc16(31, 0))
  Thread.push(Tensix.setc16(32, 0))
  Thread.push(Tensix.setadcxyZero(units: 4))
  Thread.push(Tensix.setadczwZero(units: 4))
  Thread.push(Tensix.setadcxx(units: 4, last: 255))  // a face a packer
  Thread.drain()

  serve(done: Control.donePack) { sequence in
    switch operation(of: sequence) {
    case Operation.linear: packHalves(MatrixCommand(sequence))
    case Operation.reduce: packSums(MatrixCommand(sequence))
    case Operation.binary:
      let command = MatrixCommand(sequence)
      if command.isExact { packSums(command) } else { packHalves(command) }
    case Operation.normalize: packNormalize(NormalizeCommand(sequence))
    case Operation.rotate: packRotate(RotateCommand(sequence))
    case Operation.attention: packAttention(AttentionCommand(sequence))
    case Operation.thinAttention: packThinAttention(ThinAttentionCommand(sequence))
    case Operation.gridProduct: packGrid(GridProductCommand(sequence))
    case Operation.thinProduct: packThin(ThinProductCommand(sequence))
    case Operation.thinNormalize:
      packThinNormalize(NormalizeCommand(sequence), sequence)
    default: break
    }
  }
}

func packHalves(_ command: MatrixCommand) {
  configurePackers(command.outFormat)
  var half: UInt32 = 0
  command.forEachBlock { block in
    awaitMath()
    for row in 0..<block.rows { packTile(4 * half + row, command.outFormat) }
    release()
    half ^= 1
  }
}

/// Where the unpacker writes into Dst, the result is in tile 0, and all of Dst is free when that is
/// packed.
func packSums(_ command: MatrixCommand) {
  configurePackers(command.outFormat)
  command.forEachBlock { _ in
    awaitMath()
    if command.isNormalized {
      let place = NormalizeCommand.firstValue(rows: command.rows, columns: command.columns)
      packTile(0, to: ThinProductCommand.activation(place), command.outFormat)
    } else {
      packTile(0, command.outFormat)
    }
    releaseAll()
  }
}

/// Where rows are shared, first this tile's sums of them.
func packNormalize(_ command: NormalizeCommand) {
  let sharesRows = command.parts != 1
  configurePackers(sharesRows ? DataFormat.float32 : command.outFormat)
  command.forEachBand { band in
    if sharesRows {
      for number in 0..<command.sums {
        awaitMath()
        packTile(
          command.isCentred && number == 0 ? 4 : 5,
          to: NormalizeCommand.sums(number, of: band.part), DataFormat.float32)
        releaseAll()
        Memory[Control.probabilities] = Memory[Control.probabilities] &+ 1
      }
      takeFromDst(command.outFormat)
    }
    command.forEachGroup(band) { _, _, rows in
      awaitMath()
      for tile in 0..<rows { packTile(tile, command.outFormat) }
      releaseAll()
    }
  }
}

func packRotate(_ command: RotateCommand) {
  configurePackers(command.outFormat)
  var half: UInt32 = 0
  command.forEachTile { _, _ in
    awaitMath()
    packTile(4 * half, command.outFormat)
    release()
    half ^= 1
  }
}

func packThinAttention(_ command: ThinAttentionCommand) {
  let share = ThinAttentionShare(command), bfloat16 = DataFormat.bfloat16
  configurePackers(bfloat16)
  var half: UInt32 = 0
  if command.isTurned {
    for number in 0..<share.queryPairs(command) + share.keyPairs(command) {
      let place = share.pair(command, number).place
      awaitMath()
      packTile(4 * half, to: place, bfloat16)
      packTile(4 * half + 1, to: place + 2048 * command.pairs, bfloat16)
      release()
      Memory[Control.turned] = Memory[Control.turned] &+ 1
      half ^= 1
    }
  }
  guard share.hasUnit else { return }
  share.forEachSet { first, count in
    if first + count != share.keys { releaseAll() }
    for tile in 0..<count {
      if tile == 4 { release() }
      if tile & 3 == 0 { awaitMath() }
      packTile(tile, to: Buffer.probabilities(first + tile), bfloat16)
    }
  }
  packTile(7, bfloat16)  // their maxima
  releaseAll()
  Memory[Control.probabilities] = Memory[Control.probabilities] &+ 1
  half = 0
  let columns = 1 + command.headColumns  // and the sums
  for column in 0..<columns {
    if column & 3 == 0 { awaitMath() }
    packTile(4 * half + column & 3, bfloat16)
    if column + 1 == columns {
      releaseAll()
    } else if column & 3 == 3 {
      release()
      half ^= 1
    }
  }
  for _ in 0..<command.combinedColumns {
    awaitMath()
    packTile(4, bfloat16)
    releaseAll()
  }
}

/// The tile's part of the sums of squares; then what is normalised, where all tiles will have it, or for the writer.
func packThinNormalize(_ command: NormalizeCommand, _ sequence: UInt32) {
  let share = NormShare(rows: command.rows, columns: command.columns)
  guard !share.isEmpty else { return }
  configurePackers(DataFormat.float32)
  awaitMath()
  packTile(0, to: Buffer.ownPart, DataFormat.float32)
  Memory[Control.partPacked] = sequence
  releaseAll()
  configurePackers(command.outFormat)
  share.forEachColumn { column in
    awaitMath()
    if command.isShared {
      packTile(
        0, to: ThinProductCommand.activation(column * command.rows + share.row), command.outFormat)
    } else {
      packTile(0, command.outFormat)
    }
    releaseAll()
  }
}

func packThin(_ command: ThinProductCommand) {
  configurePackers(command.outFormat)
  var activation = PackedActivation(command.activation, isGated: command.isGated)
  var half: UInt32 = 0
  ThinShare(command).forEachColumn(command) { _ in
    awaitMathForVector()
    activation.apply(tiles: command.rows, from: 4 * half)
    for row in 0..<command.rows { packTile(4 * half + row, command.outFormat) }
    release()
    half ^= 1
  }
}

@inline(__always) func awaitMath() {
  Thread.push(Tensix.semwaitWhileZero(Semaphore.mathToPack, blocking: Block.tdma))
}

@inline(__always) func release() {
  releaseWhenPacked()
  Thread.drain()
}

/// The same, without waiting.
@inline(__always) func releaseWhenPacked() {
  Thread.push(Tensix.stallwait(until: Idle.packers, blocking: Block.sync))
  Thread.push(Tensix.semget(Semaphore.mathToPack))
}

/// The same where all of Dst is the math thread's again.
@inline(__always) func releaseAll() {
  release()
  Thread.push(Tensix.sempost(Semaphore.dstFree))
  Thread.drain()
}

/// A tile of Dst to the next slot of the output buffer.
func packTile(_ tile: UInt32, _ format: UInt32) {
  let buffer = CircularBuffer.output
  packTile(tile, to: buffer.slot(buffer.reserve()), format)
  buffer.push()
}

@inline(never) func packTile(_ tile: UInt32, to slot: UInt32, _ format: UInt32) {
  startPacking(tile, to: slot, format)
  Thread.push(Tensix.stallwait(until: Idle.packers, blocking: Block.thcon))
  Thread.drain()
}

/// The same, without waiting until it is packed.
@inline(never) func startPacking(_ tile: UInt32, to slot: UInt32, _ format: UInt32) {
  let faceBytes: UInt32 = format == DataFormat.bfloat16 ? 512 : 1024
  for face: UInt32 in 0..<4 {
    Thread.setRegister(8 + face, ((slot + face * faceBytes) >> 4) - 1)
  }
  Thread.push(
    Tensix.stallwait(
      until: Idle.thcon | Idle.packers, blocking: Block.configuration | Block.tdma))
  Thread.push(Tensix.wrcfg(57, register: 8))
  Thread.push(Tensix.wrcfg(85, register: 9))
  Thread.push(Tensix.wrcfg(97, register: 10))
  Thread.push(Tensix.wrcfg(125, register: 11))
  Thread.push(Tensix.selectPackedTile(tile))
  Thread.push(Tensix.pacrTile)
}

/// The packers take fp32 from Dst, and round where the result is bfloat16.
func configurePackers(_ format: UInt32) {
  let packed = format == DataFormat.bfloat16 ? DataFormat.bfloat16 : DataFormat.float32
  let bytes: UInt32 = packed == DataFormat.bfloat16 ? 2 : 4
  Configuration[8] = (16 * bytes) << 12
  Configuration[9] = 256 * bytes | (1024 * bytes) << 12
  let formats = format << 4 | packed << 8 | 1
  Configuration[58] = formats
  Configuration[86] = formats
  Configuration[98] = formats
  Configuration[126] = formats
  Memory[0xFFB0_0000] = Configuration[126]
  Thread.push(Tensix.stallwait(until: Idle.configuration, blocking: Block.pack | Block.tdma))
}
