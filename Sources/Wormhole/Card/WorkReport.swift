/// What a list of commands moves and computes in one run, by counting, and how long the documented
/// throughputs make it take at least.
package struct WorkReport: Hashable, Sendable, Codable {
  package var commands = 0
  package var doorbells = 0
  /// The doorbell itself; inputs are written before.
  package var hostBytesIn = 0
  /// What the card delivers into host memory.
  package var hostBytesOut = 0
  package var dramBytesRead = 0
  package var dramBytesWritten = 0
  /// Into and out of all tiles.
  package var nocBytes = 0
  /// Matrix instructions (MVMUL and its like) of all tiles.
  package var matrixInstructions = 0
  /// The same of the busiest tile, command by command.
  package var matrixInstructionsOfBusiestTile = 0
  /// Live tiles, those that take part, and those that multiply matrices.
  package var liveTiles = 0
  package var tiles = 0
  package var matrixTiles = 0
  /// MHz.
  package var clock = 0
  /// The sum over commands of the slowest of: the busiest tile's NoC traffic at 32 bytes a cycle, its
  /// matrix and vector instructions at one a cycle, DRAM at 288 GB/s. Nothing is taken to overlap
  /// between commands, and nothing to wait.
  package var microsecondsAtLeast = 0.0
  /// What each command did in the last run, on an emulated card; none on others.
  package var estimates: [CommandEstimate] = []

  /// Matrix instructions of the average live tile.
  package var matrixInstructionsPerTile: Double {
    liveTiles == 0 ? 0 : Double(matrixInstructions) / Double(liveTiles)
  }

  /// The share of live tiles that multiply matrices.
  package var matrixShare: Double {
    liveTiles == 0 ? 0 : Double(matrixTiles) / Double(liveTiles)
  }
}

extension Card {
  /// Counts what one run of `list` does.
  package func report(on list: CommandList) -> WorkReport {
    var report = WorkReport()
    report.commands = list.commands.count
    report.doorbells = list.commands.isEmpty ? 0 : 1
    report.hostBytesIn = 16 * report.doorbells
    report.hostBytesOut = 4 * report.doorbells
    report.liveTiles = transport.layout.tiles.count
    report.tiles = tiles.count
    // Boards say their clock; 1000 MHz is what they are specified for.
    report.clock = transport.layout.aiClock ?? 1000
    for cost in list.commands.map(\.cost) {
      report.hostBytesOut += cost.hostBytes
      report.dramBytesRead += cost.dramBytesRead
      report.dramBytesWritten += cost.dramBytesWritten
      report.nocBytes += cost.nocBytes
      report.matrixInstructions += cost.products
      report.matrixInstructionsOfBusiestTile += cost.productsOfBusiestTile
      report.matrixTiles = max(report.matrixTiles, cost.matrixTiles)
      report.microsecondsAtLeast += cost.microsecondsAtLeast(clock: report.clock)
    }
    return report
  }
}

extension WorkReport: CustomStringConvertible {
  /// Three lines; where commands were counted, one more for all of them and one for each of a short list.
  package var description: String {
    let time = (microsecondsAtLeast * 10).rounded() / 10
    return """
      \(commands) commands, \(doorbells) doorbell, \(hostBytesIn) bytes from the host, \
      \(hostBytesOut) to it
      DRAM \(dramBytesRead) bytes read, \(dramBytesWritten) written; NoC \(nocBytes) bytes
      \(Int(matrixInstructionsPerTile)) matrix instructions a tile on \(matrixTiles) of \
      \(liveTiles) tiles; at least \(time) us at \(clock) MHz\(estimateText)
      """
  }

  private var estimateText: String {
    guard !estimates.isEmpty else { return "" }
    var lines = ["", "estimate: \(text(CommandEstimate.total(estimates)))"]
    for (number, estimate) in estimates.enumerated() where estimates.count <= 32 {
      lines.append("command \(number + 1): \(text(estimate))")
    }
    return lines.joined(separator: "\n")
  }

  /// `5.1 us, bound by NoC (math 12 %, ...)`.
  private func text(_ estimate: CommandEstimate) -> String {
    let cycles = max(1, estimate.cycles)
    let shares = zip(WorkBound.allCases, estimate.busyCycles + [estimate.dispatchCycles])
      .filter { $0.1 > 0 }.map { "\($0.rawValue) \(100 * $1 / cycles) %" }
    let time = (Double(cycles) / Double(max(1, clock)) * 10).rounded() / 10
    return "\(time) us, bound by \(estimate.bound.rawValue) (\(shares.joined(separator: ", ")))"
  }
}
