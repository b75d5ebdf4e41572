import Foundation
import PI0Kit
import XCTest

@testable import pi0

/// PNG and JPEG files. The fixtures hold, for every picture `name.png`, its pixels `name-png.ppm`.
final class ImageFileTests: XCTestCase {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures/images")

  func testReadsEveryKindOfPNGExactly() throws {
    for name in [
      "rgb8", "rgb8-interlaced", "rgb16", "grey1", "grey8", "grey16", "palette4",
      "palette4-transparent", "rgba8", "greyalpha8",
    ] {
      let image = try ImageFile.read(path("\(name).png"))
      XCTAssertEqual(image, try pixels(of: "\(name).png"), name)
    }
  }

  func testReadsJPEGAsLibjpegDoes() throws {
    for name in ["full.jpg", "halved.jpg", "progressive.jpg", "grey.jpg"] {
      XCTAssertLessThanOrEqual(
        try difference(ImageFile.read(path(name)), pixels(of: name)), 1, name)
    }
  }

  func testErrorsNameFileAndCause() throws {
    let missing = "/nowhere/picture.png"
    XCTAssertThrowsError(try ImageFile.read(missing)) { error in
      XCTAssertEqual("\(error)", "/nowhere/picture.png: cannot be read: No such file or directory")
    }
    XCTAssertThrowsError(try ImageFile.read("/")) { error in
      XCTAssertEqual("\(error)", "/: cannot be read: Is a directory")
    }
    for bytes in [[], [0xFF], Array("GIF89a".utf8), Array("P6 1 1 255\n123".utf8)] as [[UInt8]] {
      XCTAssertThrowsError(try ImageFile.decode(bytes, path: "x")) { error in
        XCTAssertEqual("\(error)", "x: is neither a PNG nor a JPEG file")
      }
    }
  }

  /// A picture without its end is an error, not a picture with a grey rest.
  func testTruncatedFilesThrow() throws {
    for name in try Self.pictures() {
      let whole = try bytes(name)
      // A PNG file's last chunk, 12 bytes, says nothing about the pixels.
      for count in 0..<whole.count - 12 {
        XCTAssertThrowsError(
          try ImageFile.decode(Array(whole.prefix(count)), path: name), "\(name), \(count) bytes"
        ) { error in
          guard case .file(name, let reason)? = error as? PI0Error else {
            return XCTFail("\(error)")
          }
          XCTAssertFalse(reason.contains("\n"))
        }
      }
    }
  }

  /// Headers that speak of billions of pixels, with nothing behind them.
  func testHostileSizesThrow() throws {
    var png = try bytes("rgb8.png")
    for (width, height) in [(16_385, 1), (1, 16_385), (65_535, 65_535), (0x7FFF_FFFF, 0x7FFF_FFFF)]
    {
      png.replaceSubrange(16..<20, with: bigEndian(width))
      png.replaceSubrange(20..<24, with: bigEndian(height))
      png.replaceSubrange(29..<33, with: bigEndian(Int(crc(png[12..<29]))))
      XCTAssertThrowsError(try ImageFile.decode(png, path: "x.png"), "\(width) x \(height)")
    }
    // Within the limit, but all rows are missing.
    png.replaceSubrange(16..<24, with: bigEndian(16_384) + bigEndian(16_384))
    png.replaceSubrange(29..<33, with: bigEndian(Int(crc(png[12..<29]))))
    XCTAssertThrowsError(try ImageFile.decode(png, path: "x.png"))

    var jpeg = try bytes("full.jpg")
    let frame = try XCTUnwrap(
      jpeg.indices.dropLast(1).first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
    for size in [[0xFF, 0xFF, 0xFF, 0xFF], [0x40, 0x00, 0x40, 0x00], [0, 0, 0, 5]] as [[UInt8]] {
      jpeg.replaceSubrange(frame + 5..<frame + 9, with: size)
      XCTAssertThrowsError(try ImageFile.decode(jpeg, path: "x.jpg"), "\(size)")
    }
  }

  /// Damaged files throw or decode to a picture of a sane size; they never crash.
  func testMutatedFilesThrowOrDecode() throws {
    var random = SplitMix(state: 2_024)
    let originals = try Self.pictures().map(bytes)
    var (decoded, refused) = (0, 0)
    for round in 0..<4_000 {
      var file = originals[round % originals.count]
      for _ in 0...Int.random(in: 0..<8, using: &random) {
        let place = Int.random(in: 0..<file.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: file[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: file[place] = UInt8.random(in: .min ... .max, using: &random)
        case 2: file.removeSubrange(place..<min(place + 5, file.count - 1))
        default: file.insert(contentsOf: file.prefix(place).suffix(9), at: place)
        }
      }
      if round.isMultiple(of: 2) { repairChecksums(&file) }
      do {
        let image = try ImageFile.decode(file, path: "mutated")
        XCTAssertEqual(image.pixels.count, 3 * image.width * image.height)
        decoded += 1
      } catch {
        guard case .file = error else { return XCTFail("\(error)") }
        refused += 1
      }
    }
    // Both ways are walked.
    XCTAssertGreaterThan(decoded, 100)
    XCTAssertGreaterThan(refused, 100)
  }

  // MARK: - Fixtures

  private func path(_ name: String) -> String {
    Self.folder.appendingPathComponent(name).path
  }

  private func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: Self.folder.appendingPathComponent(name)))
  }

  private static func pictures() throws -> [String] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasSuffix(".png") || $0.hasSuffix(".jpg") }
    XCTAssertEqual(names.count, 14)
    return names.sorted()
  }

  /// The pixels of a picture, from a PPM file: `P6 width height 255`, newline, RGB.
  private func pixels(of name: String) throws -> RGBImage {
    let ppm = try bytes(name.replacingOccurrences(of: ".", with: "-") + ".ppm")
    let end = try XCTUnwrap(ppm.firstIndex(of: UInt8(ascii: "\n")))
    let header = String(decoding: ppm[..<end], as: UTF8.self).split(separator: " ")
    XCTAssertEqual([header.first, header.last], ["P6", "255"])
    return try RGBImage(
      width: try XCTUnwrap(Int(header[1])), height: try XCTUnwrap(Int(header[2])),
      pixels: Array(ppm[(end + 1)...]))
  }

  private func difference(_ a: RGBImage, _ b: RGBImage) throws -> Int {
    XCTAssertEqual([a.width, a.height], [b.width, b.height])
    return zip(a.pixels, b.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 0
  }

  // MARK: - PNG chunks

  private func bigEndian(_ value: Int) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
  }

  /// Without this, libpng's checksums keep nearly all mutations from its decoder.
  private func repairChecksums(_ png: inout [UInt8]) {
    var start = 8
    while start + 12 <= png.count {
      let length = png[start..<start + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= png.count - start - 12 else { return }
      let end = start + 8 + length
      png.replaceSubrange(end..<end + 4, with: bigEndian(Int(crc(png[start + 4..<end]))))
      start = end + 4
    }
  }

  /// CRC-32 as PNG has it.
  private func crc(_ bytes: ArraySlice<UInt8>) -> UInt32 {
    ~bytes.reduce(~0) { crc, byte in
      (0..<8).reduce(crc ^ UInt32(byte)) { crc, _ in crc >> 1 ^ (crc & 1 == 0 ? 0 : 0xEDB8_8320) }
    }
  }
}

/// Random numbers that are the same in every run.
private struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }
}
