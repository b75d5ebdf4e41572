/// Looks weights up in a checkpoint by their key, as layers ask for them, and collects every
/// problem on the way so that one error can list them all.
///
/// A view with a key prefix: `weights.at("layers.3").at("mlp")` reads `layers.3.mlp.…`.
struct Weights {
  private final class Ledger {
    var requested: Set<String> = []
    var problems: [CheckpointProblem] = []
  }

  private let checkpoint: Checkpoint
  private let device: Device
  private let prefix: String
  private let ledger: Ledger
  /// Stands in for a tensor that has a problem; `finish` throws before anything computes with it.
  private let placeholder: Tensor

  init(_ checkpoint: Checkpoint, on device: Device) throws(PI0Error) {
    self.checkpoint = checkpoint
    self.device = device
    prefix = ""
    ledger = Ledger()
    placeholder = try Tensor.full([0], 0, device: device)
  }

  private init(_ weights: Weights, prefix: String) {
    checkpoint = weights.checkpoint
    device = weights.device
    self.prefix = prefix
    ledger = weights.ledger
    placeholder = weights.placeholder
  }

  /// The weights whose keys begin with `key` and a dot.
  func at(_ key: String) -> Weights {
    Weights(self, prefix: prefix + key + ".")
  }

  /// The tensor at `key`, which must have the given shape.
  func tensor(_ key: String, _ shape: [Int]) -> Tensor {
    tensor(anyOf: [key], shape)
  }

  /// The tensor at the first of several keys that the checkpoint has: tied weights are stored
  /// under either name.
  func tensor(anyOf keys: [String], _ shape: [Int]) -> Tensor {
    let names = keys.map { prefix + $0 }
    ledger.requested.formUnion(names)
    guard let name = names.first(where: { checkpoint.shape(of: $0) != nil }),
      let found = checkpoint.shape(of: name)
    else {
      ledger.problems.append(.missing(names[0], expected: shape))
      return placeholder
    }
    guard found == shape else {
      ledger.problems.append(.misshaped(name, expected: shape, found: found))
      return placeholder
    }
    do {
      let tensor = try checkpoint.tensor(name, on: device)
      guard tensor.elementType.isFloat else {
        ledger.problems.append(.unusable(name, reason: "\(tensor) holds no floats"))
        return placeholder
      }
      return tensor.named(name)
    } catch {
      ledger.problems.append(.unusable(name, reason: "\(error)"))
      return placeholder
    }
  }

  /// Throws one error with every problem, if there is any.
  ///
  /// - Parameter wholeCheckpoint: tensors that nobody asked for are problems too.
  func finish(wholeCheckpoint: Bool = true) throws(PI0Error) {
    var problems = ledger.problems
    if wholeCheckpoint {
      for key in checkpoint.keys
      where !ledger.requested.contains(key) && !Checkpoint.isUnused(key) {
        problems.append(.unexpected(key, found: checkpoint.shape(of: key) ?? []))
      }
    }
    guard problems.isEmpty else {
      throw .checkpoint(path: checkpoint.path, problems: problems)
    }
  }
}
