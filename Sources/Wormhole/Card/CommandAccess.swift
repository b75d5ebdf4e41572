/// What a command reads and writes, so that one which does not need the command before it can be told.
struct CommandAccess: Hashable {
  /// Partial sums between tiles.
  enum Scratch: Hashable {
    /// The tile's own L1, which other tiles leave alone.
    case own
    /// Other tiles' L1.
    case others
    case none
  }

  var reads: [Matrix]
  var writes: [Matrix]
  var scratch: Scratch

  /// Whether tiles may begin this command while others are at work on `other`.
  func isIndependent(of other: CommandAccess) -> Bool {
    func overlap(_ a: [Matrix], _ b: [Matrix]) -> Bool {
      a.contains { a in b.contains { $0.addresses.overlaps(a.addresses) } }
    }
    let needsScratch = scratch != .none && other.scratch != .none
    return !overlap(reads, other.writes) && !overlap(writes, other.writes)
      && !overlap(writes, other.reads)
      && !(needsScratch && (scratch == .others || other.scratch == .others))
  }
}

extension Matrix {
  /// Of every bank.
  fileprivate var addresses: Range<Int> { Int(base)..<Int(base) + bankBytes }
}
