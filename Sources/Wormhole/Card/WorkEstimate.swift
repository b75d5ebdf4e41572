/// What a command spends its time on.
package enum WorkBound: String, Hashable, Sendable, Codable, CaseIterable {
  case math, vector, unpack, pack
  case noc = "NoC"
  case dram = "DRAM"
  /// None of the others: cores, waiting for one another, latencies, the way from command to command.
  case dispatch
}

/// What a card that counts saw of one command.
package struct CommandEstimate: Hashable, Sendable, Codable {
  /// Cycles from its release to that of the next one, or to the list's end.
  package var cycles = 0
  /// Of these, by ``WorkBound`` but for dispatch: busy cycles of the unit in the tile where it was
  /// busiest, of the busiest link of a NoC and of the busiest channel of DRAM.
  package var busyCycles: [Int]

  package init(cycles: Int, busyCycles: [Int]) {
    self.cycles = cycles
    self.busyCycles = busyCycles
  }

  /// Cycles that are nobody's work.
  package var dispatchCycles: Int { max(0, cycles - (busyCycles.max() ?? 0)) }

  /// What was busy longest.
  package var bound: WorkBound {
    var bound = WorkBound.dispatch, most = dispatchCycles
    for (kind, busy) in zip(WorkBound.allCases, busyCycles) where busy > most {
      (bound, most) = (kind, busy)
    }
    return bound
  }

  /// The sum, command by command.
  package static func total(_ estimates: [CommandEstimate]) -> CommandEstimate {
    var total = CommandEstimate(
      cycles: 0, busyCycles: [Int](repeating: 0, count: WorkBound.allCases.count - 1))
    for estimate in estimates {
      total.cycles += estimate.cycles
      for (index, busy) in estimate.busyCycles.enumerated() { total.busyCycles[index] += busy }
    }
    return total
  }
}

/// When commands ran and how busy the units were meanwhile, for a browser's trace viewer.
package struct WorkProfile: Sendable {
  /// A command's first cycle, and what it did.
  package var commands: [(start: UInt64, estimate: CommandEstimate)] = []
  /// A cycle, and the share of the time since the sample before that each unit was at work, of all
  /// tiles, in percent, by ``WorkBound`` but for dispatch.
  package var samples: [(clock: UInt64, busy: [Double])] = []

  package init() {}

  /// Trace events as JSON, which chrome://tracing and Perfetto open: commands on one track, each
  /// unit's share of work over time on another. A cycle is 1 ns.
  package var traceEvents: String {
    var events = [
      #"{"ph":"M","pid":1,"name":"process_name","args":{"name":"card"}}"#,
      #"{"ph":"M","pid":1,"tid":1,"name":"thread_name","args":{"name":"commands"}}"#,
    ]
    for (number, command) in commands.enumerated() {
      let busy = zip(WorkBound.allCases, command.estimate.busyCycles)
        .map { "\"\($0.rawValue)\":\($1)" }.joined(separator: ",")
      events.append(
        """
        {"ph":"X","pid":1,"tid":1,"ts":\(microseconds(command.start)),\
        "dur":\(microseconds(UInt64(command.estimate.cycles))),\
        "name":"command \(number + 1): \(command.estimate.bound.rawValue)",\
        "args":{"busy cycles of the busiest":{\(busy)}}}
        """)
    }
    for sample in samples {
      for (kind, busy) in zip(WorkBound.allCases, sample.busy) {
        events.append(
          """
          {"ph":"C","pid":1,"ts":\(microseconds(sample.clock)),"name":"\(kind.rawValue), % busy",\
          "args":{"all tiles":\((busy * 10).rounded() / 10)}}
          """)
      }
    }
    return "{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n\(events.joined(separator: ",\n"))\n]}\n"
  }

  private func microseconds(_ cycles: UInt64) -> Double { Double(cycles) / 1000 }
}
