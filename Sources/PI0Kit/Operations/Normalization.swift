extension Tensor {
  /// `(x - mean) / sqrt(variance + epsilon) * weight + bias` over the last axis, as
  /// `torch.nn.functional.layer_norm`.
  ///
  /// - Parameters:
  ///   - weight: `[width]`.
  ///   - bias: `[width]`.
  ///   - epsilon: keeps the root away from zero.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func layerNorm(
    weight: Tensor, bias: Tensor, epsilon: Float = 1e-6
  ) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("layerNorm", [("x", self), ("weight", weight), ("bias", bias)])
    let width = try check.width(of: self)
    try check.require(
      weight.shape == [width] && bias.shape == [width], "weight and bias must be [width]")
    return try check.backend.layerNorm(
      self, weight: weight, bias: bias, epsilon: epsilon, type: check.promotedType)
  }

  /// `x / sqrt(mean(x²) + epsilon) * (1 + weight)` over the last axis: Gemma's RMSNorm, whose
  /// weight is an offset from one.
  ///
  /// - Parameters:
  ///   - weight: `[width]`.
  ///   - epsilon: keeps the root away from zero.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func rmsNorm(weight: Tensor, epsilon: Float = 1e-6) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("rmsNorm", [("x", self), ("weight", weight)])
    let width = try check.width(of: self)
    try check.require(weight.shape == [width], "weight must be [width]")
    return try check.backend.rmsNorm(
      self, weight: weight, epsilon: epsilon, type: check.promotedType)
  }

  /// Adaptive RMSNorm (adaRMS): `x / sqrt(mean(x²) + epsilon) * (1 + scale) + shift`, where scale,
  /// shift and a gate for the residual come from a condition.
  ///
  /// - Parameters:
  ///   - modulation: `[batch or 1, 3 * width]`, the columns scale | shift | gate.
  ///   - epsilon: keeps the root away from zero.
  /// - Returns: the normalised `[batch, rows, width]`, and the gate `[batch or 1, 1, width]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func adaptiveRMSNorm(
    modulation: Tensor, epsilon: Float = 1e-6
  ) throws(PI0Error) -> (normalized: Tensor, gate: Tensor) {
    let check = try OperandCheck("adaptiveRMSNorm", [("x", self), ("modulation", modulation)])
    let width = try check.width(of: self)
    try check.require(rank == 3, "x must be [batch, rows, width]")
    try check.require(
      modulation.rank == 2 && modulation.shape[1] == 3 * width
        && (modulation.shape[0] == 1 || modulation.shape[0] == shape[0]),
      "modulation must be [batch or 1, 3 * width]")
    let normalized = try check.backend.adaptiveRMSNorm(
      self, modulation: modulation, epsilon: epsilon, type: check.promotedType)
    let gate = try modulation.sliced(axis: 1, 2 * width..<3 * width)
      .reshaped([modulation.shape[0], 1, width])
    return (normalized, gate)
  }
}

extension OperandCheck {
  /// The last dimension of `x`, which is normalised; also checks that all operands are floats.
  fileprivate func width(of x: Tensor) throws(PI0Error) -> Int {
    try requireFloats()
    guard let width = x.shape.last else { throw error("x needs at least one dimension") }
    return width
  }
}
