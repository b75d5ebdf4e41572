/// `x · weightᵀ + bias`.
struct Linear: Sendable {
  let weight: Tensor  // weight [out, in]
  let bias: Tensor?  // bias [out]

  init(_ weights: Weights, inputs: Int, outputs: Int, bias: Bool = true) {
    weight = weights.tensor("weight", [outputs, inputs])
    self.bias = bias ? weights.tensor("bias", [outputs]) : nil
  }

  init(weight: Tensor, bias: Tensor?) {
    self.weight = weight
    self.bias = bias
  }

  func callAsFunction(
    _ x: Tensor, activation: Activation = .none
  ) throws(PI0Error) -> Tensor {
    try x.linear(weight: weight, bias: bias, activation: activation)
  }

  /// The same, added to `residual`, where there is one.
  func callAsFunction(_ x: Tensor, plus residual: Residual?) throws(PI0Error) -> Tensor {
    guard let residual else { return try self(x) }
    return try x.linear(weight: weight, bias: bias, plus: residual)
  }
}
