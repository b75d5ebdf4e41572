/// How a vector is normalised. The raw values are lerobot's names.
public enum NormalizationMode: String, Sendable, CaseIterable {
  /// Not at all.
  case identity = "IDENTITY"
  /// `(x - mean) / std`.
  case meanStd = "MEAN_STD"
  /// From `min...max` to -1...1.
  case minMax = "MIN_MAX"
  /// From the first and the 99th percentile to -1...1, without clamping.
  case quantiles = "QUANTILES"
  /// From the tenth and the 90th percentile to -1...1, without clamping.
  case quantile10 = "QUANTILE10"

  /// The two statistics that it takes.
  var names: (String, String)? {
    switch self {
    case .identity: nil
    case .meanStd: ("mean", "std")
    case .minMax: ("min", "max")
    case .quantiles: ("q01", "q99")
    case .quantile10: ("q10", "q90")
    }
  }
}

/// How openpi and lerobot keep from dividing by zero, and what they compute in.
public enum NormalizationConvention: Sendable {
  /// `(x - mean) / (std + 1e-6)`, `(x - low) / (high - low + 1e-6) * 2 - 1`, and exactly the
  /// inverse of that; float64.
  case openpi
  /// `(x - mean) / (std + epsilon)` and `x * std + mean`; `2 * (x - low) / (high - low) - 1` and
  /// the inverse, where 0 between the two becomes epsilon; float32.
  case lerobot(epsilon: Double)

  /// lerobot with its usual epsilon.
  public static let lerobot = NormalizationConvention.lerobot(epsilon: 1e-8)
}

/// Normalises the values of a vector, each by its own statistics.
public struct VectorNormalization: Sendable {
  /// How.
  public let mode: NormalizationMode
  /// As whom.
  public let convention: NormalizationConvention
  /// Values that have statistics.
  public var count: Int { first.count }
  /// Mean or lower bound.
  private let first: [Double]
  /// Standard deviation or upper bound.
  private let second: [Double]

  /// A normalisation by the given statistics.
  ///
  /// - Parameters:
  ///   - mode: how.
  ///   - statistics: by lerobot's names: mean, std, min, max, q01, q99, q10, q90.
  ///   - convention: as whom.
  ///   - name: what is normalised, for errors.
  /// - Throws: ``PI0Error/configuration(_:)`` where statistics that the mode takes are missing,
  ///   not finite, of different lengths, or contradict each other.
  public init(
    _ mode: NormalizationMode, statistics: [String: [Double]],
    convention: NormalizationConvention, name: String
  ) throws(PI0Error) {
    self.mode = mode
    self.convention = convention
    guard let (firstName, secondName) = mode.names else {
      (first, second) = ([], [])
      return
    }
    guard let first = statistics[firstName], let second = statistics[secondName] else {
      let found = statistics.keys.sorted().joined(separator: ", ")
      throw .configuration(
        "\(name): there are no statistics \(firstName) and \(secondName), which \(mode.rawValue) "
          + "takes; found \(found.isEmpty ? "none" : found)")
    }
    guard first.count == second.count, !first.isEmpty else {
      throw .configuration(
        "\(name): \(firstName) has \(first.count) values, \(secondName) has \(second.count)")
    }
    for (index, (a, b)) in zip(first, second).enumerated() {
      guard a.isFinite, b.isFinite else {
        throw .configuration(
          "\(name): \(firstName)[\(index)] is \(a) and \(secondName)[\(index)] is \(b): they were "
            + "never computed, or are damaged")
      }
      guard mode == .meanStd ? b >= 0 : b >= a else {
        throw .configuration(
          "\(name): \(secondName)[\(index)] is \(b)"
            + (mode == .meanStd ? "" : ", below \(firstName)[\(index)], which is \(a)"))
      }
    }
    self.first = first
    self.second = second
  }

  /// The vector as the model has it. Statistics beyond its end are left out.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where it has more values than there are statistics.
  public func normalized(_ vector: [Double]) throws(PI0Error) -> [Double] {
    if mode == .identity { return vector }
    guard vector.count <= count else {
      throw .input("a vector of \(vector.count) values has statistics for \(count)")
    }
    return vector.indices.map { index in
      let (x, a, b) = (vector[index], first[index], second[index])
      switch convention {
      case .openpi:
        return mode == .meanStd ? (x - a) / (b + 1e-6) : (x - a) / (b - a + 1e-6) * 2 - 1
      case .lerobot(let epsilon):
        let (x, a, b, epsilon) = (Float(x), Float(a), Float(b), Float(epsilon))
        if mode == .meanStd { return Double((x - a) / (b + epsilon)) }
        return Double(2 * (x - a) / (b - a == 0 ? epsilon : b - a) - 1)
      }
    }
  }

  /// The vector in its own units. Values beyond the statistics are left as they are.
  public func denormalized(_ vector: some Collection<Double>) -> [Double] {
    if mode == .identity { return Array(vector) }
    return zip(vector, 0...).map { x, index in
      guard index < count else { return x }
      let (a, b) = (first[index], second[index])
      switch convention {
      case .openpi:
        return mode == .meanStd ? x * (b + 1e-6) + a : (x + 1) / 2 * (b - a + 1e-6) + a
      case .lerobot(let epsilon):
        let (x, a, b, epsilon) = (Float(x), Float(a), Float(b), Float(epsilon))
        if mode == .meanStd { return Double(x * b + a) }
        let range = b - a == 0 ? epsilon : b - a
        return Double(mode == .minMax ? (x + 1) / 2 * range + a : (x + 1) * range / 2 + a)
      }
    }
  }
}

/// Normalises the state on the way in, and takes the normalisation off the actions on the way out.
///
/// Source: `Normalize`, `Unnormalize` in openpi's `transforms.py`; lerobot's
/// `normalize_processor.py`.
public struct Normalization: Transform {
  /// Of the state.
  public var state: VectorNormalization
  /// Of the actions.
  public var actions: VectorNormalization

  /// A normalisation of state and actions.
  public init(state: VectorNormalization, actions: VectorNormalization) {
    self.state = state
    self.actions = actions
  }

  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    var result = observation
    result.state = try state.normalized(observation.state)
    return result
  }

  public func inverse(
    _ chunk: ActionChunk, for observation: RobotObservation
  ) throws(PI0Error) -> ActionChunk {
    try chunk.mapActions { actions.denormalized($0) }
  }
}
