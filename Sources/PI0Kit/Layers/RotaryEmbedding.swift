import Glibc

/// The angles of rotary position embedding: `position * base^(-2i / width)` for each i below
/// width / 2, computed in float32 as Hugging Face transformers does.
public struct RotaryEmbedding: Sendable {
  /// The sines and cosines that ``Tensor/rotated(cosine:sine:)`` takes, `[batch, rows, width / 2]`.
  public struct Table: Sendable {
    /// cos(angle)
    public let cosine: Tensor
    /// sin(angle)
    public let sine: Tensor
  }

  private let inverseFrequencies: [Float]

  /// - Parameters:
  ///   - width: of an attention head; even.
  ///   - base: 10000 for Gemma.
  ///   - roundsToBFloat16: rounds the inverse frequencies to bfloat16, as `Module.to(bfloat16)`
  ///     does in PyTorch. That shifts phases by up to 1.2 rad at position 866; it is here to
  ///     compare with such a run.
  public init(width: Int, base: Float = 10_000, roundsToBFloat16: Bool = false) {
    inverseFrequencies = (0..<max(width / 2, 0)).map { i in
      let exponent = Float(2 * i) / Float(width)
      let frequency = 1 / Float(pow(Double(base), Double(exponent)))
      return roundsToBFloat16 ? BFloat16.rounded(frequency) : frequency
    }
  }

  /// The table for int32 positions `[batch, rows]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for positions of another type.
  public func callAsFunction(_ positions: Tensor) throws(PI0Error) -> Table {
    let angles = try positions.int32s().flatMap { position in
      inverseFrequencies.map { Float(position) * $0 }
    }
    let shape = positions.shape + [inverseFrequencies.count]
    return Table(
      cosine: try Tensor(angles.map(cosf), shape: shape, device: positions.device),
      sine: try Tensor(angles.map(sinf), shape: shape, device: positions.device))
  }
}
