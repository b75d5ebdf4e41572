/// `(x - mean) / sqrt(variance + 1e-6) * weight + bias`.
struct LayerNorm: Sendable {
  let weight: Tensor  // weight [width]
  let bias: Tensor  // bias [width]

  init(_ weights: Weights, width: Int) {
    weight = weights.tensor("weight", [width])
    bias = weights.tensor("bias", [width])
  }

  func callAsFunction(_ x: Tensor) throws(PI0Error) -> Tensor {
    try x.layerNorm(weight: weight, bias: bias)
  }
}
