internal import TensixISA

/// One command as the tiles read it, and what it costs.
package struct Command: Hashable, Sendable {
  /// Sixteen.
  private(set) var words: [UInt32]
  package let cost: CommandCost

  init(_ command: MatrixCommand, cost: CommandCost) {
    var words = [UInt32](repeating: 0, count: Int(CommandLayout.wordCount))
    command.write { words[Int($0)] = $1 }
    self.init(words: words, cost: cost)
  }

  /// The first word's low eight bits are one of ``Operation``.
  init(words: [UInt32], cost: CommandCost) {
    self.words = words
    self.cost = cost
  }

  /// It need not wait for the command before it.
  package private(set) var isIndependent = false

  mutating func setIndependent() {
    isIndependent = true
    words[0] |= CommandLayout.isIndependent
  }
}
