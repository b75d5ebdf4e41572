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

  private let half: Int
  private let inverseFrequency: @Sendable (Int) -> Float

  /// - Parameters:
  ///   - width: of an attention head; even.
  ///   - base: 10000 for Gemma.
  ///   - roundsToBFloat16: rounds the inverse frequencies to bfloat16, as `Module.to(bfloat16)`
  ///     does in PyTorch. That shifts phases by up to 1.2 rad at position 866; it is here to
  ///     compare with such a run.
  public init(width: Int, base: Float = 10_000, roundsToBFloat16: Bool = false) {
    half = max(width / 2, 0)
    inverseFrequency = { i in
      let exponent = 2 * Float(i) / Float(width)
      let frequency = 1 / Float(pow(Double(base), Double(exponent)))
      return roundsToBFloat16 ? BFloat16.rounded(frequency) : frequency
    }
  }

  /// The table for int32 positions `[batch, rows]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for positions of another type, and for a
  ///   width that no tensor can have.
  public func callAsFunction(_ positions: Tensor) throws(PI0Error) -> Table {
    let rows = try positions.int32s()
    func table(_ function: (Float) -> Float) throws(PI0Error) -> Tensor {
      try Tensor(
        shape: positions.shape + [half], elementType: .float32, device: positions.device
      ) { (out: UnsafeMutableBufferPointer<Float>) in
        for i in 0..<half {
          let frequency = inverseFrequency(i)
          for (row, position) in rows.enumerated() {
            out[row * half + i] = function(Float(position) * frequency)
          }
        }
      }
    }
    return Table(cosine: try table(cosf), sine: try table(sinf))
  }
}
