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
    try attention(
      query: query, segments: [KeyValueCache.Layer(key: key, value: value)], mask: mask,
      scale: scale)
  }

  /// The same over keys and values that stand in several tensors, one after the other: a cache and
  /// what follows it.
  static func attention(
    query: Tensor, segments: [KeyValueCache.Layer], mask: Tensor?, scale: Float? = nil
  ) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(
      "attention",
      [("query", query), ("mask", mask)]
        + segments.flatMap { [("key", $0.key), ("value", $0.value)] })
    try check.requireFloats()
    guard let first = segments.first?.key else { throw check.error("there are no keys") }
    try check.require(
      query.rank == 4 && first.rank == 4, "query and key must be [batch, heads, rows, width]")
    let (batch, heads, rows, width) = (
      query.shape[0], query.shape[1], query.shape[2], query.shape[3]
    )
    let kvHeads = first.shape[1]
    var keys = 0
    for segment in segments {
      let key = segment.key
      try check.require(
        key.rank == 4 && key.shape[0] == batch && key.shape[1] == kvHeads && key.shape[3] == width
          && segment.value.shape == key.shape,
        "key and value must be [batch, kvHeads, keys, width] with query's batch and width")
      let (sum, overflow) = keys.addingReportingOverflow(key.shape[2])
      try check.require(!overflow, "there are more keys than there can be")
      keys = sum
    }
    try check.require(
      kvHeads > 0 && heads % kvHeads == 0, "the number of kv heads must divide that of the heads")
    if let mask {
      let scores = [batch, heads, rows, keys]
      try check.require(
        Shape.broadcast(scores, mask.shape) == scores,
        "the mask must broadcast to [batch, heads, rows, keys]")
    }
    let type = segments.reduce(query.elementType) {
      .promoted(.promoted($0, $1.key.elementType), $1.value.elementType)
    }
    return try check.backend.attention(
      query: query, segments: segments, mask: mask,
      scale: scale ?? 1 / Float(width).squareRoot(), shape: query.shape, type: type)
  }
}
