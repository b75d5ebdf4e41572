/// TRISC0: L1 to the source registers, or to Dst.
@c(kmain) public func unpack() {
  Thread.push(Tensix.setc16(0, 0))  // configuration bank 0
  Thread.push(Tensix.setc16(39, 0))  // no context offsets
  Thread.push(Tensix.setadcxyZero(units: 3))
  Thread.push(Tensix.setadczwZero(units: 3))
  Thread.push(Tensix.setadcxx(units: 3, last: 1023))
  Thread.drain()
  Memory.wait(Control.mathReady) { $0 == 1 }

  serve(done: Control.doneUnpack) { sequence in
    switch operation(of: sequence) {
    case Operation.linear: unpackLinear(MatrixCommand(sequence))
    case Operation.reduce: unpackPlanes(MatrixCommand(sequence))
    case Operation.binary: unpackPairs(MatrixCommand(sequence))
    case Operation.normalize: unpackNormalize(NormalizeCommand(sequence), sequence)
    case Operation.rotate: unpackRotate(RotateCommand(sequence))
    case Operation.attention: unpackAttention(AttentionCommand(sequence))
    case Operation.thinAttention:
      unpackThinAttention(ThinAttentionCommand(sequence), sequence)
    case Operation.gridProduct: unpackGrid(GridProductCommand(sequence))
    case Operation.thinProduct: unpackThin(ThinProductCommand(sequence))
    case Operation.thinNormalize: unpackThinNormalize(NormalizeCommand(sequence))
    default: break
    }
  }
}

enum Unpacker {
  static var sourceA: UInt32 { 0 }
  static var sourceB: UInt32 { 1 }
}

/// Formats of the source registers, of what the packers take from Dst, and of both unpackers. Nobody
/// else of the tile is at work on this command before the first tile is unpacked.
func configureSources(a: UInt32, b: UInt32, out: UInt32) {
  // The packers round fp32 to bfloat16 where Dst is said to hold that.
  let packed = out == DataFormat.bfloat16 ? DataFormat.bfloat16 : DataFormat.float32
  Configuration[1] =
    arithmetic(a) << 17 | arithmetic(b) << 21 | packed << 25 | 1 << 29 | 1 << 30  // fp32 Dst
  configureUnpackers(a: a, b: b)
}

/// What the unpackers read; they are idle.
func configureUnpackers(a: UInt32, b: UInt32) {
  Configuration[92] = b | 1 << 4 | 256 << 16
  Configuration[100] = source(b) | 2 << 4
  configureSourceA(a)
}

/// Unpacker 0 goes to SrcA.
func configureSourceA(_ format: UInt32) {
  Configuration[52] = format | 1 << 4 | 256 << 16
  Configuration[60] = source(format) | 2 << 4
  Configuration[61] = 0xF | 0xF << 16
  Configuration[72] = 64 | 64 << 16
  awaitConfiguration()
  Thread.push(Tensix.setc16(3, 4))
}

/// Whether unpacker 0 transposes faces on their way to SrcA, bfloat16. Both unpackers are idle.
func setTransposed(_ isOn: Bool) {
  Configuration[60] = DataFormat.bfloat16 | 2 << 4 | (isOn ? 1 : 0) << 8
  awaitConfiguration()
}

/// Unpacker 0 goes to Dst, exact fp32.
func configureDst() {
  Configuration[52] = DataFormat.float32 | 1 << 4 | 256 << 16
  Configuration[60] = DataFormat.float32 | 2 << 4
  Configuration[61] = 0xFF | 0xFF << 16
  awaitConfiguration()
  Thread.push(Tensix.setc16(3, 0))
}

/// A read of what was written last is used: then all of it has been written.
@inline(__always) func awaitConfiguration() {
  Memory[0xFFB0_0000] = Configuration[60]
  Thread.push(Tensix.stallwait(until: Idle.configuration, blocking: Block.unpack))
}

/// What a source register holds of a format.
@inline(__always) func source(_ format: UInt32) -> UInt32 {
  format == DataFormat.float32 ? DataFormat.tf32 : format
}

/// What the matrix unit takes it for. To it, bfp8 is bfloat16 with fewer bits, so tiles of both can
/// follow one another.
@inline(__always) func arithmetic(_ format: UInt32) -> UInt32 {
  format == DataFormat.float32 ? DataFormat.tf32 : DataFormat.bfloat16
}

/// One tile to SrcA or SrcB. The address travels through the instruction queue, so nothing waits here.
@inline(never) func unpackTile(_ unpacker: UInt32, from address: UInt32) {
  setUnpackAddress(unpacker, address)
  Thread.push(Tensix.unpacr(unpacker: unpacker))
}

@inline(__always) func setUnpackAddress(_ unpacker: UInt32, _ address: UInt32) {
  let register = 4 + unpacker
  Thread.setRegister(register, (address >> 4) - 1)
  Thread.push(
    Tensix.stallwait(until: Idle.thcon | 2 << unpacker, blocking: Block.configuration))
  Thread.push(Tensix.wrcfg(unpacker == 0 ? 64 : 104, register: register))
  Thread.push(Tensix.nop)
}

/// Returns when everything unpacked has left L1.
@inline(__always) func finishUnpacking() {
  Thread.push(Tensix.stallwait(until: Idle.unpackers, blocking: Block.thcon))
  Thread.drain()
}

/// Steps between two waits for the unpackers: their slots are given back together.
var stepsToDrain: UInt32 { 4 }

/// Each weight goes to SrcA once, the activations of all rows of the block pass in SrcB.
func unpackLinear(_ command: MatrixCommand) {
  let left = CircularBuffer.left(command.aFormat), right = CircularBuffer.right(command.bFormat)
  let bfloat16 = DataFormat.bfloat16
  let changesFormats =
    (command.bias != 0 || command.residual != 0)
    && (command.aFormat != bfloat16 || command.bFormat != bfloat16)
  configureSources(a: command.bFormat, b: command.aFormat, out: command.outFormat)
  command.forEachBlock { block in
    if changesFormats { configureUnpackers(a: command.bFormat, b: command.aFormat) }
    let firstLeft = left.first
    var firstRight = right.first, number = firstLeft
    for step in 0..<block.steps {
      right.wait(for: firstRight)
      unpackTile(Unpacker.sourceA, from: right.slot(firstRight))
      firstRight &+= 1
      for _ in 0..<block.rows {
        left.wait(for: number)
        unpackTile(Unpacker.sourceB, from: left.slot(number))
        number &+= 1
      }
      if step % stepsToDrain == stepsToDrain - 1 {
        finishUnpacking()
        right.pop(stepsToDrain)
      }
    }
    finishUnpacking()
    right.pop(firstRight &- right.first)
    if block.endsUnit { left.pop(number &- firstLeft) }
    if changesFormats { configureUnpackers(a: bfloat16, b: bfloat16) }
    unpackAddends(command, block)
  }
}

/// ones x factor and ones x bias are a row in every row; identity x residual is a tile; all exactly.
func unpackAddends(_ command: MatrixCommand, _ block: OutputBlock) {
  let rows = command.rowCount
  guard rows != 0 || command.residual != 0 else { return }
  let buffer = command.addendBuffer
  let first = buffer.first
  var number = first
  for _ in 0..<rows {
    buffer.wait(for: number)
    unpackTile(Unpacker.sourceA, from: buffer.slot(number))
    number &+= 1
    for _ in 0..<block.rows { unpackTile(Unpacker.sourceB, from: Buffer.ones) }
  }
  if command.residual != 0 {
    for _ in 0..<block.rows {
      buffer.wait(for: number)
      unpackTile(Unpacker.sourceA, from: buffer.slot(number))
      unpackTile(Unpacker.sourceB, from: Buffer.identity)
      number &+= 1
    }
  }
  finishUnpacking()
  buffer.pop(number &- first)
}

func unpackPairs(_ command: MatrixCommand) {
  if command.isExact { return unpackPairsToDst(command) }
  let left = CircularBuffer.left(command.aFormat), right = CircularBuffer.right(command.bFormat)
  configureSources(a: command.aFormat, b: command.bFormat, out: command.outFormat)
  command.forEachBlock { _ in
    let leftNumber = left.first, rightNumber = right.first
    left.wait(for: leftNumber)
    right.wait(for: rightNumber)
    unpackTile(Unpacker.sourceA, from: left.slot(leftNumber))
    unpackTile(Unpacker.sourceB, from: right.slot(rightNumber))
    finishUnpacking()
    left.pop()
    right.pop()
  }
}

/// a to tile 0 of Dst, b to tile 1.
func unpackPairsToDst(_ command: MatrixCommand) {
  let left = CircularBuffer.left(command.aFormat), right = CircularBuffer.right(command.bFormat)
  configureSources(a: command.aFormat, b: command.bFormat, out: command.outFormat)
  configureDst()
  command.forEachBlock { _ in
    awaitDst()
    let leftNumber = left.first, rightNumber = right.first
    left.wait(for: leftNumber)
    unpackToDst(0, from: left.slot(leftNumber))
    right.wait(for: rightNumber)
    unpackToDst(1, from: right.slot(rightNumber))
    finishUnpacking()
    left.pop()
    right.pop()
    Thread.push(Tensix.sempost(Semaphore.unpackToMath))
  }
}

@inline(__always) func awaitDst() {
  Thread.push(Tensix.semwaitWhileZero(Semaphore.dstFree, blocking: Block.unpack | Block.sync))
  Thread.push(Tensix.semget(Semaphore.dstFree))
}

/// Partial sums go to Dst, where nobody else may be at work.
func unpackPlanes(_ command: MatrixCommand) {
  let left = CircularBuffer.left(DataFormat.float32)
  configureSources(a: DataFormat.bfloat16, b: DataFormat.bfloat16, out: command.outFormat)
  var plane: UInt32 = 0
  if command.a == 0 { awaitPlanes(command) }
  command.forEachBlock { block in
    configureDst()
    var done: UInt32 = 0
    while done < command.inner {
      let count = planesAtOnce(after: done, of: command.inner)
      awaitDst()
      let number = left.first
      for i in 0..<count {
        let tile = done == 0 ? i : i + 1
        if command.a == 0 {
          unpackToDst(tile, from: Buffer.plane(plane))
          plane += 1
        } else {
          left.wait(for: number &+ i)
          unpackToDst(tile, from: left.slot(number &+ i))
        }
      }
      finishUnpacking()
      if command.a != 0 { left.pop(count) }
      Thread.push(Tensix.sempost(Semaphore.unpackToMath))
      done += count
    }
    configureSourceA(DataFormat.bfloat16)
    unpackAddends(command, block)
  }
}

/// All planes of this tile's outputs have come. A tile may begin before others have sent theirs.
@inline(never) func awaitPlanes(_ command: MatrixCommand) {
  let count = Memory[Control.tileCount], index = Memory[Control.tileIndex]
  let outputs = (command.rows * command.columns + count - 1 - index) / count
  let expected = Memory[Control.planesUsed] &+ outputs * command.inner
  Memory.wait(Control.planesCome) { $0 == expected }
  Memory[Control.planesUsed] = expected
}

/// One fp32 tile to tile `tile` of Dst.
func unpackToDst(_ tile: UInt32, from address: UInt32) {
  Thread.setRegister(6, 64 + 1024 * tile | 64 << 16)
  setUnpackAddress(Unpacker.sourceA, address)
  Thread.push(Tensix.wrcfg(72, register: 6))
  Thread.push(Tensix.nop)
  Thread.push(Tensix.unpacrToDst)
}
