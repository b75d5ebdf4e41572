extension Tensor {
  /// The rows of this table that `tokens` name, as `torch.nn.functional.embedding`.
  ///
  /// - Parameter tokens: int32 indices of any shape, each within `0..<shape[0]`.
  /// - Returns: `tokens.shape + [width]` in the table's type, for a table of `[entries, width]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for an index outside the table, and where
  ///   shapes or types do not fit.
  public func rows(_ tokens: Tensor) throws(PI0Error) -> Tensor {
    try checkRows(tokens)
    return try device.backend.lookUp(tokens, in: self, shape: tokens.shape + [shape[1]])
  }

  /// Throws unless this is a table and `tokens` name rows of it.
  func checkRows(_ tokens: Tensor) throws(PI0Error) {
    let check = try OperandCheck("embedding", [("table", self), ("tokens", tokens)])
    try check.require(rank == 2 && elementType.isFloat, "table must be floats, [entries, width]")
    try check.require(tokens.elementType == .int32, "tokens must be int32")
    // In a trace they are inputs of which only the shape is known, checked by who gives them.
    if case .device = tokens.elements { return }
    for token in try tokens.int32s() where !(0..<shape[0]).contains(Int(token)) {
      throw check.error("token \(token) is outside the vocabulary 0..<\(shape[0])")
    }
  }
}
