extension Linear {
  /// `[batch, rows, inputs]` to heads, `[batch, heads, rows, outputs / heads]`.
  func toHeads(_ x: Tensor, _ heads: Int) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("linear to heads", [("x", x), ("weight", weight), ("bias", bias)])
    try check.requireFloats()
    try check.require(
      x.rank == 3 && x.shape[2] == weight.shape[1] && heads > 0 && weight.shape[0] % heads == 0,
      "x must be [batch, rows, inputs]; the \(heads) heads must divide the outputs")
    return try check.backend.linearToHeads(
      x, weight: weight, bias: bias,
      shape: [x.shape[0], heads, x.shape[1], weight.shape[0] / heads], type: check.promotedType)
  }

  /// `[batch, heads, rows, width]`, the heads' values side by side, to `[batch, rows, outputs]`; added
  /// to `residual`, where there is one.
  func fromHeads(_ x: Tensor, plus residual: Residual? = nil) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(
      "linear from heads",
      [
        ("x", x), ("weight", weight), ("bias", bias), ("residual", residual?.x),
        ("gate", residual?.gate),
      ])
    try check.requireFloats()
    try check.require(
      x.rank == 4 && x.shape[1] * x.shape[3] == weight.shape[1],
      "x must be [batch, heads, rows, width] with as many values a row as the layer has inputs")
    let shape = [x.shape[0], x.shape[2], weight.shape[0]]
    guard let residual else {
      return try check.backend.linearFromHeads(
        x, weight: weight, bias: bias, shape: shape, type: check.promotedType)
    }
    try check.require(residual, shape)
    return try check.backend.linearFromHeads(
      x, weight: weight, bias: bias, plus: residual, shape: shape, type: check.promotedType)
  }
}
