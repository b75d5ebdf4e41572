extension GatherCommand {
  /// Lists the runs of rows of the tiles at `tileRow`; returns how many runs and how many rows.
  @inline(never) func listRuns(
    _ tileRow: UInt32, _ reader: inout ElementReader
  ) -> (runs: UInt32, rows: UInt32) {
    let top = tileRow << 5
    let past = top > outRow ? top - outRow : 0
    var q = past / outBlockStride, i = past % outBlockStride
    if i >= blockRows {
      q += 1
      i = 0
    }
    // The table's entries for these rows follow one another, whatever lies between the rows.
    let firstEntry = q * blockRows + i
    var runs: UInt32 = 0, total: UInt32 = 0
    while q < blocks && outRow + q * outBlockStride + i < top + 32 {
      var row = outRow + q * outBlockStride + i - top
      var source = sourceRow + q * sourceBlockStride + i * rowStep
      var rows = min(blockRows - i, 32 - row)
      total += rows
      while rows != 0 {
        // Segments of rows that follow one another in a face are contiguous.
        let follow = hasTable || rowStep != 1 ? 1 : min(16 - row & 15, 16 - source & 15)
        let count = min(rows, follow)
        Run.store(runs, row: row, count: count, source: source)
        runs += 1
        row += count
        rows -= count
        source += count * rowStep
      }
      q += 1
      i = 0
    }
    if hasTable && runs != 0 { runs = resolve(runs, firstEntry: firstEntry, &reader) }
    return (runs, total)
  }

  /// Gives runs of one row the sources that the table has for them, and joins those that follow one
  /// another; returns how many runs are left.
  private func resolve(
    _ runs: UInt32, firstEntry: UInt32, _ reader: inout ElementReader
  ) -> UInt32 {
    let place = DRAMLocation(tableEntry: firstEntry, of: table)
    let entries = MovingScratch.entries + place.address & 31
    reader.read(place, bytes: 4 * runs, to: entries)
    reader.finish()
    var last: UInt32 = 0, count: UInt32 = 0
    var nextRow = MovingScratch.zeros, nextSource = MovingScratch.zeros
    for run in 0..<runs {
      let row = Run(run).row
      let entry = Memory[entries + 4 * run]
      let source = entry < sourceRows ? entry : MovingScratch.zeros
      if row == nextRow && source == nextSource && row & 15 != 0 && source & 15 != 0 {
        count += 1
        Run.store(last, row: row + 1 - count, count: count, source: source + 1 - count)
      } else {
        if count != 0 { last += 1 }
        count = 1
        Run.store(last, row: row, count: 1, source: source)
      }
      nextRow = row + 1
      nextSource = source &+ 1
    }
    return last + 1
  }
}

/// Rows of an output tile whose sources follow one another, within a face here and there.
struct Run {
  let row: UInt32
  let count: UInt32
  let source: UInt32

  @inline(__always) init(_ number: UInt32) {
    let word = Memory[MovingScratch.run(number)]
    row = word & 0xFF
    count = word >> 8
    source = Memory[MovingScratch.run(number) &+ 4]
  }
  @inline(__always) static func store(
    _ number: UInt32, row: UInt32, count: UInt32, source: UInt32
  ) {
    Memory[MovingScratch.run(number)] = row | count << 8
    Memory[MovingScratch.run(number) + 4] = source
  }
}

/// Requests elements of all runs: those of column c of the tiles at `address` from the source's column
/// `origin` + c.
@inline(never) func readRuns(
  _ reader: inout ElementReader, runs: UInt32, columns: Range<UInt32>, origin: UInt32,
  to address: UInt32
) {
  var column = columns.lowerBound
  while column < columns.upperBound {
    let width = min(columns.upperBound &- column, 16 &- column & 15)
    for number in 0..<runs {
      let run = Run(number)
      guard run.source != MovingScratch.zeros else { continue }
      // One read, if the segments are whole.
      let rows = width == 16 ? run.count : 1
      var done: UInt32 = 0
      while done < run.count {
        reader.read(
          row: run.source &+ done, column: origin &+ column, count: width &* rows,
          to: address &+ elementOffset(run.row &+ done, column) &<< reader.shift)
        done &+= rows
      }
    }
    column &+= width
  }
}

/// Moves elements of all runs from the staging buffer, where column `columns.lowerBound` is at `offset`,
/// to their slot; `isSpread` takes that one column for all.
@inline(never) func placeRuns(
  _ runs: UInt32, columns: Range<UInt32>, offset: UInt32, isSpread: Bool, slot: UInt32,
  shift: UInt32
) {
  var column = columns.lowerBound, offset = offset
  while column < columns.upperBound {
    var width = min(columns.upperBound &- column, 16 &- column & 15)
    if !isSpread { width = min(width, 16 &- offset & 15) }
    let bytes = width &<< shift
    for number in 0..<runs {
      let run = Run(number)
      for row in run.row..<run.row &+ run.count {
        let from = MovingScratch.staging &+ elementOffset(row, offset) &<< shift
        let to = slot &+ elementOffset(row, column) &<< shift
        if run.source == MovingScratch.zeros {
          fillElements(0, to: to, bytes: bytes)
        } else if isSpread {
          let word = shift == 2 ? Memory[from] : HalfWord[from] &* 0x1_0001
          fillElements(word, to: to, bytes: bytes)
        } else {
          copyElements(from: from, to: to, bytes: bytes)
        }
      }
    }
    column &+= width
    if !isSpread { offset &+= width }
  }
}

/// Zeros for the runs that have no source.
@inline(never) func clearRuns(_ runs: UInt32, columns: Range<UInt32>, slot: UInt32, shift: UInt32) {
  var column = columns.lowerBound
  while column < columns.upperBound {
    let width = min(columns.upperBound &- column, 16 &- column & 15)
    for number in 0..<runs {
      let run = Run(number)
      guard run.source == MovingScratch.zeros else { continue }
      fillElements(
        0, to: slot &+ elementOffset(run.row, column) &<< shift, bytes: width &<< shift)
    }
    column &+= width
  }
}

func readGather(_ command: GatherCommand) {
  let shift = command.format == DataFormat.float32 ? 2 : 1 as UInt32
  var reader = ElementReader(base: command.source, stride: command.sourceStride, shift: shift)
  var slots = OutputSlots()

  let top = command.outRow >> 5, left = command.outColumn >> 5
  let endRow = command.outRow + (command.blocks - 1) * command.outBlockStride + command.blockRows
  let across = (command.outColumn + command.columns + 31) >> 5 - left
  let tiles = ((endRow + 31) >> 5 - top) * across
  var tile = Memory[Control.tileIndex]
  while tile < tiles {
    let tileRow = top + tile / across, tileColumn = left + tile % across
    tile += Memory[Control.tileCount]
    let (runs, rows) = command.listRuns(tileRow, &reader)
    guard runs != 0 else { continue }

    let page = tileRow * command.outStride + tileColumn
    let slot = slots.next(page: page)
    let first = max(command.outColumn, tileColumn << 5) - tileColumn << 5
    let end = min(command.outColumn + command.columns, tileColumn << 5 + 32) - tileColumn << 5
    if rows < 32 || end - first < 32 {
      let location = DRAMLocation(base: command.out, page: page, pageBytes: 1024 &<< shift)
      reader.read(location, bytes: 1024 &<< shift, to: slot)
      reader.finish()
    }

    // The source's column that belongs to this tile's column `first`.
    let isSpread = command.columnStep == 0
    let source =
      command.sourceColumn + (isSpread ? 0 : tileColumn << 5 + first - command.outColumn)
    let isInPlace = !isSpread && (source ^ first) & 15 == 0
    if isInPlace {
      readRuns(&reader, runs: runs, columns: first..<end, origin: source &- first, to: slot)
      if command.hasTable { clearRuns(runs, columns: first..<end, slot: slot, shift: shift) }
      if slots.isHalfFull {
        reader.finish()
        slots.push()
      }
    } else {
      let segments = isSpread ? 1 : (source & 15 + end - first + 15) >> 4
      readRuns(
        &reader, runs: runs, columns: 0..<16 * segments, origin: source & ~15,
        to: MovingScratch.staging)
      reader.finish()
      placeRuns(
        runs, columns: first..<end, offset: source & 15, isSpread: isSpread, slot: slot,
        shift: shift)
      slots.push()
    }
  }
  reader.finish()
  slots.end()
}
