// Equal to Pillow's `Image.resize(…, BILINEAR)` on 8-bit pictures, which openpi's client and
// policies resize with (packages/openpi-client/src/openpi_client/image_tools.py).

extension RGBImage {
  /// The picture scaled to fit, its aspect kept, and centred on black; an odd rest goes to the
  /// bottom and the right.
  ///
  /// Each new pixel is a weighted mean of the old ones under a triangle, whose half width is one
  /// pixel of the coarser grid: columns first, then rows, each rounded to 8 bits; rows first where
  /// that takes away more than twice as many of them. Weights are in units of 2^-22. Equal to
  /// Pillow 13 bit for bit.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where a dimension is not within `1...`
  ///   ``maximumSide``, or the picture is so narrow that nothing of it would remain.
  public func resizedWithPaddingAsPillow(width: Int, height: Int) throws(PI0Error) -> RGBImage {
    let fit = try PaddedFit(of: (self.width, self.height), in: (width, height))
    if fit.source == fit.target { return self }
    let columns = TriangleAxis(from: self.width, to: fit.resized.width)
    let rows = TriangleAxis(from: self.height, to: fit.resized.height)
    let rowsFirst =
      self.height - fit.resized.height > max(2 * (self.width - fit.resized.width), 0)
    var scaled = Plane(width: self.width, height: self.height, pixels: pixels)
    for passesRows in [rowsFirst, !rowsFirst] {
      scaled = passesRows ? scaled.scalingRows(by: rows) : scaled.scalingColumns(by: columns)
    }

    var padded = [UInt8](repeating: 0, count: Self.channels * width * height)
    let (left, top) = fit.offset
    let rowCount = Self.channels * scaled.width
    for y in 0..<scaled.height {
      let start = ((top + y) * width + left) * Self.channels
      padded.replaceSubrange(
        start..<start + rowCount, with: scaled.pixels[y * rowCount..<(y + 1) * rowCount])
    }
    return try RGBImage(width: width, height: height, pixels: padded)
  }
}

/// A picture between two passes.
private struct Plane {
  let width: Int
  let height: Int
  let pixels: [UInt8]

  func scalingColumns(by axis: TriangleAxis) -> Plane {
    if axis.isCopy { return self }
    return scaled(width: axis.count, height: height) { (source, row, column, channel) in
      axis.mean(
        of: source, from: row * width * RGBImage.channels + channel, stride: RGBImage.channels,
        at: column)
    }
  }

  func scalingRows(by axis: TriangleAxis) -> Plane {
    if axis.isCopy { return self }
    return scaled(width: width, height: axis.count) { (source, row, column, channel) in
      axis.mean(
        of: source, from: column * RGBImage.channels + channel, stride: width * RGBImage.channels,
        at: row)
    }
  }

  @inline(__always)
  private func scaled(
    width: Int, height: Int,
    pixel: (UnsafeBufferPointer<UInt8>, _ row: Int, _ column: Int, _ channel: Int) -> UInt8
  ) -> Plane {
    var target = [UInt8](repeating: 0, count: RGBImage.channels * width * height)
    pixels.withUnsafeBufferPointer { source in
      target.withUnsafeMutableBufferPointer { target in
        var place = 0
        for row in 0..<height {
          for column in 0..<width {
            for channel in 0..<RGBImage.channels {
              target[place] = pixel(source, row, column, channel)
              place += 1
            }
          }
        }
      }
    }
    return Plane(width: width, height: height, pixels: target)
  }
}

/// One axis of a picture that is scaled under a triangle.
private struct TriangleAxis {
  private static let bits: Int32 = 22

  private struct Window {
    /// The first old pixel.
    let first: Int
    /// Where its weight is; those of the pixels after it follow.
    let weights: Range<Int>
  }

  private var windows: [Window] = []
  private var weights: [Int32] = []
  /// New pixels.
  let count: Int
  /// The new pixels are the old ones.
  let isCopy: Bool

  init(from oldCount: Int, to newCount: Int) {
    count = newCount
    isCopy = oldCount == newCount
    if isCopy { return }
    let scale = Double(oldCount) / Double(newCount)
    let reach = max(scale, 1)
    for i in 0..<newCount {
      let center = (Double(i) + 0.5) * scale
      let first = max(Int(center - reach + 0.5), 0)
      let end = min(Int(center + reach + 0.5), oldCount)
      let window = (first..<max(end, first)).map { old in
        max(1 - abs((Double(old) - center + 0.5) * (1 / reach)), 0)
      }
      let sum = window.reduce(0, +)
      let begin = weights.count
      for weight in window {
        // Weights are not negative: adding a half and cutting rounds them.
        let share = sum == 0 ? weight : weight / sum
        weights.append(Int32(share * Double(1 << Self.bits) + 0.5))
      }
      windows.append(Window(first: first, weights: begin..<weights.count))
    }
  }

  /// The new pixel at `index` from the old ones at `start`, `start + stride`, ….
  @inline(__always)
  func mean(
    of pixels: UnsafeBufferPointer<UInt8>, from start: Int, stride: Int, at index: Int
  ) -> UInt8 {
    let window = windows[index]
    var sum: Int32 = 1 << (Self.bits - 1)
    var place = start + window.first * stride
    for weight in window.weights {
      sum &+= Int32(pixels[place]) &* weights[weight]
      place += stride
    }
    return UInt8(truncatingIfNeeded: min(max(sum >> Self.bits, 0), 255))
  }
}
