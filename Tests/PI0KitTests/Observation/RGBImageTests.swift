import XCTest

@testable import PI0Kit

final class RGBImageTests: XCTestCase {
  func testCopiesRowsWithoutTheirPadding() throws {
    // 2 x 2 pixels, 8 bytes a row; the last row ends with its last pixel.
    let buffer: [UInt8] = [1, 2, 3, 4, 5, 6, 99, 99, 7, 8, 9, 10, 11, 12]
    let image = try buffer.withUnsafeBytes { bytes in
      try RGBImage(
        copying: try XCTUnwrap(bytes.baseAddress), width: 2, height: 2, bytesPerRow: 8)
    }
    XCTAssertEqual(image, try RGBImage(width: 2, height: 2, pixels: Array(1...12)))
  }

  func testRefusesPixelsThatDoNotFillThePicture() {
    for count in [0, 11, 13] {
      XCTAssertThrowsError(
        try RGBImage(width: 2, height: 2, pixels: [UInt8](repeating: 0, count: count))
      ) { error in
        XCTAssertEqual(
          error as? PI0Error,
          .input("a picture of 2 x 2 pixels takes 12 bytes of RGB, not \(count)"))
      }
    }
  }

  func testRefusesImpossibleSizes() throws {
    let sizes = [
      (0, 1), (1, 0), (-1, 1), (1, -3), (-1, -1), (RGBImage.maximumSide + 1, 1), (Int.max, Int.max),
      (Int.min, Int.min), (1 << 32, 1 << 32),
    ]
    try withUnsafeBytes(of: UInt64(0)) { bytes in
      for (width, height) in sizes {
        XCTAssertThrowsError(try RGBImage(width: width, height: height, pixels: []))
        guard let pointer = bytes.baseAddress else { continue }
        XCTAssertThrowsError(
          try RGBImage(copying: pointer, width: width, height: height, bytesPerRow: Int.max))
      }
    }
  }

  func testRefusesRowsThatOverlapOrOverflow() throws {
    try withUnsafeBytes(of: UInt64(0)) { bytes in
      guard let pointer = bytes.baseAddress else { return }
      for bytesPerRow in [5, 0, -6, Int.min, Int.max] {
        XCTAssertThrowsError(
          try RGBImage(copying: pointer, width: 2, height: 2, bytesPerRow: bytesPerRow)
        ) { error in
          guard case .input? = error as? PI0Error else { return XCTFail("\(error)") }
        }
      }
    }
  }
}
