internal import TensixISA

/// Numbers of rows in the card's DRAM, such as token ids, for a lookup.
///
/// It is a name for memory, not its owner: ``Card/free(_:)`` gives that back.
package struct RowTable: Hashable, Sendable {
  package let count: Int

  /// The address in the first bank.
  package let base: UInt32
}

extension Card {
  /// A table of `count` numbers, whatever is there.
  package func allocateTable(count: Int) throws(CardError) -> RowTable {
    try checkOpen("allocate")
    guard count >= 1, count <= 1 << 24, let base = dram.take(4 * count, planned: true) else {
      throw CardError(
        card: transport.name, call: "allocate",
        seen: "a table of \(count) rows; \(dram.largestCount) bytes are left in a bank",
        remedy: "ask for 1 to \(1 << 24) rows, or free what is no longer needed")
    }
    return RowTable(count: count, base: UInt32(base))
  }

  /// Writes the numbers of the rows; a command list may run again with others.
  package func upload(_ rows: [UInt32], to table: RowTable) throws(CardError) {
    try checkOpen("upload")
    try checkMemory("upload")
    guard rows.count == table.count else {
      throw CardError(
        card: transport.name, call: "upload",
        seen: "\(rows.count) numbers for a table of \(table.count)",
        remedy: "give as many as the table has")
    }
    let place = DRAMLocation(tableEntry: 0, of: table.base)
    try transport.write(
      rows, to: TileCoordinate(x: Int(place.x), y: Int(place.y)), at: UInt64(place.address))
  }

  /// Gives the table's memory back.
  package func free(_ table: RowTable) { _ = dram.giveBack(Int(table.base)) }
}
