extension Tensor {
  /// `softmax(query · keyᵀ * scale + mask) · value`, as `scaled_dot_product_attention` with grouped
  /// heads: each key and value head serves `heads / kvHeads` neighbouring query heads.
  ///
  /// - Parameters:
  ///   - query: `[batch, heads, rows, width]`.
  ///   - key: `[batch, kvHeads, keys, width]`, where kvHeads divides heads.
  ///   - value: `[batch, kvHeads, keys, width]`.
  ///   - mask: added to the scores; floating-point, broadcasts to `[batch, heads, rows, keys]`.
  ///   - scale: `1 / sqrt(width)` unless given.
  /// - Returns: `[batch, heads, rows, width]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public static func attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor? = nil, scale: Float? = nil
  ) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(
      "attention", [("query", query), ("key", key), ("value", value), ("mask", mask)])
    try check.requireFloats()
    try check.require(
      query.rank == 4 && key.rank == 4, "query and key must be [batch, heads, rows, width]")
    let (batch, heads, rows, width) = (
      query.shape[0], query.shape[1], query.shape[2], query.shape[3]
    )
    let kvHeads = key.shape[1]
    try check.require(
      key.shape[0] == batch && key.shape[3] == width && value.shape == key.shape,
      "key and value must be [batch, kvHeads, keys, width] with query's batch and width")
    try check.require(
      kvHeads > 0 && heads % kvHeads == 0, "the number of kv heads must divide that of the heads")
    if let mask {
      let scores = [batch, heads, rows, key.shape[2]]
      try check.require(
        Shape.broadcast(scores, mask.shape) == scores,
        "the mask must broadcast to [batch, heads, rows, keys]")
    }
    let type = ElementType.promoted(
      .promoted(query.elementType, key.elementType), value.elementType)
    return try check.backend.attention(
      query: query, key: key, value: value, mask: mask,
      scale: scale ?? 1 / Float(width).squareRoot(), shape: query.shape, type: type)
  }
}
