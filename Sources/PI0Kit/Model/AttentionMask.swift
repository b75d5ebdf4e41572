/// Who may attend to whom, and at which position a token stands.
///
/// A padding mask says which tokens are there; attention marks say where a block of tokens begins
/// that earlier tokens must not see. Both are bool `[batch, tokens]`.
///
/// Source: `make_att_2d_masks`, `_prepare_attention_masks_4d` and `denoise_step` in openpi's
/// `pi0_pytorch.py`.
public enum AttentionMask {
  /// What is added to the score of a pair that must not attend.
  static let blocked: Float = -2.3819763e38

  /// `allowed[i, j] = block(j) <= block(i) and padding[i] and padding[j]`, where a token's block is
  /// the number of marks up to and including it.
  ///
  /// - Returns: bool `[batch, tokens, tokens]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public static func allowed(padding: Tensor, marks: Tensor) throws(PI0Error) -> Tensor {
    let none = try Tensor([Bool](), shape: [padding.shape.first ?? 0, 0], device: padding.device)
    return try suffixAllowed(prefixPadding: none, padding: padding, marks: marks)
  }

  /// The rows of a suffix over the columns of prefix and suffix: every suffix token sees the whole
  /// prefix where that is no padding, and the suffix as ``allowed(padding:marks:)`` says.
  ///
  /// - Returns: bool `[batch, suffix, prefix + suffix]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public static func suffixAllowed(
    prefixPadding: Tensor, padding: Tensor, marks: Tensor
  ) throws(PI0Error) -> Tensor {
    try check(
      "attention mask", prefixPadding: prefixPadding, padding: padding, marks: marks)
    let (batch, rows, prefix) = (padding.shape[0], padding.shape[1], prefixPadding.shape[1])
    let columns = prefix + rows
    let (pad, mark, before) = (padding.bytes, marks.bytes, prefixPadding.bytes)
    return try Tensor(
      shape: [batch, rows, columns], elementType: .bool, device: padding.device
    ) { (out: UnsafeMutableBufferPointer<UInt8>) in
      var block = [Int32](repeating: 0, count: rows)
      for b in 0..<batch {
        var marked: Int32 = 0
        for i in 0..<rows {
          marked += mark[b * rows + i] == 0 ? 0 : 1
          // A padded column is in no block that a row could see.
          block[i] = pad[b * rows + i] == 0 ? .max : marked
        }
        for i in 0..<rows {
          let row = (b * rows + i) * columns
          for j in 0..<prefix { out[row + j] = before[b * prefix + j] == 0 ? 0 : 1 }
          let own = block[i] == .max ? -1 : block[i]
          for j in 0..<rows { out[row + prefix + j] = block[j] <= own ? 1 : 0 }
        }
      }
    }
  }

  /// `cumsum(padding) - 1`: positions that count only the tokens that are there.
  ///
  /// - Parameters:
  ///   - padding: bool `[batch, tokens]`.
  ///   - prefixPadding: of the tokens that stand before; their number is added.
  /// - Returns: int32 `[batch, tokens]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public static func positions(
    padding: Tensor, after prefixPadding: Tensor? = nil
  ) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(
      "positions", [("padding", padding), ("prefixPadding", prefixPadding)])
    try check.require(
      check.operands.allSatisfy {
        $0.tensor.rank == 2 && $0.tensor.elementType == .bool
          && $0.tensor.shape[0] == padding.shape[0]
      }, "padding must be bool [batch, tokens]")
    try check.require(
      check.operands.allSatisfy { $0.tensor.shape[1] < 1 << 30 },
      "positions of so many tokens do not fit in int32")
    let tokens = padding.shape[1]
    let present = padding.bytes
    let before = prefixPadding?.bytes
    let beforeTokens = prefixPadding?.shape[1] ?? 0
    return try Tensor(shape: padding.shape, elementType: .int32, device: padding.device) {
      (out: UnsafeMutableBufferPointer<Int32>) in
      for b in 0..<padding.shape[0] {
        var position: Int32 = -1
        for j in 0..<beforeTokens { position += before?[b * beforeTokens + j] == 0 ? 0 : 1 }
        for i in 0..<tokens {
          position += present[b * tokens + i] == 0 ? 0 : 1
          out[b * tokens + i] = position
        }
      }
    }
  }
}
