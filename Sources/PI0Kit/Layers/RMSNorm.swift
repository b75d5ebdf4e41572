/// Gemma's RMSNorm, plain or adaptive (adaRMS, in the action expert of pi0.5).
///
/// Source: `GemmaRMSNorm` in openpi's `models_pytorch/transformers_replace/models/gemma`.
enum RMSNorm: Sendable {
  /// `x / rms(x) * (1 + weight)`
  case plain(weight: Tensor)  // weight [width]
  /// `x / rms(x) * (1 + scale) + shift`, where `[scale | shift | gate] = dense(condition)`
  case adaptive(dense: Linear)  // dense.weight [3 * width, width], dense.bias

  init(_ weights: Weights, width: Int, adaptive: Bool) {
    if adaptive {
      self = .adaptive(dense: Linear(weights.at("dense"), inputs: width, outputs: 3 * width))
    } else {
      self = .plain(weight: weights.tensor("weight", [width]))
    }
  }

  /// Scale, shift and gate for a condition `[batch, width]`; nil for a plain norm.
  func modulation(_ condition: Tensor?) throws(PI0Error) -> Tensor? {
    switch self {
    case .plain:
      return nil
    case .adaptive(let dense):
      guard let condition else {
        throw .input("an adaptive RMSNorm needs a condition: pass the suffix embedder's")
      }
      // Once a step of a schedule: weights for it have no place on a card.
      let device = dense.weight.device, host = device.backend.records ? Device.reference : device
      return try Linear(
        weight: dense.weight.moved(to: host), bias: dense.bias?.moved(to: host))(
          condition.moved(to: host)
        ).moved(to: device)
    }
  }

  /// The normalised x, and the gate of the residual that follows: nil where there is none.
  func callAsFunction(
    _ x: Tensor, modulation: Tensor?
  ) throws(PI0Error) -> (normalized: Tensor, gate: Tensor?) {
    switch self {
    case .plain(let weight):
      return (try x.rmsNorm(weight: weight), nil)
    case .adaptive:
      guard let modulation else {
        throw .input("an adaptive RMSNorm needs a modulation")
      }
      let (normalized, gate) = try x.adaptiveRMSNorm(modulation: modulation)
      return (normalized, gate)
    }
  }
}
