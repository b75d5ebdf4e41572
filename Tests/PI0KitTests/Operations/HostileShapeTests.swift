import XCTest

@testable import PI0Kit

/// Shapes that nobody means, from a caller or a file, end no process and take no time: they are
/// thrown errors, or tensors without elements.
final class HostileShapeTests: XCTestCase {
  private let devices = [Device.reference, .cpu]
  /// As long as an axis of a tensor without elements can be.
  private let long = 1 << 59

  private func assertRefused(
    _ text: String = "", _ body: () throws -> Any, file: StaticString = #filePath,
    line: UInt = #line
  ) {
    XCTAssertThrowsError(try body(), file: file, line: line) { error in
      guard case PI0Error.operation = error else {
        return XCTFail("\(error)", file: file, line: line)
      }
      XCTAssertTrue(
        text.isEmpty || "\(error)".contains(text), "\(error)", file: file, line: line)
    }
  }

  func testMoreThanTheMemoryIsRefused() throws {
    for device in devices {
      assertRefused("more is needed") { try Tensor.full([1 << 50], 0, device: device) }
      assertRefused("more is needed") { try Tensor.normal([1 << 50], seed: 0, device: device) }
      let (row, column) = (
        try Tensor.full([1, 1 << 22], 1, device: device),
        try Tensor.full([1 << 22, 1], 1, device: device)
      )
      assertRefused("more is needed") { try row + column }
      assertRefused("more is needed") { try row.repeated([1 << 22, 1]) }
      assertRefused("more is needed") { try column.linear(weight: column) }
      let flags = try Tensor([Bool](repeating: true, count: 1 << 24), shape: [1 << 24, 1])
        .moved(to: device)
      assertRefused("more is needed") { try flags.repeated([1, 1 << 30]) }
      assertRefused("more is needed") { try flags + flags.reshaped([1, 1 << 24]) }
    }
  }

  func testLongAxesOfNoElements() throws {
    for device in devices {
      let tall = try Tensor.full([long, 0], 0, device: device)
      let flat = try Tensor.full([0, long], 0, device: device)
      XCTAssertEqual(try Tensor.concat([tall, tall], axis: 1).shape, [long, 0])
      XCTAssertEqual(try tall.sliced(axis: 1, 0..<0).shape, [long, 0])
      XCTAssertEqual(try tall.softmax(axis: 1).shape, [long, 0])
      XCTAssertEqual(try flat.softmax(axis: 1).shape, [0, long])
      XCTAssertEqual(try flat.softmax(mask: flat).shape, [0, long])
      XCTAssertEqual(try flat.linear(weight: flat).shape, [0, 0])
      assertRefused("more is needed") {
        try Tensor.full([1, 0], 0, device: device).linear(weight: tall)
      }
      assertRefused { try tall.linear(weight: tall) }
      assertRefused { try Tensor.concat([Tensor](repeating: flat, count: 20), axis: 1) }
      let query = try Tensor.full([1, 1, long, 0], 0, device: device)
      XCTAssertEqual(
        try Tensor.attention(query: query, key: query, value: query).shape, query.shape)
      let image = try Tensor.full([1, 0, 1 << 29, 1 << 29], 0, device: device)
      let none = try Tensor.full([0], 0, device: device)
      XCTAssertEqual(
        try image.patchConvolution(weight: .full([0, 0, 1, 1], 0, device: device), bias: none)
          .shape, [1, 1 << 58, 0])
    }
  }

  func testMasksOfNoTokens() throws {
    let padding = try Tensor([Bool](), shape: [long, 0])
    XCTAssertEqual(
      try AttentionMask.allowed(padding: padding, marks: padding).shape, [long, 0, 0])
    XCTAssertEqual(try AttentionMask.positions(padding: padding).shape, [long, 0])
    let wide = try Tensor([Bool](), shape: [0, 1 << 29])
    XCTAssertEqual(
      try AttentionMask.allowed(padding: wide, marks: wide).shape, [0, 1 << 29, 1 << 29])
    let endless = try Tensor([Bool](), shape: [0, long])
    assertRefused("positions") {
      try AttentionMask.positions(padding: wide, after: endless)
    }
  }

  func testEmbeddingsOfAnyWidth() throws {
    let positions = try Tensor([1, 2] as [Int32], shape: [1, 2])
    let times = try Tensor.full([2], 0.5)
    for width in [Int.min, -1, 0, 1] {
      XCTAssertEqual(try RotaryEmbedding(width: width)(positions).cosine.shape, [1, 2, 0])
      XCTAssertEqual(try SinusoidalTimeEmbedding(width: width)(times).shape, [2, 0])
    }
    for width in [1 << 50, Int.max] {
      assertRefused { try RotaryEmbedding(width: width)(positions).cosine }
      assertRefused { try SinusoidalTimeEmbedding(width: width)(times) }
    }
  }
}
