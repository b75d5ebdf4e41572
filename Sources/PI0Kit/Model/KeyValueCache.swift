/// The rotated keys and the values of a prefix, layer by layer, so that denoising steps need not
/// compute them again.
public struct KeyValueCache: Sendable {
  /// One layer's keys and values.
  public struct Layer: Sendable {
    /// `[batch, kvHeads, tokens, headWidth]`, rotated.
    public let key: Tensor
    /// `[batch, kvHeads, tokens, headWidth]`.
    public let value: Tensor

    /// These tokens and, after them, others.
    func appending(_ other: Layer) throws(PI0Error) -> Layer {
      Layer(
        key: try .concat([key, other.key], axis: 2),
        value: try .concat([value, other.value], axis: 2))
    }
  }

  /// The layers, first to last.
  public internal(set) var layers: [Layer]
}
