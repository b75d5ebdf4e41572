internal import TensixISA

/// One command as the tiles read it, and what it costs.
package struct Command: Hashable, Sendable {
  /// Sixteen.
  private(set) var words: [UInt32]
  package let cost: CommandCost
  /// What it is for, in reports: a weight's name, say.
  package internal(set) var purpose = ""

  /// `write` stores the words by their numbers; the first's low eight bits are one of ``Operation``.
  init(cost: CommandCost, _ write: ((UInt32, UInt32) -> Void) -> Void) {
    var words = [UInt32](repeating: 0, count: Int(CommandLayout.wordCount))
    write { words[Int($0)] = $1 }
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
