/// What is added to attention scores: 0 where a query may attend to a key, -2.3819763e38 where it
/// may not. Most queries see the same keys, so each different row is there once, instead of a
/// matrix of all queries by all keys.
public struct AttentionBias: Sendable {
  /// The different rows, float32 `[different, keys]`.
  public let rows: Tensor
  /// Which of the rows a query has, int32 `[batch, queries]`.
  public let indices: Tensor

  func moved(to device: Device) throws(PI0Error) -> AttentionBias {
    AttentionBias(rows: try rows.moved(to: device), indices: try indices.moved(to: device))
  }

  /// All rows in full, float32 `[batch, 1, queries, keys]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where that is more than there is memory.
  public func matrix() throws(PI0Error) -> Tensor {
    try rows.moved(to: .reference).rows(indices.moved(to: .reference))
      .reshaped([indices.shape[0], 1, indices.shape[1], rows.shape[1]]).moved(to: rows.device)
  }
}

extension AttentionMask {
  /// What is added to the scores of a suffix over the columns of prefix and suffix, see
  /// ``suffixAllowed(prefixPadding:padding:marks:)``; without a prefix, of ``allowed(padding:marks:)``.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public static func bias(
    prefixPadding: Tensor? = nil, padding: Tensor, marks: Tensor
  ) throws(PI0Error) -> AttentionBias {
    try check("attention bias", prefixPadding: prefixPadding, padding: padding, marks: marks)
    let (batch, tokens, prefix) = (
      padding.shape[0], padding.shape[1], prefixPadding?.shape[1] ?? 0
    )
    let (present, mark) = (padding.bytes, marks.bytes)
    // A row sees the prefix of its sample and, of its own tokens, those before `end`.
    var rows: [(sample: Int, end: Int)] = []
    let indices = try Tensor(
      shape: [batch, tokens], elementType: .int32, device: padding.device
    ) { (out: UnsafeMutableBufferPointer<Int32>) in
      for b in 0..<batch {
        var paddingRow: Int32?
        var start = b * tokens
        while start < (b + 1) * tokens {
          var end = start + 1
          while end < (b + 1) * tokens, mark[end] == 0 { end += 1 }
          let row = Int32(rows.count)
          rows.append((b, end - b * tokens))
          for i in start..<end {
            if present[i] == 0, paddingRow == nil {
              paddingRow = Int32(rows.count)
              rows.append((b, 0))
            }
            out[i] = present[i] == 0 ? paddingRow ?? row : row
          }
          start = end
        }
      }
    }
    let before = prefixPadding?.bytes
    let columns = prefix + tokens
    let table = try Tensor(
      shape: [rows.count, columns], elementType: .float32, device: padding.device
    ) { (out: UnsafeMutableBufferPointer<Float>) in
      for (index, row) in rows.enumerated() {
        let own = index * columns + prefix
        if let before {
          for j in 0..<prefix {
            out[own - prefix + j] = before[row.sample * prefix + j] == 0 ? blocked : 0
          }
        }
        for j in 0..<row.end {
          out[own + j] = present[row.sample * tokens + j] == 0 ? blocked : 0
        }
        for j in row.end..<tokens { out[own + j] = blocked }
      }
    }
    return AttentionBias(rows: table, indices: indices)
  }

  /// Throws unless all are bool `[batch, tokens]` that fit together.
  static func check(
    _ name: String, prefixPadding: Tensor?, padding: Tensor, marks: Tensor
  ) throws(PI0Error) {
    let check = try OperandCheck(
      name, [("prefixPadding", prefixPadding), ("padding", padding), ("marks", marks)])
    try check.require(
      check.operands.allSatisfy {
        $0.tensor.rank == 2 && $0.tensor.elementType == .bool
          && $0.tensor.shape[0] == padding.shape[0]
      } && padding.shape == marks.shape, "padding and marks must be bool [batch, tokens]")
    try check.require(padding.count < 1 << 30, "so many tokens have no mask")
  }
}
