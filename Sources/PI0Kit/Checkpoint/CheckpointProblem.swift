/// One way in which a checkpoint's tensors are not those of the policy.
public enum CheckpointProblem: Sendable, Equatable, CustomStringConvertible {
  /// The policy needs a tensor that the checkpoint does not have.
  case missing(_ key: String, expected: [Int])
  /// The checkpoint has a tensor that the policy does not know.
  case unexpected(_ key: String, found: [Int])
  /// A tensor has another shape than the configuration asks for.
  case misshaped(_ key: String, expected: [Int], found: [Int])
  /// A tensor that cannot be used as a weight.
  case unusable(_ key: String, reason: String)

  /// One line: what is wrong, the key, expected and found shape.
  public var description: String {
    switch self {
    case .missing(let key, let expected): "missing \(key), expected \(expected)"
    case .unexpected(let key, let found): "unexpected \(key), found \(found)"
    case .misshaped(let key, let expected, let found):
      "mis-shaped \(key), expected \(expected), found \(found)"
    case .unusable(let key, let reason): "unusable \(key): \(reason)"
    }
  }
}
