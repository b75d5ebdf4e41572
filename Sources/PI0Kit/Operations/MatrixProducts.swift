/// A function applied to each element of a linear layer's result.
public enum Activation: String, Sendable, CaseIterable {
  /// x
  case none
  /// x * sigmoid(x)
  case silu
  /// GELU in its tanh form, `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`
  case geluTanh
}

extension Tensor {
  /// `activation(x · weightᵀ + bias)`, as `torch.nn.functional.linear`.
  ///
  /// - Parameters:
  ///   - weight: `[out, in]`.
  ///   - bias: `[out]`, or nil.
  ///   - activation: applied to each element of the result.
  /// - Returns: `[..., out]` for an `x` of `[..., in]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func linear(
    weight: Tensor, bias: Tensor? = nil, activation: Activation = .none
  ) throws(PI0Error) -> Tensor {
    let (check, shape) = try linearCheck(weight, bias)
    return try check.backend.linear(
      self, weight: weight, bias: bias, activation: activation, shape: shape,
      type: check.promotedType)
  }

  /// `activation(x · weightᵀ + bias) * factor`, element by element.
  ///
  /// - Parameter factor: of the result's shape.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  func linear(
    weight: Tensor, bias: Tensor? = nil, activation: Activation = .none, times factor: Tensor
  ) throws(PI0Error) -> Tensor {
    let (check, shape) = try linearCheck(weight, bias, factor)
    try check.require(factor.shape == shape, "the factor must be \(shape)")
    return try check.backend.linear(
      self, weight: weight, bias: bias, activation: activation, times: factor, shape: shape,
      type: check.promotedType)
  }

  /// `residual.x + residual.gate * (x · weightᵀ + bias)`.
  ///
  /// - Parameter residual: of the result's shape.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  func linear(
    weight: Tensor, bias: Tensor? = nil, plus residual: Residual
  ) throws(PI0Error) -> Tensor {
    let (check, shape) = try linearCheck(weight, bias, residual.x, residual.gate)
    try check.require(residual, shape)
    return try check.backend.linear(
      self, weight: weight, bias: bias, plus: residual, shape: shape, type: check.promotedType)
  }

  /// `activation(x · gateᵀ) * (x · upᵀ)`, element by element.
  ///
  /// - Parameters:
  ///   - gate: `[out, in]`.
  ///   - up: of the same shape.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  func gatedLinear(
    gate: Tensor, up: Tensor, activation: Activation
  ) throws(PI0Error) -> Tensor {
    let (check, shape) = try linearCheck(gate, nil, up)
    try check.require(up.shape == gate.shape, "both weights must have the same shape")
    return try check.backend.gatedLinear(
      self, gate: gate, up: up, activation: activation, shape: shape, type: check.promotedType)
  }

  /// Checks the operands of a linear layer and works out the result's shape.
  private func linearCheck(
    _ weight: Tensor, _ bias: Tensor?, _ other: Tensor? = nil, _ gate: Tensor? = nil
  ) throws(PI0Error) -> (check: OperandCheck, shape: [Int]) {
    let check = try OperandCheck(
      "linear",
      [("x", self), ("weight", weight), ("bias", bias), ("other", other), ("gate", gate)])
    try check.requireFloats()
    try check.require(rank >= 1, "x needs at least one dimension")
    try check.require(weight.rank == 2, "weight must be [out, in]")
    try check.require(
      shape.last == weight.shape.last, "the last dimensions of x and weight must be equal")
    if let bias {
      try check.require(bias.shape == [weight.shape[0]], "bias must be [out]")
    }
    return (check, shape.dropLast() + [weight.shape[0]])
  }

  /// The matrix product, as `torch.matmul`: leading dimensions broadcast; a vector stands for a
  /// row on the left and for a column on the right, and its dimension of one is dropped again.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func matmul(_ other: Tensor) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("matmul", [("a", self), ("b", other)])
    try check.requireFloats()
    try check.require(rank >= 1 && other.rank >= 1, "both need at least one dimension")
    let a = rank == 1 ? try reshaped([1, count]) : self
    let b = other.rank == 1 ? try other.reshaped([other.count, 1]) : other
    try check.require(
      a.shape[a.rank - 1] == b.shape[b.rank - 2], "the inner dimensions must be equal")
    guard let batch = Shape.broadcast(a.shape.dropLast(2), b.shape.dropLast(2)) else {
      throw check.error("the leading dimensions do not broadcast")
    }
    let full = batch + [a.shape[a.rank - 2], b.shape[b.rank - 1]]
    let product = try check.backend.matmul(a, b, shape: full, type: check.promotedType)
    var shape = batch
    if rank > 1 { shape.append(full[full.count - 2]) }
    if other.rank > 1 { shape.append(full[full.count - 1]) }
    return try product.reshaped(shape)
  }
}

extension OperandCheck {
  /// That a result of the shape can be added.
  func require(_ residual: Residual, _ shape: [Int]) throws(PI0Error) {
    try require(residual.x.shape == shape, "what is added to must be \(shape)")
    guard let gate = residual.gate?.shape else { return }
    try require(
      gate.count == 3 && shape.count == 3 && (gate[0] == 1 || gate[0] == shape[0]) && gate[1] == 1
        && gate[2] == shape[2], "the gate must be [batch or 1, 1, width]")
  }
}
