/// What a layer adds its result to: `x + gate * result`, without a gate `x + result`.
struct Residual: Sendable {
  let x: Tensor
  /// `[batch or 1, 1, width]`, of an adaptive norm.
  let gate: Tensor?

  init(_ x: Tensor, gate: Tensor? = nil) {
    self.x = x
    self.gate = gate
  }

  /// The sum, operation by operation.
  func callAsFunction(_ result: Tensor) throws(PI0Error) -> Tensor {
    guard let gate else { return try x + result }
    return try x + result * gate
  }
}
