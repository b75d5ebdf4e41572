// Equal to openpi's `resize_with_pad_torch` (src/openpi/shared/image_tools.py): bilinear between
// pixel centres, no antialiasing, as PyTorch's `interpolate` computes it on a processor with AVX2.

extension RGBImage {
  /// The picture scaled to fit, its aspect kept, and centred on black; an odd rest goes to the
  /// bottom and the right.
  ///
  /// Columns first, then rows, each rounded to 8 bits: `(a * p + b * q + 2^(s-1)) >> s`, where p
  /// and q are the two weights in units of `2^-s`, and s is 15, or 14 where an axis has a weight
  /// of 1. Equal to openpi bit for bit.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where a dimension is not within `1...`
  ///   ``maximumSide``, or the picture is so narrow that nothing of it would remain.
  public func resizedWithPadding(width: Int, height: Int) throws(PI0Error) -> RGBImage {
    let fit = try PaddedFit(of: (self.width, self.height), in: (width, height))
    var padded = [UInt8](repeating: 0, count: Self.channels * width * height)
    pixels.withUnsafeBufferPointer { source in
      padded.withUnsafeMutableBufferPointer { target in
        fit.resize(source, into: target, along: FixedPointAxis.self)
      }
    }
    return try RGBImage(width: width, height: height, pixels: padded)
  }

  /// The pixels as they are, uint8 `[1, height, width, 3]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the device cannot hold it.
  public func pixels(device: Device = .reference) throws(PI0Error) -> Tensor {
    try Tensor(bytes: pixels, shape: [1, height, width, Self.channels], device: device)
  }

  /// The picture as the vision tower takes it: `pixel / 255 * 2 - 1` in float32.
  ///
  /// - Returns: float32 `[1, 3, height, width]`.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the device cannot hold it.
  public func normalized(device: Device = .reference) throws(PI0Error) -> Tensor {
    let values = (0...255).map { Float($0) / 255 * 2 - 1 }
    return try Tensor(
      shape: [1, Self.channels, height, width], elementType: .float32, device: device
    ) { (target: UnsafeMutableBufferPointer<Float>) in
      let plane = width * height
      for channel in 0..<Self.channels {
        for pixel in 0..<plane {
          target[channel * plane + pixel] = values[Int(pixels[Self.channels * pixel + channel])]
        }
      }
    }
  }
}

extension Tensor {
  /// Pictures `[..., H, W, 3]` with values in [-1, 1], scaled to fit, their aspect kept, and centred
  /// on -1; an odd rest goes to the bottom and the right.
  ///
  /// `(1 - f) * a + f * b` along columns, then along rows, then clamped to [-1, 1].
  ///
  /// - Returns: float32 `[..., height, width, 3]`. Differs from openpi by rounding alone.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for a tensor that is not float32
  ///   `[..., H, W, 3]`; ``PI0Error/input(_:)`` where a dimension is not within `1...`
  ///   ``RGBImage/maximumSide``, or the picture is so narrow that nothing of it would remain.
  public func resizedWithPadding(width: Int, height: Int) throws(PI0Error) -> Tensor {
    guard elementType == .float32, rank >= 3, shape[rank - 1] == RGBImage.channels else {
      throw .operation(
        "resizedWithPadding", reason: "pictures are float32 [..., H, W, 3]",
        operands: ["x: \(self)"])
    }
    let fit = try PaddedFit(of: (shape[rank - 2], shape[rank - 3]), in: (width, height))
    return try Tensor(
      shape: shape.dropLast(3) + [height, width, RGBImage.channels], elementType: .float32,
      device: device
    ) { (target: UnsafeMutableBufferPointer<Float>) throws(PI0Error) in
      target.initialize(repeating: -1)
      let newCount = RGBImage.channels * width * height
      let oldCount = RGBImage.channels * shape[rank - 2] * shape[rank - 3]
      try withFloats { (source) throws(PI0Error) in
        for picture in 0..<target.count / newCount {
          fit.resize(
            UnsafeBufferPointer(rebasing: source[(picture * oldCount)...].prefix(oldCount)),
            into: UnsafeMutableBufferPointer(
              rebasing: target[(picture * newCount)...].prefix(newCount)),
            along: FloatAxis.self)
        }
      }
      for i in target.indices { target[i] = min(max(target[i], -1), 1) }  // a NaN stays one
    }
  }
}

/// Where a picture lies within the larger one that it is fitted into.
struct PaddedFit {
  typealias Size = (width: Int, height: Int)
  let source: Size
  let target: Size
  let resized: Size
  /// Columns to the left of the scaled picture, rows above it.
  var offset: (left: Int, top: Int) {
    ((target.width - resized.width) / 2, (target.height - resized.height) / 2)
  }

  init(of source: Size, in target: Size) throws(PI0Error) {
    let allowed = 1...RGBImage.maximumSide
    for (width, height) in [source, target] {
      guard allowed.contains(width), allowed.contains(height) else {
        throw RGBImage.impossible(width, height)
      }
    }
    let ratio = max(
      Double(source.width) / Double(target.width), Double(source.height) / Double(target.height))
    resized = (Int(Double(source.width) / ratio), Int(Double(source.height) / ratio))
    guard resized.width > 0, resized.height > 0 else {
      throw .input(
        "a picture of \(source.width) x \(source.height) pixels is too narrow to be fitted into "
          + "\(target.width) x \(target.height)")
    }
    self.source = source
    self.target = target
  }

  /// Writes the scaled picture to its place in `padded`, and nothing around it.
  fileprivate func resize<Axis: ResizedAxis>(
    _ pixels: UnsafeBufferPointer<Axis.Element>,
    into padded: UnsafeMutableBufferPointer<Axis.Element>, along: Axis.Type
  ) {
    let channels = RGBImage.channels
    let columns = Axis(from: source.width, to: resized.width)
    let rows = Axis(from: source.height, to: resized.height)
    let rowCount = resized.width * channels
    let narrowed = UnsafeMutableBufferPointer<Axis.Element>.allocate(
      capacity: rowCount * source.height)
    defer { narrowed.deallocate() }

    for y in 0..<source.height {
      for x in 0..<resized.width {
        let near = (y * source.width + columns.near[x]) * channels
        let far = (y * source.width + min(columns.near[x] + 1, source.width - 1)) * channels
        for channel in 0..<channels {
          narrowed[y * rowCount + x * channels + channel] = columns.blend(
            pixels[near + channel], pixels[far + channel], at: x)
        }
      }
    }
    let (left, top) = offset
    for y in 0..<resized.height {
      let near = rows.near[y] * rowCount
      let far = min(rows.near[y] + 1, source.height - 1) * rowCount
      let start = ((top + y) * target.width + left) * channels
      for i in 0..<rowCount {
        padded[start + i] = rows.blend(narrowed[near + i], narrowed[far + i], at: y)
      }
    }
  }
}

/// One axis of a picture that is scaled: each new pixel lies between two old neighbours.
private protocol ResizedAxis {
  associatedtype Element: BitwiseCopyable
  init(from oldCount: Int, to newCount: Int)
  /// For each new pixel the left (upper) one of the two old ones.
  var near: [Int] { get }
  /// The new pixel at `index`, from its two old ones.
  func blend(_ near: Element, _ far: Element, at index: Int) -> Element
}

/// For each new pixel the left one of its two old ones, and how far it lies from there to the next:
/// `(i + 0.5) * scale - 0.5`, rounded once, as PyTorch's kernels fuse it. Nothing lies left of the
/// first pixel or right of the last.
private func positions<Scalar: BinaryFloatingPoint>(
  from oldCount: Int, to newCount: Int
) -> [(near: Int, fraction: Scalar)] {
  let scale = Scalar(oldCount) / Scalar(newCount)
  return (0..<newCount).map { i in
    let position = max((-0.5 as Scalar).addingProduct(scale, Scalar(i) + 0.5), 0)
    let near = Int(position)
    return near < oldCount - 1 ? (near, position - Scalar(near)) : (oldCount - 1, 0)
  }
}

/// Weights in units of `2^-shift`, as PyTorch's integer kernel has them.
private struct FixedPointAxis: ResizedAxis {
  let near: [Int]
  private let weights: [(near: Int32, far: Int32)]
  private let shift: Int32

  init(from oldCount: Int, to newCount: Int) {
    let positions: [(near: Int, fraction: Double)] = positions(from: oldCount, to: newCount)
    // The most bits with which the largest weight is still an Int16.
    let largest = positions.lazy.map { max($0.fraction, 1 - $0.fraction) }.max() ?? 1
    let shift: Int32 = Int(largest * 0x1p15 + 0.5) <= Int(Int16.max) ? 15 : 14
    let one = Double(1 << shift)
    near = positions.map(\.near)
    weights = positions.map {
      (Int32((1 - $0.fraction) * one + 0.5), Int32($0.fraction * one + 0.5))
    }
    self.shift = shift
  }

  @inline(__always)
  func blend(_ near: UInt8, _ far: UInt8, at index: Int) -> UInt8 {
    // The weights' sum exceeds 1 by one unit at most, so 255 is not exceeded.
    let weight = weights[index]
    let sum = Int32(near) &* weight.near &+ Int32(far) &* weight.far
    return UInt8(truncatingIfNeeded: (sum &+ (1 << (shift &- 1))) >> shift)
  }
}

private struct FloatAxis: ResizedAxis {
  let near: [Int]
  private let fractions: [Float]

  init(from oldCount: Int, to newCount: Int) {
    let positions: [(near: Int, fraction: Float)] = positions(from: oldCount, to: newCount)
    near = positions.map(\.near)
    fractions = positions.map(\.fraction)
  }

  @inline(__always)
  func blend(_ near: Float, _ far: Float, at index: Int) -> Float {
    (1 - fractions[index]) * near + fractions[index] * far
  }
}
