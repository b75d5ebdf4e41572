internal import TensixISA

/// Commands in the card's DRAM, uploaded once and run as often as wanted with one doorbell each.
package struct CommandList: Hashable, Sendable {
  let base: UInt32
  package let commands: [Command]
  /// Partial sums and the like, which live as long as the list.
  let scratch: [Matrix]
}

/// What one run cost the host.
package struct RunReport: Hashable, Sendable {
  package let commands: Int
  package let doorbells: Int
  package let transport: TransportCounters
  package let duration: Duration
  /// What each command did, in their order; none on a card that does not count.
  package let estimates: [CommandEstimate]
}

extension Card {
  /// Uploads the builder's commands.
  package func load(_ builder: CommandBuilder) throws(CardError) -> CommandList {
    try checkOpen("load")
    try checkMemory("load")
    let words = builder.commands.flatMap(\.words)
    let size = builder.commands.count * Int(CommandLayout.byteCount)
    guard let base = dram.take(size) else {
      throw CardError(
        card: transport.name, call: "load",
        seen: "\(size) bytes of commands; \(dram.largestCount) are left in a bank",
        remedy: "free matrices or lists that are no longer needed")
    }
    let place = DRAMLocation(command: 0, ofListAt: UInt32(base))
    try transport.write(
      words, to: TileCoordinate(x: Int(place.x), y: Int(place.y)), at: UInt64(place.address))
    return CommandList(
      base: UInt32(base), commands: builder.commands, scratch: builder.scratch)
  }

  /// Gives the memory of the list and its scratch back.
  package func free(_ list: CommandList) {
    _ = dram.giveBack(Int(list.base))
    for matrix in list.scratch { free(matrix) }
  }

  /// Rings once for the whole list and waits.
  ///
  /// - Throws: ``CardError`` after `deadline` with the state of every tile; then the card must be
  ///   reset.
  @discardableResult
  package func run(
    _ list: CommandList, deadline: Duration = .seconds(60)
  ) throws(CardError) -> RunReport {
    try checkRunning("run")
    _ = transport.takeEstimates()
    let before = transport.counters, start = ContinuousClock.now
    if !list.commands.isEmpty {
      try ring(list: list.base, count: list.commands.count, deadline: deadline)
    }
    let after = transport.counters
    var spent = TransportCounters()
    spent.reads = after.reads - before.reads
    spent.writes = after.writes - before.writes
    spent.bytesRead = after.bytesRead - before.bytesRead
    spent.bytesWritten = after.bytesWritten - before.bytesWritten
    spent.windowMoves = after.windowMoves - before.windowMoves
    return RunReport(
      commands: list.commands.count, doorbells: list.commands.isEmpty ? 0 : 1, transport: spent,
      duration: ContinuousClock.now - start, estimates: transport.takeEstimates())
  }
}
