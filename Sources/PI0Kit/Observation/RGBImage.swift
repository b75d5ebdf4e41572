/// A camera picture: 8 bits each of red, green and blue a pixel, rows from top to bottom without
/// gaps.
public struct RGBImage: Sendable, Equatable {
  /// The most pixels in a row, and the most rows: what no camera reaches, and memory still holds.
  public static let maximumSide = 16_384
  /// Bytes a pixel takes.
  static let channels = 3

  /// Pixels in a row.
  public let width: Int
  /// Rows.
  public let height: Int
  /// `3 * width * height` bytes: red, green, blue of the top left pixel, then of its right
  /// neighbour, and so on.
  public let pixels: [UInt8]

  /// A picture of the given pixels.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where a dimension is not within `1...`
  ///   ``maximumSide``, or `pixels` does not hold `3 * width * height` bytes.
  public init(width: Int, height: Int, pixels: [UInt8]) throws(PI0Error) {
    guard let count = Self.byteCount(width: width, height: height) else {
      throw Self.impossible(width, height)
    }
    guard pixels.count == count else {
      throw .input(
        "a picture of \(width) x \(height) pixels takes \(count) bytes of RGB, "
          + "not \(pixels.count)")
    }
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// A copy of a camera's buffer, whose rows may be padded.
  ///
  /// - Parameters:
  ///   - pointer: The top left pixel. `bytesPerRow * (height - 1) + 3 * width` bytes are read.
  ///   - width: Pixels in a row.
  ///   - height: Rows.
  ///   - bytesPerRow: From the start of a row to the start of the next, at least `3 * width`.
  /// - Throws: ``PI0Error/input(_:)`` where a dimension is not within `1...` ``maximumSide``, or
  ///   the rows overlap.
  public init(
    copying pointer: UnsafeRawPointer, width: Int, height: Int, bytesPerRow: Int
  ) throws(PI0Error) {
    guard let count = Self.byteCount(width: width, height: height) else {
      throw Self.impossible(width, height)
    }
    let rowBytes = Self.channels * width
    guard bytesPerRow >= rowBytes else {
      throw .input(
        "a row of \(width) pixels takes \(rowBytes) bytes of RGB, more than the \(bytesPerRow) "
          + "bytes between rows")
    }
    guard !bytesPerRow.multipliedReportingOverflow(by: height).overflow else {
      throw .input("\(height) rows of \(bytesPerRow) bytes do not fit in memory")
    }
    let pixels = [UInt8](unsafeUninitializedCapacity: count) { target, written in
      let bytes = UnsafeMutableRawBufferPointer(target)
      for row in 0..<height {
        let source = UnsafeRawBufferPointer(start: pointer + row * bytesPerRow, count: rowBytes)
        UnsafeMutableRawBufferPointer(rebasing: bytes[(row * rowBytes)...])
          .copyMemory(from: source)
      }
      written = count
    }
    try self.init(width: width, height: height, pixels: pixels)
  }

  /// `3 * width * height`, or nil where there is no such picture.
  private static func byteCount(width: Int, height: Int) -> Int? {
    let allowed = 1...maximumSide
    return allowed.contains(width) && allowed.contains(height) ? channels * width * height : nil
  }

  static func impossible(_ width: Int, _ height: Int) -> PI0Error {
    .input(
      "a picture of \(width) x \(height) pixels: width and height must be 1 to \(maximumSide)")
  }
}
