import CImageCodecs
import Foundation
import PI0Kit

/// Pictures in PNG and JPEG files.
enum ImageFile {
  /// The picture in a file, which its first bytes tell to be PNG or JPEG. Grey becomes RGB, 16 bits
  /// become 8, and what is transparent lies on black.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` for a file that cannot be read, is no picture, is
  ///   damaged or truncated, or has more than ``RGBImage/maximumSide`` pixels a side.
  static func read(_ path: String) throws(PI0Error) -> RGBImage {
    func unreadable() -> PI0Error {
      .file(path: path, reason: "cannot be read: \(String(cString: strerror(errno)))")
    }
    try checkRegularFile(path, limit: 1 << 30)
    guard let file = fopen(path, "rb") else { throw unreadable() }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&part, 1, part.count, file), count > 0 {
      bytes += part[..<count]
    }
    guard ferror(file) == 0 else { throw unreadable() }
    return try decode(bytes, path: path)
  }

  /// The picture in the bytes of a file; `path` is for the errors.
  static func decode(_ bytes: [UInt8], path: String) throws(PI0Error) -> RGBImage {
    if bytes.starts(with: [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]) {
      return try decode(bytes, path: path, "PNG", size: ic_png_size, rgb: ic_png_rgb)
    }
    if bytes.starts(with: [0xFF, 0xD8, 0xFF]) {
      return try decode(bytes, path: path, "JPEG", size: ic_jpeg_size, rgb: ic_jpeg_rgb)
    }
    throw .file(path: path, reason: "is neither a PNG nor a JPEG file")
  }

  private typealias Message = UnsafeMutablePointer<CChar>

  private static func decode(
    _ bytes: [UInt8], path: String, _ format: String,
    size readSize: (
      UnsafePointer<UInt8>, Int, UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>, Message
    ) -> Int32,
    rgb readPixels: (
      UnsafePointer<UInt8>, Int, Int32, Int32, UnsafeMutablePointer<UInt8>, Message
    ) -> Int32
  ) throws(PI0Error) -> RGBImage {
    var message = [CChar](repeating: 0, count: Int(IC_MESSAGE_SIZE))
    func damaged() -> PI0Error {
      let text = message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
      return .file(
        path: path, reason: "is a damaged \(format) file: \(String(decoding: text, as: UTF8.self))")
    }

    var width: Int32 = 0
    var height: Int32 = 0
    guard readSize(bytes, bytes.count, &width, &height, &message) == 0 else { throw damaged() }
    guard max(width, height) <= RGBImage.maximumSide, min(width, height) > 0 else {
      throw .file(
        path: path,
        reason: "has \(width) x \(height) pixels; width and height must be 1 to "
          + "\(RGBImage.maximumSide)")
    }
    let pixels = [UInt8](unsafeUninitializedCapacity: 3 * Int(width) * Int(height)) {
      (target, written) in
      guard let start = target.baseAddress else { return }
      let result = readPixels(bytes, bytes.count, width, height, start, &message)
      written = result == 0 ? 3 * Int(width) * Int(height) : 0
    }
    guard !pixels.isEmpty else { throw damaged() }
    return try RGBImage(width: Int(width), height: Int(height), pixels: pixels)
  }
}
