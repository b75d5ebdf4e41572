import Foundation
import XCTest

@testable import PI0Kit

/// Pictures fitted into others, against PyTorch's results.
final class ImageResizeTests: XCTestCase {
  /// openpi's own `resize_with_pad_torch`: 40 x 64 pixels into 56 x 56.
  func testEqualsOpenpi() throws {
    for name in ["pi0", "pi05"] {
      let golden = try Fixtures.safetensors("golden/\(name).io.safetensors")
      let source = try Pictures(golden, "resize.in_u8")
      let expected = try Pictures(golden, "resize.out_u8")
      let expectedFloats = try golden.tensor("resize.out_f32").floats()
      XCTAssertEqual(source.images.count, 2)

      for (image, expected) in zip(source.images, expected.images) {
        let resized = try image.resizedWithPadding(width: 56, height: 56)
        XCTAssertEqual(resized, expected, name)
      }
      let floats = source.images.flatMap { $0.pixels.map { Float($0) / 255 * 2 - 1 } }
      let resized = try Tensor(floats, shape: [2, 40, 64, 3])
        .resizedWithPadding(width: 56, height: 56)
      XCTAssertEqual(resized.shape, [2, 56, 56, 3])
      XCTAssertLessThanOrEqual(difference(try resized.floats(), expectedFloats), 1e-6, name)
    }
  }

  /// Up and down, tall and wide, odd rests, one pixel, nothing to do.
  func testEqualsPyTorch() throws {
    struct Case: Decodable {
      let height, width: Int
      let layout: String
    }
    let fixture = try Fixtures.safetensors("operations/resize.safetensors")
    let text = try XCTUnwrap(fixture.metadata["cases"])
    let cases = try JSONDecoder().decode([String: Case].self, from: Data(text.utf8))
    XCTAssertGreaterThanOrEqual(cases.count, 20)

    for (name, about) in cases {
      let planes = about.layout == "nchw"
      if fixture.entries["\(name)/image"]?.type == .uint8 {
        let source = try Pictures(fixture, "\(name)/image", planes: planes)
        let expected = try Pictures(fixture, "\(name)/out", planes: planes)
        XCTAssertEqual(source.images.count, expected.images.count)
        for (image, expected) in zip(source.images, expected.images) {
          let resized = try image.resizedWithPadding(width: about.width, height: about.height)
          XCTAssertEqual(resized, expected, name)
        }
      } else {
        let source = try interleaved(fixture.tensor("\(name)/image"), planes: planes)
        let expected = try interleaved(fixture.tensor("\(name)/out"), planes: planes)
        let resized = try source.resizedWithPadding(width: about.width, height: about.height)
        XCTAssertEqual(resized.shape, expected.shape, name)
        XCTAssertLessThanOrEqual(
          difference(try resized.floats(), try expected.floats()), 1e-6, name)
      }
    }
  }

  /// float32 has few bits for the place of a pixel far to the right: PyTorch rounds
  /// `(i + 0.5) * scale - 0.5` once, and rounding twice is off by 1e-4 at pixel 119.
  func testPlaceOfPixelsIsRoundedOnce() throws {
    let stripes = (0..<9 * 1_920).flatMap { x in
      [Float](repeating: x.isMultiple(of: 2) ? 1 : -1, count: 3)
    }
    let resized = try Tensor(stripes, shape: [9, 1_920, 3])
      .resizedWithPadding(width: 224, height: 2).floats()
    // torch.nn.functional.interpolate of the same picture, at these pixels.
    for (pixel, value) in [(0, 0.571_428_3), (1, 0.285_715_1), (119, 0.571_411_1)] {
      XCTAssertEqual(resized[3 * pixel], Float(value), accuracy: 1e-6, "pixel \(pixel)")
    }
  }

  func testClampsAndKeepsNaN() throws {
    let values: [Float] = [3, -7, .nan]
    let resized = try Tensor(values, shape: [1, 1, 3]).resizedWithPadding(width: 2, height: 1)
    let floats = try resized.floats()
    XCTAssertEqual(floats[0], 1)
    XCTAssertEqual(floats[1], -1)
    XCTAssertTrue(floats[2].isNaN)
    XCTAssertEqual(Array(floats[3...]), [-1, -1, -1])
  }

  /// Checked against torch: `x.to(float32) / 255 * 2 - 1`.
  func testNormalizedIsPlanesFromMinusOneToOne() throws {
    let pixels: [UInt8] = [0, 1, 2, 127, 128, 255]
    let tensor = try RGBImage(width: 2, height: 1, pixels: pixels).normalized()
    XCTAssertEqual(tensor.shape, [1, 3, 1, 2])
    XCTAssertEqual(
      try tensor.floats().map(\.bitPattern),
      [0xBF80_0000, 0xBB80_8080, 0xBF7D_FDFE, 0x3B80_8100, 0xBF7B_FBFC, 0x3F80_0000])
  }

  func testRefusesWhatCannotBeFitted() throws {
    let narrow = try RGBImage(width: 1_000, height: 1, pixels: [UInt8](repeating: 0, count: 3_000))
    for (width, height) in [(224, 224), (0, 5), (5, -1), (5, Int.max), (16_385, 16)] {
      XCTAssertThrowsError(try narrow.resizedWithPadding(width: width, height: height)) { error in
        guard case .input? = error as? PI0Error else { return XCTFail("\(error)") }
      }
    }
    for shape in [[4], [2, 2, 4], [1, 2, 2, 1]] {
      let tensor = try Tensor.full(shape, 0)
      XCTAssertThrowsError(try tensor.resizedWithPadding(width: 4, height: 4), "\(shape)")
    }
    let integers = try Tensor([Int32](repeating: 0, count: 3), shape: [1, 1, 3])
    XCTAssertThrowsError(try integers.resizedWithPadding(width: 4, height: 4))
    let empty = try Tensor.full([0, 4, 3], 0)
    XCTAssertThrowsError(try empty.resizedWithPadding(width: 4, height: 4))
  }

  // MARK: - Fixtures

  /// The pictures of a uint8 tensor `[H, W, 3]` or `[N, H, W, 3]`, or of planes `[..., 3, H, W]`.
  private struct Pictures {
    let images: [RGBImage]

    init(_ file: SafetensorsFile, _ name: String, planes: Bool = false) throws {
      let shape = try XCTUnwrap(file.entries[name]).shape
      let rank = shape.count
      let (height, width) =
        planes ? (shape[rank - 2], shape[rank - 1]) : (shape[rank - 3], shape[rank - 2])
      let bytes = try file.bytes(name)
      let size = 3 * height * width
      images = try (0..<bytes.count / size).map { index in
        let part = Array(bytes[index * size..<(index + 1) * size])
        return try RGBImage(
          width: width, height: height,
          pixels: planes ? ImageResizeTests.interleaved(part) : part)
      }
    }
  }

  /// A float32 tensor `[..., H, W, 3]`, from that or from planes `[..., 3, H, W]`.
  private func interleaved(_ tensor: Tensor, planes: Bool) throws -> Tensor {
    guard planes else { return tensor }
    let (batch, size) = (tensor.shape.dropLast(3), tensor.shape.suffix(3).reduce(1, *))
    let floats = try tensor.floats()
    let pixels = stride(from: 0, to: floats.count, by: size).flatMap { start in
      Self.interleaved(Array(floats[start..<start + size]))
    }
    return try Tensor(pixels, shape: batch + tensor.shape.suffix(2) + [3])
  }

  private static func interleaved<Element>(_ planes: [Element]) -> [Element] {
    let plane = planes.count / 3
    return (0..<planes.count).map { planes[$0 % 3 * plane + $0 / 3] }
  }

  private func difference(_ a: [Float], _ b: [Float]) -> Float {
    a.count == b.count ? zip(a, b).map { abs($0 - $1) }.max() ?? 0 : .infinity
  }
}
