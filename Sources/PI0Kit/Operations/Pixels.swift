extension Tensor {
  /// The patches of pictures of bytes, in reading order: `pixel - 128`, row by row of a patch, the three colours of
  /// a pixel side by side.
  ///
  /// These are integers that bfloat16 holds exactly; ``SigLIP`` has the rest of the normalisation in its weights.
  ///
  /// - Returns: float32 `[batch, patches, patch * patch * 3]` for uint8 `[batch, height, width, 3]`. Rows
  ///   and columns that do not fill a patch are ignored.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the shape or type does not fit.
  func pixelPatches(_ patch: Int) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("pixelPatches", [("image", self)])
    try check.require(
      elementType == .uint8 && rank == 4 && shape[3] == RGBImage.channels && patch > 0
        && shape[1] >= patch && shape[2] >= patch,
      "image must be bytes [batch, height, width, 3], no smaller than a patch")
    let patches = (shape[1] / patch) * (shape[2] / patch)
    return try check.backend.pixelPatches(
      self, patch: patch, shape: [shape[0], patches, patch * patch * RGBImage.channels])
  }
}

extension Backend {
  /// In host memory.
  func pixelPatches(_ image: Tensor, patch: Int, shape: [Int]) throws(PI0Error) -> Tensor {
    let (height, width) = (image.shape[1], image.shape[2])
    let (across, rowBytes) = (width / patch, patch * RGBImage.channels)
    return try Tensor(shape: shape, elementType: .float32, device: image.device) {
      (out: UnsafeMutableBufferPointer<Float>) in
      let pixels = image.bytes
      var next = 0
      for item in 0..<shape[0] {
        for index in 0..<shape[1] {
          let (top, left) = (index / across * patch, index % across * patch)
          for y in top..<top + patch {
            let row = ((item * height + y) * width + left) * RGBImage.channels
            for i in 0..<rowBytes { out[next + i] = Float(pixels[row + i]) - 128 }
            next += rowBytes
          }
        }
      }
    }
  }
}
