/// Carries out the writer's part of a command; returns when everything written is acknowledged.
func write(_ sequence: UInt32) {
  switch operation(of: sequence) {
  case Operation.linear, Operation.reduce, Operation.binary, Operation.copy:
    writeResults(MatrixCommand(sequence))
  case Operation.download:
    writeToHost(MatrixCommand(sequence))
  case Operation.gather:
    let command = GatherCommand(sequence)
    writeMoved(out: command.out, format: command.format)
  case Operation.reshape:
    let command = ReshapeCommand(sequence)
    writeMoved(out: command.out, format: command.format)
  case Operation.patches:
    writeMoved(out: PatchesCommand(sequence).out, format: DataFormat.bfloat16)
  case Operation.normalize:
    writeNormalized(NormalizeCommand(sequence))
  case Operation.rotate:
    writeRotated(RotateCommand(sequence))
  case Operation.attention:
    writeAttended(AttentionCommand(sequence))
  case Operation.thinAttention:
    writeThinAttention(ThinAttentionCommand(sequence), sequence)
  case Operation.gridProduct:
    writeGrid(GridProductCommand(sequence))
  case Operation.thinNormalize:
    writeThinNormalized(NormalizeCommand(sequence))
  case Operation.thinProduct:
    writeThin(ThinProductCommand(sequence))
  default:
    break
  }
}

/// Drains the output buffer to DRAM, a tile a page.
struct ResultWriter {
  var out: UInt32
  let bytes: UInt32
  private var number = CircularBuffer.output.first
  private var ready: UInt32 = 0
  private var awaited = NoC.writing.writesDone
  private var told = NoC.writing.atomicsDone
  /// Planes of which nobody has been told yet.
  private var untold: UInt32 = 0

  init(out: UInt32, format: UInt32) {
    self.out = out
    bytes = DataFormat.tileBytes(format)
  }

  @inline(never) mutating func write(page: UInt32) {
    let slot = next()
    NoC.writing.write(
      slot, to: DRAMLocation(base: out, page: page, pageBytes: bytes), bytes: bytes)
  }

  /// Waits for the next tile, which is to be sent with as many acknowledged writes.
  @inline(__always) mutating func next(writes: UInt32 = 1) -> UInt32 {
    while ready == 0 {
      let output = CircularBuffer.output
      if output.first != number && NoC.writing.writesDone == awaited { giveBack() }
      ready = output.end &- number
    }
    defer { number &+= 1 }
    ready -= 1
    awaited &+= writes
    return CircularBuffer.output.slot(number)
  }

  /// Counts writes of something else.
  @inline(__always) mutating func expect(writes: UInt32) { awaited &+= writes }

  /// The tile at `place` is told that the plane which was sent there has come, when it has.
  @inline(__always) mutating func tellLater(_ place: UInt32) {
    Memory[Control.planePlaces + 4 * untold] = place
    untold += 1
  }

  /// Returns when all is acknowledged.
  @inline(never) mutating func finish() {
    NoC.writing.awaitWrites(awaited)
    giveBack()
    while NoC.writing.atomicsDone != told {}
  }

  /// What was sent has left when it is acknowledged; then its slots are free, and others are told of it.
  @inline(never) private mutating func giveBack() {
    CircularBuffer.output.pop(number &- CircularBuffer.output.first)
    told &+= untold
    while untold != 0 {
      untold -= 1
      NoC.writing.increment(
        Control.planesCome, at: Memory[Control.planePlaces + 4 * untold],
        returning: Control.atomicReturn)
    }
  }
}

func writeNormalized(_ command: NormalizeCommand) {
  var writer = ResultWriter(out: command.out, format: command.outFormat)
  command.forEachBand { band in
    command.forEachGroup(band) { column, row, rows in
      for current in row..<row + rows {
        writer.write(page: (band.row + current) * command.outStride + band.column + column)
      }
    }
  }
  writer.finish()
}

func writeRotated(_ command: RotateCommand) {
  var writer = ResultWriter(out: command.out, format: command.outFormat)
  command.forEachTile { row, column in writer.write(page: row * command.outStride + column) }
  writer.finish()
}

func writeAttended(_ command: AttentionCommand) {
  var writer = ResultWriter(out: command.out, format: DataFormat.bfloat16)
  let share = AttentionShare(command)
  for number in 0..<share.count {
    let unit = share.unit(number, command)
    for column in 0..<command.headColumns {
      writer.write(page: command.queryPage(unit, column: column))
    }
  }
  writer.finish()
}

/// Maxima and sums to all tiles that combine the parts, to each its columns; then what this tile has combined.
func writeThinAttention(_ command: ThinAttentionCommand, _ sequence: UInt32) {
  let share = ThinAttentionShare(command), columns = command.combinedColumns
  guard share.hasUnit else { return }
  let parts = ThinAttentionCommand.parts
  var writer = ResultWriter(out: command.out, format: DataFormat.bfloat16)
  @inline(never) func send(_ slot: UInt32, _ number: UInt32, _ part: UInt32) {
    NoC.writing.write(
      slot, to: command.partSlot(share.part, number), of: share.tile(of: part), bytes: 2048)
  }
  for number: UInt32 in 0..<2 {
    let slot = writer.next(writes: parts)
    for part in 0..<parts { send(slot, number, part) }
  }
  for column in 0..<command.headColumns {
    send(writer.next(), 2 + column % columns, column / columns)
  }
  // It is there when it is acknowledged.
  writer.finish()
  Memory[Control.partSource] = sequence
  Memory.settle(Control.partSource)
  writer.expect(writes: parts)
  for part in 0..<parts {
    NoC.writing.write(
      Control.partSource, to: Control.partSent(share.part), of: share.tile(of: part), bytes: 4)
  }
  let page = share.row * command.stride + share.head * command.headColumns + share.part * columns
  for column in 0..<columns { writer.write(page: page + column) }
  writer.finish()
}

func writeGrid(_ command: GridProductCommand) {
  let share = GridShare(command)
  var writer = ResultWriter(out: command.out, format: command.outFormat)
  share.forEachBlock(command) { block in
    guard block.endsSum else { return }
    let row = command.firstRow + share.row + block.row, start = share.column(of: block.group)
    for column in start..<start + block.columns {
      let place = command.place(of: column)
      writer.out = place.out
      writer.write(page: row * place.outStride + command.outColumn + place.number)
    }
  }
  writer.finish()
}

func writeThinNormalized(_ command: NormalizeCommand) {
  let share = NormShare(rows: command.rows, columns: command.columns)
  if command.isSummed {
    writeKept(share, from: command.firstValue, to: command.a, stride: command.aStride)
  }
  guard !command.isShared else { return }
  var writer = ResultWriter(out: command.out, format: command.outFormat)
  share.forEachColumn { writer.write(page: share.row * command.outStride + $0) }
  writer.finish()
}

/// What the command before has left in L1, `step` places apart from `number` on.
@inline(never) func writeKept(
  _ share: NormShare, from number: UInt32, step: UInt32 = 0, to base: UInt32, stride: UInt32
) {
  var awaited = NoC.writing.writesDone, number = number
  share.forEachColumn { column in
    NoC.writing.write(
      ThinProductCommand.activation(number),
      to: DRAMLocation(base: base, page: share.row * stride + column, pageBytes: 2048), bytes: 2048)
    number += step
    awaited &+= 1
  }
  NoC.writing.awaitWrites(awaited)
}

func writeThin(_ command: ThinProductCommand) {
  if command.isNormalized {
    let share = NormShare(rows: command.rows, columns: command.inner)
    writeKept(
      share, from: share.member * command.rows + share.row, step: share.members * command.rows,
      to: command.a, stride: command.aStride)
  }
  let share = ThinShare(command)
  var writer = ResultWriter(out: command.out, format: command.outFormat)
  share.forEachColumn(command) { column in
    let place = command.place(of: column)
    writer.out = place.out
    for row in 0..<command.rows {
      if command.out == 0 {
        writePlane(
          share.plane, of: command.planes, output: row * command.columns + column, &writer)
      } else {
        writer.write(page: row * place.outStride + command.outColumn + place.number)
      }
    }
  }
  writer.finish()
}

func writeResults(_ command: MatrixCommand) {
  guard !command.isNormalized else { return }
  var writer = ResultWriter(out: command.out, format: command.outFormat)
  command.forEachBlock { block in
    let top = command.outRow + block.plane * command.rows + block.row
    for row in 0..<block.rows {
      if command.out == 0 {
        writePlane(
          block.plane, of: (command.inner + command.chunk - 1) / command.chunk,
          output: (block.row + row) * command.columns + block.column, &writer)
      } else {
        writer.write(page: (top + row) * command.outStride + command.outColumn + block.column)
      }
    }
  }
  writer.finish()
}

/// To the tile that will add this output tile's planes: `reduce` gives every `tileCount`-th to one.
@inline(never) func writePlane(
  _ plane: UInt32, of planes: UInt32, output: UInt32, _ writer: inout ResultWriter
) {
  let count = Memory[Control.tileCount]
  let place = Memory[Buffer.tiles + 4 * (output % count)]
  NoC.writing.write(
    writer.next(), to: Buffer.plane(output / count * planes + plane), of: place, bytes: 4096)
  writer.tellLater(place)
}

/// The master alone writes into memory of the host, as long as that is the card's to write: should the
/// host's process die, the kernel stops this one tile, and nothing more is written.
func writeToHost(_ command: MatrixCommand) {
  guard Memory[Control.tileIndex] == 0 else { return }
  let noc = NoC.writing, buffer = CircularBuffer.output
  let bytes = DataFormat.tileBytes(command.outFormat)
  var address = command.out
  var pages = command.rows * command.columns
  while pages != 0 {
    let first = buffer.first, count = buffer.waitForAny()
    var awaited = noc.writesDone
    for i in 0..<count {
      if Memory[Control.hostValid] != 0 {
        noc.writeHost(buffer.slot(first &+ i), to: address, bytes: bytes)
        awaited &+= 1
      }
      address &+= bytes
    }
    noc.awaitWrites(awaited)
    buffer.pop(count)
    pages -= count
  }
}
