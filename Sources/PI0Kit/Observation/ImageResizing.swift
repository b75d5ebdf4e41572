/// How a camera's frame is brought to the size that the model sees: scaled to fit, its aspect kept,
/// and centred on black. The three agree but for rounding where a picture grows; where it shrinks,
/// ``pillow`` alone averages over what it leaves out.
public enum ImageResizing: String, Sendable, CaseIterable {
  /// Bilinear with antialiasing, in bytes. Source: `resize_with_pad` of openpi's client and of its
  /// policies, which is Pillow's.
  case pillow
  /// Bilinear without antialiasing, in bytes. Source: openpi's `resize_with_pad_torch`.
  case torchBytes
  /// Bilinear without antialiasing, in float32. Source: lerobot's `resize_with_pad_torch`.
  case torchFloats

  /// The frame as the vision tower takes it, values in [-1, 1].
  ///
  /// - Returns: float32 `[1, 3, size, size]`.
  /// - Throws: ``PI0Error/input(_:)`` where the picture is so narrow that nothing of it would
  ///   remain.
  func modelInput(
    _ image: RGBImage, size: Int, device: Device
  ) throws(PI0Error) -> Tensor {
    switch self {
    case .pillow:
      return try image.resizedWithPaddingAsPillow(width: size, height: size)
        .normalized(device: device)
    case .torchBytes:
      return try image.resizedWithPadding(width: size, height: size).normalized(device: device)
    case .torchFloats:
      if image.width == size && image.height == size { return try image.normalized(device: device) }
      return try image.normalized().permuted([0, 2, 3, 1])
        .resizedWithPadding(width: size, height: size).permuted([0, 3, 1, 2]).moved(to: device)
    }
  }
}
