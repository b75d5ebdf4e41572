extension Tensor {
  /// Rotary position embedding in Gemma's split-half form. With x = [x₁ | x₂] along the last axis:
  /// `[x₁ cos - x₂ sin | x₂ cos + x₁ sin]`.
  ///
  /// Source: `apply_rotary_pos_emb` of Gemma in Hugging Face transformers.
  ///
  /// - Parameters:
  ///   - cosine: `[batch, rows, width / 2]`, from ``RotaryEmbedding``.
  ///   - sine: as `cosine`.
  /// - Returns: a tensor of x's shape `[batch, heads, rows, width]` and type.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func rotated(cosine: Tensor, sine: Tensor) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("rotated", [("x", self), ("cosine", cosine), ("sine", sine)])
    try check.requireFloats()
    try check.require(
      rank == 4 && shape[3] % 2 == 0, "x must be [batch, heads, rows, an even width]")
    let table = [shape[0], shape[2], shape[3] / 2]
    try check.require(
      cosine.shape == table && sine.shape == table,
      "cosine and sine must be [batch, rows, width / 2]")
    return try check.backend.rotate(self, cosine: cosine, sine: sine)
  }
}
