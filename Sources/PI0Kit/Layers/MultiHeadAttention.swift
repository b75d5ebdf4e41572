extension Tensor {
  /// `[batch, rows, heads * width]` as `[batch, heads, rows, width]`.
  func splitHeads(_ heads: Int) throws(PI0Error) -> Tensor {
    let width = heads > 0 ? shape[2] / heads : 0
    return try reshaped([shape[0], shape[1], heads, width]).permuted([0, 2, 1, 3])
  }

  /// `[batch, heads, rows, width]` as `[batch, rows, heads * width]`.
  func mergeHeads() throws(PI0Error) -> Tensor {
    try permuted([0, 2, 1, 3]).reshaped([shape[0], shape[2], shape[1] * shape[3]])
  }
}
