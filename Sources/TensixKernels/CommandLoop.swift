/// The life of a resident program: wait for the release of the next command, carry it out, say so.
@inline(__always) func serve(done: UInt32, _ execute: (_ sequence: UInt32) -> Void) -> Never {
  var sequence: UInt32 = 1
  while true {
    waitForRelease(sequence)
    execute(sequence)
    Memory[done] = sequence
    sequence &+= 1
  }
}

/// The command may run, and all of this tile has finished the one before: configuration, buffers and
/// Dst are free.
@inline(__always) func waitForRelease(_ sequence: UInt32) {
  Memory.wait(Control.release) { Int32(bitPattern: $0 &- sequence) >= 0 }
  Memory.wait(Control.finished) { $0 == sequence &- 1 }
}

/// The same, without waiting.
@inline(__always) func isReleased(_ sequence: UInt32) -> Bool {
  Int32(bitPattern: Memory[Control.release] &- sequence) >= 0
    && Memory[Control.finished] == sequence &- 1
}

@inline(__always) func operation(of sequence: UInt32) -> UInt32 {
  Memory[Buffer.command(sequence)] & 0xFF
}

extension MatrixCommand {
  @inline(never) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }

  /// Calls `body` with each block that is this tile's share, in the same order on all five cores.
  ///
  /// A unit of work is `blockRows` x `blockColumns` output tiles and one chunk of the sum; the tile
  /// takes every `tileCount`-th of them, and goes through a unit column by column.
  @inline(__always) func forEachBlock(_ body: (OutputBlock) -> Void) {
    let planes = inner > chunk ? (inner + chunk - 1) / chunk : 1
    let groups = (columns + blockColumns - 1) / blockColumns
    let units = (rows + blockRows - 1) / blockRows * groups * planes
    let count = Memory[Control.tileCount]
    var unit = Memory[Control.tileIndex]
    while unit < units {
      let plane = unit % planes, block = unit / planes
      let row = block / groups * blockRows, column = block % groups * blockColumns
      let step = plane * chunk
      let end = min(column + blockColumns, columns)
      for current in column..<end {
        body(
          OutputBlock(
            row: row, rows: min(blockRows, rows - row), column: current, plane: plane,
            step: step, steps: min(chunk, inner - step),
            startsUnit: current == column, endsUnit: current + 1 == end))
      }
      unit += count
    }
  }
}

extension MatrixCommand {
  /// Where bias and residual come to: beside planes in L1 the left buffer is free, and the right one may have weights of
  /// later commands.
  @inline(__always) var addendBuffer: CircularBuffer {
    operation == Operation.reduce && a == 0
      ? .left(DataFormat.bfloat16) : .right(DataFormat.bfloat16)
  }
}

/// Output tiles of one column whose accumulators are in Dst together.
struct OutputBlock {
  /// The first, and how many: at most four.
  var row: UInt32
  var rows: UInt32
  var column: UInt32
  /// Which chunk of the sum, its first step and their count.
  var plane: UInt32
  var step: UInt32
  var steps: UInt32
  /// The first, the last column of a unit: in between, the activations stay where they are.
  var startsUnit: Bool
  var endsUnit: Bool
}
