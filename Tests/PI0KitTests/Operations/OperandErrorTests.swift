import XCTest

@testable import PI0Kit

/// Operands that do not fit are thrown errors that name the operation and print all shapes.
final class OperandErrorTests: XCTestCase {
  private func x(_ shape: Int...) throws -> Tensor { try .full(shape, 1) }

  private func ints(_ shape: Int...) throws -> Tensor {
    try Tensor([Int32](repeating: 1, count: shape.reduce(1, *)), shape: shape)
  }

  private func assertThrows(
    _ operation: String, mentions: [String], _ body: () throws -> Tensor,
    file: StaticString = #filePath, line: UInt = #line
  ) {
    XCTAssertThrowsError(try body(), file: file, line: line) { error in
      guard case PI0Error.operation(let name, _, _) = error else {
        return XCTFail("\(error)", file: file, line: line)
      }
      XCTAssertEqual(name, operation, file: file, line: line)
      for text in mentions {
        XCTAssertTrue("\(error)".contains(text), "\(error)", file: file, line: line)
      }
    }
  }

  func testProducts() throws {
    assertThrows("linear", mentions: ["x: float32[2, 3]", "weight: float32[4, 5]"]) {
      try x(2, 3).linear(weight: x(4, 5))
    }
    assertThrows("linear", mentions: ["bias: float32[3]"]) {
      try x(2, 3).linear(weight: x(4, 3), bias: x(3))
    }
    assertThrows("linear", mentions: ["int32[2, 3]"]) { try ints(2, 3).linear(weight: x(4, 3)) }
    assertThrows("linear", mentions: ["float32[3]"]) { try x(2, 3).linear(weight: x(3)) }
    assertThrows("matmul", mentions: ["a: float32[2, 3]", "b: float32[4, 5]"]) {
      try x(2, 3).matmul(x(4, 5))
    }
    assertThrows("matmul", mentions: ["float32[2, 2, 3]", "float32[3, 3, 5]"]) {
      try x(2, 2, 3).matmul(x(3, 3, 5))
    }
    assertThrows("matmul", mentions: ["float32[]"]) { try x().matmul(x(1)) }
    assertThrows("patchConvolution", mentions: ["float32[1, 3, 4, 4]"]) {
      try x(1, 3, 4, 4).patchConvolution(weight: x(2, 3, 5, 5), bias: x(2))
    }
    assertThrows("patchConvolution", mentions: ["float32[2, 3, 0, 0]"]) {
      try x(1, 3, 4, 4).patchConvolution(weight: x(2, 3, 0, 0), bias: x(2))
    }
    assertThrows("attention", mentions: ["key: float32[1, 2, 5, 4]", "value: float32[1, 2, 6, 4]"])
    {
      try .attention(query: x(1, 4, 3, 4), key: x(1, 2, 5, 4), value: x(1, 2, 6, 4))
    }
    assertThrows("attention", mentions: ["float32[1, 3, 5, 4]"]) {
      try .attention(query: x(1, 4, 3, 4), key: x(1, 3, 5, 4), value: x(1, 3, 5, 4))
    }
    assertThrows("attention", mentions: ["float32[1, 0, 5, 4]"]) {
      try .attention(query: x(1, 4, 3, 4), key: x(1, 0, 5, 4), value: x(1, 0, 5, 4))
    }
    assertThrows("attention", mentions: ["mask: float32[1, 2, 3, 5]"]) {
      try .attention(
        query: x(1, 4, 3, 4), key: x(1, 2, 5, 4), value: x(1, 2, 5, 4), mask: x(1, 2, 3, 5))
    }
  }

  func testElementwise() throws {
    assertThrows("add", mentions: ["a: float32[2, 3]", "b: float32[2, 4]"]) {
      try x(2, 3) + x(2, 4)
    }
    assertThrows("multiply", mentions: ["a: float32[2, 3]", "b: int32[2]"]) {
      try x(2, 3) * ints(2)
    }
    assertThrows("silu", mentions: ["int32[2]"]) { try ints(2).silu() }
    assertThrows("softmax", mentions: ["float32[2, 3]"]) { try x(2, 3).softmax(axis: 2) }
    assertThrows("softmax", mentions: ["mask: float32[3, 3]"]) {
      try x(2, 3).softmax(mask: x(3, 3))
    }
    assertThrows("softmax", mentions: ["float32[]"]) { try x().softmax() }
  }

  func testNorms() throws {
    assertThrows("layerNorm", mentions: ["weight: float32[2]"]) {
      try x(2, 3).layerNorm(weight: x(2), bias: x(3))
    }
    assertThrows("rmsNorm", mentions: ["weight: float32[2]"]) { try x(2, 3).rmsNorm(weight: x(2)) }
    assertThrows("adaptiveRMSNorm", mentions: ["modulation: float32[2, 9]"]) {
      try x(3, 2, 3).adaptiveRMSNorm(modulation: x(2, 9)).normalized
    }
    assertThrows("rotated", mentions: ["float32[1, 1, 2, 3]"]) {
      try x(1, 1, 2, 3).rotated(cosine: x(1, 2, 1), sine: x(1, 2, 1))
    }
  }

  func testMovingElements() throws {
    assertThrows("concat", mentions: ["0: float32[2, 3]", "1: float32[2, 4]"]) {
      try .concat([x(2, 3), x(2, 4)], axis: 0)
    }
    assertThrows("concat", mentions: ["int32[2, 3]"]) {
      try .concat([x(2, 3), ints(2, 3)], axis: 0)
    }
    assertThrows("concat", mentions: []) { try .concat([], axis: 0) }
    assertThrows("concat", mentions: ["axis -3"]) { try .concat([x(2, 3)], axis: -3) }
    assertThrows("slice", mentions: ["float32[2, 3]"]) { try x(2, 3).sliced(axis: 1, 1..<4) }
    assertThrows("slice", mentions: ["float32[2, 3]"]) { try x(2, 3).sliced(axis: 1, -1..<2) }
    assertThrows("reshape", mentions: ["float32[2, 3]", "[4]"]) { try x(2, 3).reshaped([4]) }
    assertThrows("reshape", mentions: ["[-1, -1]"]) { try x(2, 3).reshaped([-1, -1]) }
    assertThrows("reshape", mentions: ["[-2, -3]"]) { try x(2, 3).reshaped([-2, -3]) }
    assertThrows("reshape", mentions: []) { try x(0).reshaped([Int.max, Int.max, 0]) }
    assertThrows("permute", mentions: ["[0, 0]"]) { try x(2, 3).permuted([0, 0]) }
    assertThrows("repeat", mentions: ["[2]"]) { try x(2, 3).repeated([2]) }
    assertThrows("repeat", mentions: []) { try x(2, 3).repeated([-1, 1]) }
    assertThrows("repeat", mentions: []) { try x(2, 3).repeated([Int.max, Int.max]) }
    assertThrows("embedding", mentions: ["token 2", "table: float32[2, 3]"]) {
      try x(2, 3).rows(Tensor([0, 2] as [Int32], shape: [2]))
    }
    assertThrows("embedding", mentions: ["token -1"]) {
      try x(2, 3).rows(Tensor([-1] as [Int32], shape: [1]))
    }
  }

  func testMakingTensors() throws {
    assertThrows("tensor", mentions: ["[-1]"]) { try x(-1) }
    assertThrows("tensor", mentions: []) { try .full([Int.max, 2], 0) }
    assertThrows("tensor", mentions: ["[2, 2]"]) {
      try Tensor([1, 2, 3] as [Float], shape: [2, 2])
    }
    XCTAssertThrowsError(try ints(2).floats())
    XCTAssertThrowsError(try x(2).int32s())
    XCTAssertThrowsError(try x(2).bools())
    XCTAssertThrowsError(try Device(named: "abacus")) { error in
      XCTAssertTrue("\(error)".contains("reference"), "\(error)")
    }
  }
}
