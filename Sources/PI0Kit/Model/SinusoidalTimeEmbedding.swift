import Glibc

/// A flow-matching time as sines and cosines: `[sin a | cos a]` with `a = 2π t / period` and
/// periods spaced geometrically from `minPeriod` to `maxPeriod`. Computed in float64, then rounded.
///
/// Source: `create_sinusoidal_pos_embedding` in openpi's `pi0_pytorch.py`.
public struct SinusoidalTimeEmbedding: Sendable {
  private let angularFrequencies: [Double]

  /// - Parameters:
  ///   - width: of the embedding; even.
  ///   - minPeriod: the shortest period, in units of the time.
  ///   - maxPeriod: the longest period.
  public init(width: Int, minPeriod: Double = 4e-3, maxPeriod: Double = 4) {
    let half = max(width / 2, 0)
    angularFrequencies = (0..<half).map { i in
      let fraction = half == 1 ? 0 : Double(i) / Double(half - 1)
      let period = minPeriod * pow(maxPeriod / minPeriod, fraction)
      return 1 / period * 2 * Double.pi
    }
  }

  /// The embedding `[batch, width]` of float times `[batch]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for times of another type or rank.
  public func callAsFunction(_ times: Tensor) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("time embedding", [("times", times)])
    try check.require(times.rank == 1, "times must be [batch]")
    var elements: [Float] = []
    for time in try times.floats() {
      let angles = angularFrequencies.map { Double(time) * $0 }
      elements += angles.map { Float(sin($0)) }
      elements += angles.map { Float(cos($0)) }
    }
    return try Tensor(
      elements, shape: [times.count, 2 * angularFrequencies.count], device: times.device)
  }
}
