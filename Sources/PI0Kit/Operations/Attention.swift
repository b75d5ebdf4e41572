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
    let (keys, type) = try check.attention(query, [KeyValueCache.Layer(key: key, value: value)])
    if let mask {
      let scores = [query.shape[0], query.shape[1], query.shape[2], keys]
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
    try attention(
      query: query, segments: [KeyValueCache.Layer(key: key, value: value)], bias: bias)
  }

  /// The same over keys and values that stand in several tensors, one after the other: a cache and
  /// what follows it.
  static func attention(
    query: Tensor, segments: [KeyValueCache.Layer], bias: AttentionBias?
  ) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(
      "attention",
      [("query", query), ("bias", bias?.rows), ("indices", bias?.indices)]
        + segments.flatMap { [("key", $0.key), ("value", $0.value)] })
    let type = try check.attention(query, segments, bias)
    return try check.backend.attention(
      query: query, segments: segments, bias: bias,
      scale: 1 / Float(query.shape[3]).squareRoot(), shape: query.shape, type: type)
  }

  /// The same where the query, and the keys of the last segment, are turned by their positions first, as by
  /// ``rotated(cosine:sine:)``.
  static func attention(
    query: Tensor, segments: [KeyValueCache.Layer], rotary: RotaryEmbedding.Table,
    bias: AttentionBias?
  ) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(
      "attention",
      [
        ("query", query), ("cosine", rotary.cosine), ("sine", rotary.sine), ("bias", bias?.rows),
        ("indices", bias?.indices),
      ] + segments.flatMap { [("key", $0.key), ("value", $0.value)] })
    let type = try check.attention(query, segments, bias)
    let table = [query.shape[0], query.shape[2], query.shape[3] / 2]
    try check.require(
      segments.last?.key.shape[2] == query.shape[2] && query.shape[3] % 2 == 0
        && rotary.cosine.shape == table && rotary.sine.shape == table,
      "the last keys must have the query's rows, cosine and sine be [batch, rows, width / 2]")
    return try check.backend.attention(
      query: query, segments: segments, rotary: rotary, bias: bias,
      scale: 1 / Float(query.shape[3]).squareRoot(), shape: query.shape, type: type)
  }
}

extension OperandCheck {
  /// The number of keys and the result's type; throws where query, keys and values do not fit
  /// together.
  fileprivate func attention(
    _ query: Tensor, _ segments: [KeyValueCache.Layer]
  ) throws(PI0Error) -> (keys: Int, type: ElementType) {
    guard let first = segments.first?.key else { throw error("there are no keys") }
    try require(
      query.rank == 4 && first.rank == 4, "query and key must be [batch, heads, rows, width]")
    let (batch, heads, width, kvHeads) = (
      query.shape[0], query.shape[1], query.shape[3], first.shape[1]
    )
    var keys = 0
    var type = query.elementType
    for segment in segments {
      let key = segment.key
      try require(
        [query, key, segment.value].allSatisfy(\.elementType.isFloat),
        "query, key and value must be floating-point")
      try require(
        key.rank == 4 && key.shape[0] == batch && key.shape[1] == kvHeads && key.shape[3] == width
          && segment.value.shape == key.shape,
        "key and value must be [batch, kvHeads, keys, width] with query's batch and width")
      let (sum, overflow) = keys.addingReportingOverflow(key.shape[2])
      try require(!overflow, "there are more keys than there can be")
      keys = sum
      type = .promoted(.promoted(type, key.elementType), segment.value.elementType)
    }
    try require(
      kvHeads > 0 && heads % kvHeads == 0, "the number of kv heads must divide that of the heads")
    return (keys, type)
  }

  /// The same with a bias, which must fit them.
  fileprivate func attention(
    _ query: Tensor, _ segments: [KeyValueCache.Layer], _ bias: AttentionBias?
  ) throws(PI0Error) -> ElementType {
    let (keys, type) = try attention(query, segments)
    if let bias {
      try require(
        bias.rows.shape[1] == keys && bias.indices.shape == [query.shape[0], query.shape[2]],
        "the bias must be of [batch, rows] queries and as many keys")
    }
    return type
  }
}
