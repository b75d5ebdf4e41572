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
    if keepsBytes([image], size: size) {
      return try pixels(image, size: size).normalized(device: device)
    }
    return try image.normalized().permuted([0, 2, 3, 1])
      .resizedWithPadding(width: size, height: size).permuted([0, 3, 1, 2]).moved(to: device)
  }

  /// Whether pixels are bytes still when these frames have the model's size.
  func keepsBytes(_ images: [RGBImage], size: Int) -> Bool {
    self != .torchFloats || images.allSatisfy { $0.width == size && $0.height == size }
  }

  /// The frame in the model's size where that ``keepsBytes(_:size:)``.
  func pixels(_ image: RGBImage, size: Int) throws(PI0Error) -> RGBImage {
    switch self {
    case .pillow: try image.resizedWithPaddingAsPillow(width: size, height: size)
    case .torchBytes: try image.resizedWithPadding(width: size, height: size)
    case .torchFloats: image
    }
  }
}
