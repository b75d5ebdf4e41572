import Glibc

/// A flow-matching time as sines and cosines: `[sin a | cos a]` with `a = 2π t / period` and
/// periods spaced geometrically from `minPeriod` to `maxPeriod`. Computed in float64, then rounded.
///
/// Source: `create_sinusoidal_pos_embedding` in openpi's `pi0_pytorch.py`.
public struct SinusoidalTimeEmbedding: Sendable {
  private let half: Int
  private let angularFrequencies: [Double]

  /// The widest embedding there is.
  static let maximumWidth = 1 << 20

  /// - Parameters:
  ///   - width: of the embedding; even.
  ///   - minPeriod: the shortest period, in units of the time.
  ///   - maxPeriod: the longest period.
  public init(width: Int, minPeriod: Double = 4e-3, maxPeriod: Double = 4) {
    let half = max(width / 2, 0)
    self.half = half
    // Of a wider one, which is refused when it is called, there are none.
    angularFrequencies = (0..<(width <= Self.maximumWidth ? half : 0)).map { i in
      let fraction = half == 1 ? 0 : Double(i) / Double(half - 1)
      let period = minPeriod * pow(maxPeriod / minPeriod, fraction)
      return 1 / period * 2 * Double.pi
    }
  }

  /// The embedding `[batch, width]` of float times `[batch]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for times of another type or rank, and
  ///   for a width that no tensor can have.
  public func callAsFunction(_ times: Tensor) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("time embedding", [("times", times)])
    try check.require(times.rank == 1, "times must be [batch]")
    try check.require(
      angularFrequencies.count == half, "an embedding has at most \(Self.maximumWidth) columns")
    let rows = try times.floats()
    return try Tensor(
      shape: [times.count, 2 * half], elementType: .float32, device: times.device
    ) { (out: UnsafeMutableBufferPointer<Float>) in
      for (row, time) in rows.enumerated() {
        times.device.backend.sinesAndCosines(
          factor: Double(time), frequencies: angularFrequencies,
          into: UnsafeMutableBufferPointer(rebasing: out[2 * row * half..<2 * (row + 1) * half]))
      }
    }
  }
}
