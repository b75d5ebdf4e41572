import XCTest

@testable import PI0Kit

/// Every operation of every backend against PyTorch's result for the same operands.
final class OperationTests: XCTestCase {
  /// The reference, and the processor with each of its instruction sets.
  private static let devices =
    [Device.reference]
    + CPUBackend.instructionSets.map {
      Device(
        name: "cpu", backend: CPUBackend(threads: 2, instructions: $0))
    }

  /// Rounding of float32 sums and of exp and tanh.
  private let relative: Float = 3e-6

  /// Compares with `out`. A bfloat16 result may be off by one unit in its last place where float32
  /// sums differ in theirs.
  private func compare(
    _ operation: String, exact: Bool = false,
    absolute: (OperationFixture.Case) throws -> Float = { _ in 1e-6 },
    _ body: (OperationFixture.Case) throws -> Tensor
  ) throws {
    for testCase in try cases(operation) {
      let expected = try testCase.tensor("out")
      let is16Bit = expected.elementType.byteCount == 2
      try assertMatches(
        body(testCase), expected, relative: exact ? 0 : is16Bit ? 1 / 128 : relative,
        absolute: exact ? 0 : absolute(testCase),
        "\(operation) \(testCase.name) on \(testCase.device)")
    }
  }

  /// The cases of an operation, on each device.
  private func cases(_ operation: String) throws -> [OperationFixture.Case] {
    let cases = try Self.devices.flatMap { try OperationFixture(operation, on: $0).cases }
    XCTAssertFalse(cases.isEmpty)
    return cases
  }

  func testLinear() throws {
    try compare("linear", absolute: roundingOfProduct) { c in
      let activation = Activation(rawValue: try c.attribute("activation"))
      return try c.tensor("x").linear(
        weight: c.tensor("weight"), bias: c.optional("bias"),
        activation: XCTUnwrap(activation))
    }
  }

  /// Two units in the last place of the largest sum of magnitudes. Products that cancel leave the
  /// rounding of the sums on the way, and backends add up in different orders.
  private func roundingOfProduct(_ c: OperationFixture.Case) throws -> Float {
    let (x, weight) = (try c.tensor("x").floats(), try c.tensor("weight"))
    let inputs = weight.shape[1]
    let rows = try weight.floats()
    var largest: Float = 0
    for i in stride(from: 0, to: x.count, by: max(inputs, 1)) {
      for j in 0..<weight.shape[0] {
        let sum = (0..<inputs).reduce(Float(0)) { $0 + abs(x[i + $1] * rows[j * inputs + $1]) }
        if sum.isFinite { largest = max(largest, sum) }
      }
    }
    return max(1e-6, 2 * .ulpOfOne * largest)
  }

  func testMatmul() throws {
    try compare("matmul") { c in try c.tensor("x").matmul(c.tensor("y")) }
  }

  func testConcat() throws {
    try compare("concat", exact: true) { c in
      var tensors: [Tensor] = []
      while let next = try c.optional("x.\(tensors.count)") { tensors.append(next) }
      return try .concat(tensors, axis: c.attribute("axis"))
    }
  }

  func testSlice() throws {
    try compare("slice", exact: true) { c in
      let (start, end): (Int, Int) = (try c.attribute("start"), try c.attribute("end"))
      return try c.tensor("x").sliced(axis: c.attribute("axis"), start..<end)
    }
  }

  func testReshape() throws {
    try compare("reshape", exact: true) { c in
      try c.tensor("x").reshaped(c.attribute("shape"))
    }
  }

  func testPermute() throws {
    try compare("permute", exact: true) { c in
      try c.tensor("x").permuted(c.attribute("order"))
    }
  }

  func testRepeat() throws {
    try compare("repeat", exact: true) { c in
      try c.tensor("x").repeated(c.attribute("counts"))
    }
  }

  func testAdd() throws {
    try compare("add", exact: true) { c in
      guard c.has("scalar") else { return try c.tensor("x") + c.tensor("y") }
      let scalar = try c.scalar()
      return scalar.isInteger
        ? try c.tensor("x") + Int(scalar.value) : try c.tensor("x") + Float(scalar.value)
    }
  }

  func testMultiply() throws {
    try compare("multiply", exact: true) { c in
      guard c.has("scalar") else { return try c.tensor("x") * c.tensor("y") }
      let scalar = try c.scalar()
      return scalar.isInteger
        ? try c.tensor("x") * Int(scalar.value) : try c.tensor("x") * Float(scalar.value)
    }
  }

  func testSilu() throws {
    try compare("silu") { c in try c.tensor("x").silu() }
  }

  func testGelu() throws {
    try compare("gelu") { c in try c.tensor("x").gelu() }
  }

  func testSoftmax() throws {
    try compare("softmax") { c in
      try c.tensor("x").softmax(axis: c.attribute("axis"), mask: c.optional("mask"))
    }
  }

  func testLayerNorm() throws {
    // "offset" lies around 100, where PyTorch's float32 mean is off by up to a step of 8e-6: after
    // division by the deviation of 0.8 that is 1e-5, by which it differs from float64.
    try compare("layerNorm", absolute: { $0.name == "offset" ? 1.5e-5 : 1e-6 }) { c in
      try c.tensor("x").layerNorm(
        weight: c.tensor("weight"), bias: c.tensor("bias"), epsilon: epsilon(c))
    }
  }

  func testRMSNorm() throws {
    try compare("rmsNorm") { c in
      try c.tensor("x").rmsNorm(weight: c.tensor("weight"), epsilon: epsilon(c))
    }
  }

  func testAdaptiveRMSNorm() throws {
    for c in try cases("adaptiveRMSNorm") {
      let (normalized, gate) = try c.tensor("x").adaptiveRMSNorm(
        modulation: c.tensor("modulation"), epsilon: epsilon(c))
      let expected = try c.tensor("out.0")
      try assertMatches(
        normalized, expected, relative: expected.elementType == .bfloat16 ? 1 / 128 : relative,
        absolute: 1e-6, "adaptiveRMSNorm \(c.name)")
      try assertMatches(gate, c.tensor("out.1"), "adaptiveRMSNorm \(c.name), gate")
    }
  }

  func testRotary() throws {
    try compare("rotary") { c in
      let x = try c.tensor("x")
      let base: Double = try c.attribute("base")
      let table = try RotaryEmbedding(
        width: x.shape[3], base: Float(base), roundsToBFloat16: c.attribute("roundedTable"))(
          c.tensor("positions"))
      return try x.rotated(cosine: table.cosine, sine: table.sine)
    }
  }

  func testEmbedding() throws {
    try compare("embedding", exact: true) { c in
      try c.tensor("table").rows(c.tensor("tokens"))
    }
  }

  func testPatchConvolution() throws {
    // Sums of up to 588 products.
    try compare("patchConvolution", absolute: { _ in 5e-6 }) { c in
      try c.tensor("image").patchConvolution(weight: c.tensor("weight"), bias: c.tensor("bias"))
    }
  }

  func testAttention() throws {
    try compare("attention") { c in
      let scale: Double = try c.attribute("scale")
      return try Tensor.attention(
        query: c.tensor("query"), key: c.tensor("key"), value: c.tensor("value"),
        mask: c.optional("mask"), scale: Float(scale))
    }
  }

  func testAttentionScalesByRootOfWidthUnlessTold() throws {
    let c = try XCTUnwrap(OperationFixture("attention").cases.first { $0.name == "maskFull" })
    let actual = try Tensor.attention(
      query: c.tensor("query"), key: c.tensor("key"), value: c.tensor("value"),
      mask: c.tensor("mask"))
    try assertMatches(
      actual, c.tensor("out"), relative: relative, absolute: 1e-6, "default scale")
  }

  func testConversion() throws {
    try compare("conversion", exact: true) { c in
      try c.tensor("x").converted(to: c.tensor("out").elementType)
    }
  }

  func testEveryHalfSurvivesAWayThroughFloat32() throws {
    for bits in UInt16.min...UInt16.max {
      let value = Half.float(bits)
      let back = Half.bits(value)
      if value.isNaN {
        XCTAssertTrue(Half.float(back).isNaN)
      } else {
        XCTAssertEqual(back, bits)
      }
    }
  }

  func testSinusoidalTimeEmbedding() throws {
    try compare("sinusoid") { c in
      try SinusoidalTimeEmbedding(
        width: c.attribute("dimension"), minPeriod: c.attribute("min_period"),
        maxPeriod: c.attribute("max_period"))(c.tensor("timestep"))
    }
  }

  func testMasksAndPositions() throws {
    for c in try cases("masks") {
      let marks = try c.tensor("marks")
      let padding = try c.tensor("pad")
      let blocks = try Tensor(
        marks.int32s().map { $0 != 0 }, shape: marks.shape, device: c.device)
      let allowed = try AttentionMask.allowed(padding: padding, marks: blocks)
      try assertMatches(allowed, c.tensor("out.0"), "mask \(c.name)")
      let bias = try AttentionMask.bias(padding: padding, marks: blocks).matrix()
      XCTAssertEqual(
        try bias.floats(), try allowed.bools().map { $0 ? 0 : AttentionMask.blocked },
        "bias \(c.name)")
      // The same tokens as a suffix behind themselves.
      let suffix = try AttentionMask.suffixAllowed(
        prefixPadding: padding, padding: padding, marks: blocks)
      let suffixBias = try AttentionMask.bias(
        prefixPadding: padding, padding: padding, marks: blocks)
      XCTAssertEqual(
        try suffixBias.matrix().floats(),
        try suffix.bools().map { $0 ? 0 : AttentionMask.blocked }, "suffix bias \(c.name)")
      try assertMatches(
        AttentionMask.positions(padding: padding), c.tensor("out.1"), "positions \(c.name)")
    }
  }

  private func epsilon(_ testCase: OperationFixture.Case) throws -> Float {
    Float(try testCase.attribute("eps", as: Double.self))
  }
}
