extension Tensor {
  /// The convolution of an image with a kernel as large as its stride, patches in reading order:
  /// `conv2d(image, weight, bias, stride: patch).flatten(2).transpose(1, 2)`.
  ///
  /// - Parameters:
  ///   - weight: `[out, channels, patch, patch]`.
  ///   - bias: `[out]`.
  /// - Returns: `[batch, patches, out]` for an image of `[batch, channels, height, width]`. Rows
  ///   and columns that do not fill a patch are ignored, as PyTorch does.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func patchConvolution(weight: Tensor, bias: Tensor) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(
      "patchConvolution", [("image", self), ("weight", weight), ("bias", bias)])
    try check.requireFloats()
    try check.require(rank == 4, "image must be [batch, channels, height, width]")
    try check.require(
      weight.rank == 4 && weight.shape[1] == shape[1] && weight.shape[2] == weight.shape[3]
        && weight.shape[2] > 0, "weight must be [out, channels, patch, patch]")
    try check.require(bias.shape == [weight.shape[0]], "bias must be [out]")
    let patch = weight.shape[2]
    try check.require(shape[2] >= patch && shape[3] >= patch, "the image is smaller than a patch")
    let patches = (shape[2] / patch) * (shape[3] / patch)
    return try check.backend.patchConvolution(
      self, weight: weight, bias: bias, shape: [shape[0], patches, weight.shape[0]],
      type: check.promotedType)
  }

  /// The patches of an image in host memory, in reading order: `[batch, patches, channels * patch * patch]` of
  /// `[batch, channels, height, width]`, so that ``patchConvolution(weight:bias:)`` is a linear of them.
  func patches(_ patch: Int) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("patches", [("image", self)])
    try check.requireFloats()
    try check.require(
      rank == 4 && patch > 0 && shape[2] >= patch && shape[3] >= patch,
      "image must be [batch, channels, height, width], no smaller than a patch")
    let (batch, channels, height, width) = (shape[0], shape[1], shape[2], shape[3])
    let (down, across) = (height / patch, width / patch)
    let pixels = numbers()
    return try Tensor(
      shape: [batch, down * across, channels * patch * patch], elementType: .float32, device: device
    ) { (out: UnsafeMutableBufferPointer<Float>) in
      var next = 0
      for item in 0..<batch {
        for index in 0..<down * across {
          let (top, left) = (index / across * patch, index % across * patch)
          for channel in 0..<channels {
            for y in 0..<patch {
              let row = ((item * channels + channel) * height + top + y) * width + left
              for x in 0..<patch { out[next + x] = pixels[row + x] }
              next += patch
            }
          }
        }
      }
    }
  }
}
