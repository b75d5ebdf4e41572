import Glibc

extension Tensor {
  /// Standard normal noise, the same for the same seed on every machine: SplitMix64 and the
  /// Box-Muller transform in float64.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for an impossible shape.
  public static func normal(
    _ shape: [Int], seed: UInt64, device: Device = .reference
  ) throws(PI0Error) -> Tensor {
    var generator = SplitMix64(seed: seed)
    return try Tensor(shape: shape, elementType: .float32, device: device) {
      (out: UnsafeMutableBufferPointer<Float>) in
      for i in out.indices {
        // 1 - u lies in (0, 1]: its logarithm is finite.
        let radius = (-2 * log(1 - generator.uniform())).squareRoot()
        out[i] = Float(radius * cos(2 * Double.pi * generator.uniform()))
      }
    }
  }
}

/// A small generator with a published algorithm, so that a seed means the same everywhere.
public struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// A generator whose numbers the seed tells.
  public init(seed: UInt64) { state = seed }

  /// The next 64 bits.
  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// The next number in [0, 1), with 53 bits.
  public mutating func uniform() -> Double {
    Double(next() >> 11) * 0x1p-53
  }
}
