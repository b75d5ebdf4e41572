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
    let type = try check.attentionType(query, key, value)
    if let mask {
      let scores = [query.shape[0], query.shape[1], query.shape[2], key.shape[2]]
      try check.require(
        mask.elementType.isFloat && Shape.broadcast(scores, mask.shape) == scores,
        "the mask must be floating-point and broadcast to [batch, heads, rows, keys]")
    }
    return try check.backend.attention(
      query: query, key: key, value: value, mask: mask,
      scale: scale ?? 1 / Float(query.shape[3]).squareRoot(), shape: query.shape, type: type)
  }

  /// The same with a mask of which each different row is there once, or without one.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public static func attention(
    query: Tensor, key: Tensor, value: Tensor, bias: AttentionBias?
  ) throws(PI0Error) -> Tensor {
    guard let bias else { return try attention(query: query, key: key, value: value) }
    let check = try OperandCheck(
      "attention",
      [
        ("query", query), ("key", key), ("value", value), ("bias", bias.rows),
        ("indices", bias.indices),
      ])
    let type = try check.attentionType(query, key, value)
    try check.require(
      bias.rows.shape[1] == key.shape[2] && bias.indices.shape == [query.shape[0], query.shape[2]],
      "the bias must be of [batch, rows] queries and as many keys")
    return try check.backend.attention(
      query: query, key: key, value: value, bias: bias,
      scale: 1 / Float(query.shape[3]).squareRoot(), shape: query.shape, type: type)
  }
}

extension OperandCheck {
  /// The result's type; throws where query, key and value do not fit together.
  fileprivate func attentionType(
    _ query: Tensor, _ key: Tensor, _ value: Tensor
  ) throws(PI0Error) -> ElementType {
    for tensor in [query, key, value] {
      try require(tensor.elementType.isFloat, "query, key and value must be floating-point")
    }
    try require(
      query.rank == 4 && key.rank == 4, "query and key must be [batch, heads, rows, width]")
    let (batch, heads, width, kvHeads) = (
      query.shape[0], query.shape[1], query.shape[3], key.shape[1]
    )
    try require(
      key.shape[0] == batch && key.shape[3] == width && value.shape == key.shape,
      "key and value must be [batch, kvHeads, keys, width] with query's batch and width")
    try require(
      kvHeads > 0 && heads % kvHeads == 0, "the number of kv heads must divide that of the heads")
    return .promoted(.promoted(query.elementType, key.elementType), value.elementType)
  }
}
