/// NCRISC: brings tiles from DRAM over NoC 0, weights even before their command is released.
@c(kmain) public func reader() {
  NoC.reading.initialise()
  NoC.sharing.initialise()
  // Of thin products, this command and later ones.
  var weights = WeightStream()
  var sequence: UInt32 = 1
  while true {
    Memory.wait(Control.announced) { Int32(bitPattern: $0 &- sequence) >= 0 }
    weights.reach(sequence)
    let operation = operation(of: sequence)
    let ahead = operation == Operation.linear ? readAhead(MatrixCommand(sequence)) : 0
    if operation != Operation.gridProduct && operation != Operation.thinAttention {
      weights.advance(untilReleased: sequence)
    }
    switch operation {
    case Operation.linear: readLinear(MatrixCommand(sequence), ahead: ahead, &weights)
    case Operation.reduce: readPlanes(MatrixCommand(sequence), &weights)
    case Operation.binary: readPairs(MatrixCommand(sequence))
    case Operation.copy: readCopies(MatrixCommand(sequence))
    case Operation.download: readDownload(MatrixCommand(sequence))
    case Operation.gather: readGather(GatherCommand(sequence))
    case Operation.reshape: readReshape(ReshapeCommand(sequence))
    case Operation.normalize: readNormalize(NormalizeCommand(sequence), sequence)
    case Operation.rotate: readRotate(RotateCommand(sequence))
    case Operation.attention: readAttention(AttentionCommand(sequence), sequence)
    case Operation.thinAttention:
      readThinAttention(ThinAttentionCommand(sequence), sequence, &weights)
    case Operation.patches: readPatches(PatchesCommand(sequence))
    case Operation.gridProduct: readGrid(GridProductCommand(sequence), sequence)
    case Operation.thinProduct: readThin(ThinProductCommand(sequence), sequence, &weights)
    case Operation.thinNormalize:
      readThinNormalize(NormalizeCommand(sequence), sequence, &weights)
    default: break
    }
    Memory[Control.doneReader] = sequence
    sequence &+= 1
  }
}

/// Steps whose tiles are requested at once, then awaited.
var batch: UInt32 { 8 }

/// Asks for one tile. Not inlined: it stands in many places, and finding the bank takes thirty
/// instructions.
@inline(never) func request(base: UInt32, page: UInt32, bytes: UInt32, to slot: UInt32) {
  NoC.reading.read(
    DRAMLocation(base: base, page: page, pageBytes: bytes), to: slot, bytes: bytes)
}

/// Weights that depend on no other command: those of the first block come now. Returns how many
/// steps' are in the buffer.
func readAhead(_ command: MatrixCommand) -> UInt32 {
  guard command.bIsConstant else { return 0 }
  let right = CircularBuffer.right(command.bFormat)
  var ahead: UInt32 = 0, isFirst = true
  command.forEachBlock { block in
    guard isFirst else { return }
    isFirst = false
    ahead = min(block.steps, right.capacity)
    let first = right.reserve(ahead)
    let awaited = NoC.reading.readsDone &+ ahead
    for step in 0..<ahead {
      requestWeight(command, block.step + step, block.column, to: right.slot(first &+ step))
    }
    NoC.reading.awaitReads(awaited)
    right.push(ahead)
  }
  return ahead
}

@inline(__always) func requestWeight(
  _ command: MatrixCommand, _ step: UInt32, _ column: UInt32, to slot: UInt32
) {
  request(
    base: command.b, page: step * command.bStride + column,
    bytes: DataFormat.tileBytes(command.bFormat), to: slot)
}

func readLinear(_ command: MatrixCommand, ahead: UInt32, _ weights: inout WeightStream) {
  let noc = NoC.reading
  let left = CircularBuffer.left(command.aFormat), right = CircularBuffer.right(command.bFormat)
  let leftBytes = DataFormat.tileBytes(command.aFormat)
  var ahead = ahead
  command.forEachBlock { block in
    var step: UInt32 = 0
    while step < block.steps {
      let end = min(step + batch, block.steps)
      var awaited = noc.readsDone
      // Activations stay for all columns of the unit.
      let activations = block.startsUnit ? (end - step) * block.rows : 0
      if activations != 0 {
        var number = left.reserve(activations)
        for k in block.step + step..<block.step + end {
          for row in block.row..<block.row + block.rows {
            request(
              base: command.a, page: row * command.aStride + k, bytes: leftBytes,
              to: left.slot(number))
            number &+= 1
          }
        }
        awaited &+= activations
      }
      // Weights that are not here yet.
      let start = max(step, min(ahead, end)), weights = end - start
      if weights != 0 {
        var number = right.reserve(weights)
        for k in start..<end {
          requestWeight(command, block.step + k, block.column, to: right.slot(number))
          number &+= 1
        }
        awaited &+= weights
      }
      noc.awaitReads(awaited)
      left.push(activations)
      right.push(weights)
      step = end
    }
    ahead = 0
    readAddends(command, block, &weights)
  }
}

/// Factor, bias and residual, all bfloat16; weights of later products come meanwhile.
@inline(never) func readAddends(
  _ command: MatrixCommand, _ block: OutputBlock, _ weights: inout WeightStream
) {
  let buffer = command.addendBuffer
  let count = command.rowCount + (command.residual != 0 ? block.rows : 0)
  var number = buffer.reserve(count)
  func add(_ base: UInt32, _ page: UInt32) {
    guard base != 0 else { return }
    request(base: base, page: page, bytes: 2048, to: buffer.slot(number))
    number &+= 1
  }
  NoC.reading.tag(Transaction.addends)
  add(command.factor, block.column)
  add(command.bias, block.column)
  for row in block.row..<block.row + block.rows {
    add(command.residual, row * command.columns + block.column)
  }
  NoC.reading.tag(0)
  weights.advance(untilDone: Transaction.addends)
  buffer.push(count)
}

/// Partial sums lie in DRAM one plane under the other, or are here.
func readPlanes(_ command: MatrixCommand, _ weights: inout WeightStream) {
  let noc = NoC.reading
  let left = CircularBuffer.left(DataFormat.float32)
  command.forEachBlock { block in
    var plane: UInt32 = command.a == 0 ? command.inner : 0
    while plane < command.inner {
      let count = min(batch, command.inner - plane)
      let number = left.reserve(count), awaited = noc.readsDone &+ count
      for i in 0..<count {
        let row = (plane + i) * command.rows + block.row
        request(
          base: command.a, page: row * command.aStride + block.column, bytes: 4096,
          to: left.slot(number &+ i))
      }
      noc.awaitReads(awaited)
      left.push(count)
      plane += count
    }
    readAddends(command, block, &weights)
  }
}

func readPairs(_ command: MatrixCommand) {
  let noc = NoC.reading
  let left = CircularBuffer.left(command.aFormat), right = CircularBuffer.right(command.bFormat)
  let leftBytes = DataFormat.tileBytes(command.aFormat)
  let rightBytes = DataFormat.tileBytes(command.bFormat)
  // Of a broadcast row there is one row of tiles, of a broadcast column one column.
  let hasRows = command.broadcast & 2 == 0, hasColumns = command.broadcast & 1 == 0
  // Several pairs are under way at once.
  var pending: UInt32 = 0, awaited = noc.readsDone
  func finish() {
    noc.awaitReads(awaited)
    left.push(pending)
    right.push(pending)
    pending = 0
  }
  command.forEachBlock { block in
    let leftSlot = left.slot(left.reserve(pending + 1) &+ pending)
    let rightSlot = right.slot(right.reserve(pending + 1) &+ pending)
    request(
      base: command.a, page: block.row * command.aStride + block.column, bytes: leftBytes,
      to: leftSlot)
    request(
      base: command.b,
      page: (hasRows ? block.row : 0) * command.bStride + (hasColumns ? block.column : 0),
      bytes: rightBytes, to: rightSlot)
    awaited &+= 2
    pending += 1
    if pending == batch / 2 { finish() }
  }
  finish()
}

func readCopies(_ command: MatrixCommand) {
  let noc = NoC.reading, buffer = CircularBuffer.output
  let bytes = DataFormat.tileBytes(command.aFormat)
  var pending: UInt32 = 0, awaited = noc.readsDone
  func finish() {
    noc.awaitReads(awaited)
    buffer.push(pending)
    pending = 0
  }
  command.forEachBlock { block in
    let slot = buffer.slot(buffer.reserve(pending + 1) &+ pending)
    request(
      base: command.a, page: block.row * command.aStride + block.column, bytes: bytes, to: slot)
    awaited &+= 1
    pending += 1
    if pending == batch { finish() }
  }
  finish()
}

/// All pages, on the master alone.
func readDownload(_ command: MatrixCommand) {
  guard Memory[Control.tileIndex] == 0 else { return }
  let noc = NoC.reading, buffer = CircularBuffer.output
  let bytes = DataFormat.tileBytes(command.aFormat)
  let pages = command.rows * command.columns
  var page: UInt32 = 0
  while page < pages {
    let count = min(batch, pages - page)
    let first = buffer.reserve(count), awaited = noc.readsDone &+ count
    for i in 0..<count {
      request(base: command.a, page: page + i, bytes: bytes, to: buffer.slot(first &+ i))
    }
    noc.awaitReads(awaited)
    buffer.push(count)
    page += count
  }
}
