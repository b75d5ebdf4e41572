extension ReshapeCommand {
  /// Goes through the pieces of an output tile, elements that lie in one segment here and there. First it
  /// requests them, to their slot or to the staging buffer; then, with `isPlacing`, it moves what was
  /// staged. Returns whether anything is staged.
  @inline(never) func forEachPiece(
    _ tileRow: UInt32, _ tileColumn: UInt32, slot: UInt32, isPlacing: Bool,
    _ reader: inout ElementReader
  ) -> Bool {
    let shift = reader.shift
    let rows = min(32, outRows - tileRow << 5), columns = min(32, outColumns - tileColumn << 5)
    let first = tileRow << 5 * outColumns + tileColumn << 5
    let rowsDown = outColumns / sourceColumns, columnsRight = outColumns % sourceColumns
    var startRow = first / sourceColumns, startColumn = first % sourceColumns
    var staged = MovingScratch.staging
    for row in 0..<rows {
      var column: UInt32 = 0, sourceRow = startRow, sourceColumn = startColumn
      while column < columns {
        let count = min(
          min(columns &- column, sourceColumns &- sourceColumn),
          min(16 &- column & 15, 16 &- sourceColumn & 15))
        let to = slot &+ elementOffset(row, column) &<< shift
        let isInPlace = (column ^ sourceColumn) & 15 == 0
        let place = isInPlace ? to : staged &+ (sourceColumn & 15) &<< shift
        if !isInPlace { staged &+= 16 &<< shift }
        if !isPlacing {
          reader.read(row: sourceRow, column: sourceColumn, count: count, to: place)
        } else if !isInPlace {
          copyElements(from: place, to: to, bytes: count &<< shift)
        }
        column &+= count
        sourceColumn &+= count
        if sourceColumn == sourceColumns {
          sourceRow &+= 1
          sourceColumn = 0
        }
      }
      startRow &+= rowsDown
      startColumn &+= columnsRight
      if startColumn >= sourceColumns {
        startRow &+= 1
        startColumn &-= sourceColumns
      }
    }
    return staged != MovingScratch.staging
  }
}

func readReshape(_ command: ReshapeCommand) {
  let shift = command.format == DataFormat.float32 ? 2 : 1 as UInt32
  var reader = ElementReader(base: command.source, stride: command.sourceStride, shift: shift)
  var slots = OutputSlots()

  let across = (command.outColumns + 31) >> 5, tiles = (command.outRows + 31) >> 5 * across
  var tile = Memory[Control.tileIndex]
  while tile < tiles {
    let tileRow = tile / across, tileColumn = tile % across
    tile += Memory[Control.tileCount]
    let page = tileRow * command.outStride + tileColumn
    let slot = slots.next(page: page)
    if tileRow << 5 + 32 > command.outRows || tileColumn << 5 + 32 > command.outColumns {
      let location = DRAMLocation(base: command.out, page: page, pageBytes: 1024 &<< shift)
      reader.read(location, bytes: 1024 &<< shift, to: slot)
      reader.finish()
    }
    let isStaged = command.forEachPiece(
      tileRow, tileColumn, slot: slot, isPlacing: false, &reader)
    if isStaged {
      reader.finish()
      _ = command.forEachPiece(tileRow, tileColumn, slot: slot, isPlacing: true, &reader)
      slots.push()
    } else if slots.isHalfFull {
      reader.finish()
      slots.push()
    }
  }
  reader.finish()
  slots.end()
}
