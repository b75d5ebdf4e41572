// Equal to Pillow's `Image.resize(…, BILINEAR)` on 8-bit pictures, which openpi's client and
// policies resize with (packages/openpi-client/src/openpi_client/image_tools.py).

extension RGBImage {
  /// The picture scaled to fit, its aspect kept, and centred on black; an odd rest goes to the
  /// bottom and the right.
  ///
  /// Each new pixel is a weighted mean of the old ones under a triangle, whose half width is one
  /// pixel of the coarser grid: columns first, then rows, each rounded to 8 bits. Weights are in
  /// units of 2^-22. Equal to Pillow bit for bit.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where a dimension is not within `1...`
  ///   ``maximumSide``, or the picture is so narrow that nothing of it would remain.
  public func resizedWithPaddingAsPillow(width: Int, height: Int) throws(PI0Error) -> RGBImage {
    let fit = try PaddedFit(of: (self.width, self.height), in: (width, height))
    if fit.source == fit.target { return self }
    let channels = Self.channels
    let columns = TriangleAxis(from: self.width, to: fit.resized.width)
    let rows = TriangleAxis(from: self.height, to: fit.resized.height)
    let rowCount = fit.resized.width * channels

    var narrowed = [UInt8](repeating: 0, count: rowCount * self.height)
    var padded = [UInt8](repeating: 0, count: channels * width * height)
    let (left, top) = fit.offset
    pixels.withUnsafeBufferPointer { source in
      narrowed.withUnsafeMutableBufferPointer { target in
        for y in 0..<self.height {
          for x in 0..<fit.resized.width {
            for channel in 0..<channels {
              target[y * rowCount + x * channels + channel] = columns.mean(
                of: source, from: y * self.width * channels + channel, stride: channels, at: x)
            }
          }
        }
      }
    }
    narrowed.withUnsafeBufferPointer { source in
      padded.withUnsafeMutableBufferPointer { target in
        for y in 0..<fit.resized.height {
          let start = ((top + y) * width + left) * channels
          for i in 0..<rowCount {
            target[start + i] = rows.mean(of: source, from: i, stride: rowCount, at: y)
          }
        }
      }
    }
    return try RGBImage(width: width, height: height, pixels: padded)
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
  private let isCopy: Bool

  init(from oldCount: Int, to newCount: Int) {
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
    if isCopy { return pixels[start + index * stride] }
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
