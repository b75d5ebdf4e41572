/// Everything PI0Kit throws: what was seen, where, and what to do about it.
public enum PI0Error: Error, Sendable, Equatable {
  /// Operands that do not fit an operation. `operands` lists every operand as `name: type[shape]`.
  case operation(_ name: String, reason: String, operands: [String])
  /// A value that a caller gave and the policy cannot use: an observation, a step count, a name.
  case input(_ reason: String)
  /// A policy configuration that contradicts itself or cannot be determined.
  case configuration(_ reason: String)
  /// A file that cannot be read, or whose contents are not what its format says.
  case file(path: String, reason: String)
  /// A checkpoint whose tensors are not those of the policy: every problem at once.
  case checkpoint(path: String, problems: [CheckpointProblem])
  /// A compute device that does not exist here.
  case device(_ reason: String)
}

extension PI0Error: CustomStringConvertible {
  /// The problems of a checkpoint that ``description`` lists.
  private static let listedProblems = 100

  /// One line, or for a checkpoint one line a problem, up to a hundred.
  public var description: String {
    switch self {
    case .operation(let name, let reason, let operands):
      return "\(name): \(reason) (\(operands.joined(separator: ", ")))"
    case .input(let reason), .configuration(let reason), .device(let reason):
      return reason
    case .file(let path, let reason):
      return "\(path): \(reason)"
    case .checkpoint(let path, let problems):
      var lines = problems.prefix(Self.listedProblems).map { "\n  \($0)" }.joined()
      let rest = problems.count - Self.listedProblems
      if rest > 0 { lines += "\n  and \(rest) more" }
      return "\(path): \(problems.count) tensors do not fit the policy:\(lines)"
    }
  }
}
