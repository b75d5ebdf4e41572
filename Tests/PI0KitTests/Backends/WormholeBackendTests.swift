import XCTest

@testable import PI0Kit

/// Operations on a card, compared with `reference` on operands that bfloat16 holds exactly: on the
/// emulator, and on the official simulator where `TT_METAL_SIMULATOR` names it.
final class WormholeBackendTests: XCTestCase {
  /// Rounding of a result to bfloat16, and of products.
  private let limit = Tolerance(pcc: 0.99999, maximumError: .infinity, relativeRMS: 0.005)

  private static let names =
    ProcessInfo.processInfo.environment["TT_METAL_SIMULATOR"] == nil
    ? ["emulator"] : ["emulator", "simulator"]
  private nonisolated(unsafe) static var name = "emulator"

  required init(name: String, testClosure: @escaping (XCTestCase) throws -> Void) {
    super.init(name: name) { test in
      for name in Self.names {
        Self.name = name
        try testClosure(test)
      }
    }
  }

  private func device(
    _ weights: CardWeightFormat = .bfloat16, activations: ElementType = .bfloat16
  ) throws -> Device {
    Self.name == "simulator"
      ? try .simulator(weights: weights, activations: activations)
      : try .emulator(weights: weights, activations: activations)
  }

  override class func tearDown() {
    for name in names { try? Device(named: name).close() }
    super.tearDown()
  }

  override func recordFailure(
    withDescription description: String, inFile file: String, atLine line: Int, expected: Bool
  ) {
    super.recordFailure(
      withDescription: "on the \(Self.name): \(description)", inFile: file, atLine: line,
      expected: expected)
  }

  private func random(_ shape: [Int], scale: Float = 1, seed: UInt64 = 1) throws -> Tensor {
    try (Tensor.normal(shape, seed: seed) * scale).converted(to: .bfloat16)
      .converted(to: .float32)
  }

  /// Computes `body` on the card, each operation alone and as one trace, and on `reference`.
  private func compare(
    _ name: String, _ operands: [Tensor], exact: Bool = false, tolerance: Tolerance? = nil,
    on device: Device, _ body: ([Tensor]) throws(PI0Error) -> Tensor,
    file: StaticString = #filePath,
    line: UInt = #line
  ) throws {
    let expected = try body(operands)
    let moved = try operands.map { try $0.moved(to: device) }
    let alone = try body(moved).moved(to: .reference)
    let traced = try device.traced(TraceCache(name), moved) { (inputs) throws(PI0Error) in
      try body(inputs)
    }.moved(to: .reference)
    for (how, actual) in [("alone", alone), ("traced", traced)] {
      XCTAssertEqual(actual.shape, expected.shape, "\(name) \(how)", file: file, line: line)
      let comparison = try Comparison(actual: actual.floats(), expected: expected.floats())
      let wanted = exact ? Tolerance.exact : tolerance ?? limit
      XCTAssertTrue(
        wanted.admits(comparison), "\(name) \(how): \(comparison)", file: file, line: line)
    }
  }

  func testLinear() throws {
    let device = try device()
    for (rows, inner, outer) in [
      (1, 1, 1), (1, 32, 1024), (51, 64, 96), (50, 32, 130), (33, 129, 65), (7, 1000, 24),
      (200, 96, 64), (51, 1024, 1024),
    ] {
      let x = try random([rows, inner])
      let scale = 1 / Float(inner).squareRoot()
      let weight = try random([outer, inner], scale: scale, seed: 2)
      let bias = try random([outer], seed: 3)
      for activation in Activation.allCases where rows < 60 || activation == .none {
        let weights = try weight.moved(to: device)
        let biases = try bias.moved(to: device)
        try compare("linear \(rows)x\(inner)x\(outer) \(activation)", [x], on: device) {
          (t) throws(PI0Error) in
          let onCard = t[0].device == device
          return try t[0].linear(
            weight: onCard ? weights : weight, bias: onCard ? biases : bias,
            activation: activation)
        }
      }
    }
  }

  func testLinearOfABatch() throws {
    let device = try device()
    let weight = try random([48, 40], scale: 0.2, seed: 2)
    let weights = try weight.moved(to: device)
    for batch in 1...4 {
      try compare("batch \(batch)", [random([batch, 11, 40])], on: device) {
        (t) throws(PI0Error) in
        try t[0].linear(weight: t[0].device == device ? weights : weight)
      }
    }
  }

  func testMatmul() throws {
    let device = try device()
    try compare("matmul", [random([37, 50]), random([50, 70], scale: 0.1, seed: 2)], on: device) {
      (t) throws(PI0Error) in try t[0].matmul(t[1])
    }
  }

  func testMatmulOfABatch() throws {
    let device = try device()
    for (a, b) in [
      ([2, 1, 5, 40], [3, 40, 33]), ([37, 24], [2, 24, 16]), ([4, 9, 8], [4, 8, 7]),
    ] {
      let operands = [try random(a), try random(b, scale: 0.2, seed: 2)]
      try compare("\(a) x \(b)", operands, on: device) { (t) throws(PI0Error) in
        try t[0].matmul(t[1])
      }
    }
  }

  /// Values kept as float32 lose only what products use of them.
  func testFloat32Activations() throws {
    let device = try device(activations: .float32)
    let x = try Tensor.normal([51, 96], seed: 1)
    let y = try Tensor.normal([51, 96], seed: 2)
    let close = Tolerance(pcc: 0.999999, maximumError: .infinity, relativeRMS: 1e-6)
    try compare("x + y", [x, y], tolerance: close, on: device) { (t) throws(PI0Error) in
      try t[0] + t[1]
    }
    try compare("x * y", [x, y], tolerance: close, on: device) { (t) throws(PI0Error) in
      try t[0] * t[1]
    }
    try compare("concat", [x, y], exact: true, on: device) { (t) throws(PI0Error) in
      try .concat([t[0], t[1]], axis: 1)
    }
    let weight = try random([64, 96], scale: 0.1, seed: 3)
    let weights = try weight.moved(to: device)
    let products = Tolerance(pcc: 0.99999, maximumError: .infinity, relativeRMS: 0.001)
    try compare("linear", [x], tolerance: products, on: device) { (t) throws(PI0Error) in
      try t[0].linear(weight: t[0].device == device ? weights : weight, activation: .silu)
    }
  }

  func testShapesAtTheLimits() throws {
    let device = try device()
    for (rows, inner, outer) in [(1024, 64, 32), (3, 4096, 64), (2, 32, 4096)] {
      let weight = try random([outer, inner], scale: 1 / Float(inner).squareRoot(), seed: 2)
      let weights = try weight.moved(to: device)
      try compare("linear \(rows)x\(inner)x\(outer)", [random([rows, inner])], on: device) {
        (t) throws(PI0Error) in
        try t[0].linear(weight: t[0].device == device ? weights : weight)
      }
    }
  }

  func testAddAndMultiplyBroadcast() throws {
    let device = try device()
    for (a, b) in [
      ([5, 7], [5, 7]), ([2, 51, 64], [2, 51, 64]), ([51, 100], [100]), ([51, 100], [51, 1]),
      ([3, 40, 33], [33]), ([3, 40, 33], [3, 40, 1]), ([3, 40, 33], [1, 40, 33]),
      ([3, 1, 33], [40, 1]), ([33], [3, 40, 33]), ([4, 4], [1]),
    ] {
      let operands = [try random(a), try random(b, seed: 2)]
      try compare("\(a) + \(b)", operands, on: device) { (t) throws(PI0Error) in try t[0] + t[1] }
      try compare("\(a) * \(b)", operands, on: device) { (t) throws(PI0Error) in try t[0] * t[1] }
    }
    try compare("x * scalar", [random([51, 70])], on: device) {
      (t) throws(PI0Error) in try t[0] * -0.1
    }
    try compare("x + scalar", [random([51, 70])], on: device) {
      (t) throws(PI0Error) in try t[0] + 0.25
    }
  }

  func testActivations() throws {
    let device = try device()
    for shape in [[1], [51, 70], [2, 33, 32]] {
      try compare("silu \(shape)", [random(shape, scale: 3)], on: device) {
        (t) throws(PI0Error) in try t[0].silu()
      }
      try compare("gelu \(shape)", [random(shape, scale: 3)], on: device) {
        (t) throws(PI0Error) in try t[0].gelu()
      }
    }
  }

  /// Moving elements changes none of them.
  func testConcatSliceRepeatReshape() throws {
    let device = try device()
    let x = try random([2, 51, 40])
    func exactly(
      _ name: String, _ operands: [Tensor], _ body: @escaping ([Tensor]) throws(PI0Error) -> Tensor
    ) throws {
      try compare(name, operands, exact: true, on: device, body)
    }
    for axis in 0..<3 {
      var other = [2, 51, 40]
      other[axis] = [1, 3, 24][axis]
      try exactly("concat \(axis)", [x, random(other, seed: 2), x]) { (t) throws(PI0Error) in
        try .concat(t, axis: axis)
      }
      let length = x.shape[axis]
      for range in [0..<1, length - 1..<length, length / 3..<length] where !range.isEmpty {
        try exactly("slice \(axis) \(range)", [x]) { (t) throws(PI0Error) in
          try t[0].sliced(axis: axis, range)
        }
      }
    }
    try exactly(
      "concat of state and actions", [random([3, 1, 64]), random([3, 50, 64], seed: 2)]
    ) {
      (t) throws(PI0Error) in try .concat(t, axis: 1)
    }
    try exactly("repeat rows", [random([2, 1, 40])]) { (t) throws(PI0Error) in
      try t[0].repeated([1, 50, 1])
    }
    try exactly("repeat columns", [random([33, 24])]) { (t) throws(PI0Error) in
      try t[0].repeated([2, 3])
    }
    try exactly("repeat to more axes", [random([3, 5])]) { (t) throws(PI0Error) in
      try t[0].repeated([2, 2, 1])
    }
    for shape in [[102, 40], [2, 51, 8, 5], [4080], [51, 80], [2, 2040], [17, 240]] {
      try exactly("reshape \(shape)", [x]) { (t) throws(PI0Error) in try t[0].reshaped(shape) }
    }
    try exactly("permute", [random([2, 3, 5, 40])]) { (t) throws(PI0Error) in
      try t[0].permuted([1, 2, 0, 3])
    }
  }

  func testTokenLookUp() throws {
    let device = try device()
    let table = try random([500, 96])
    let onCard = try table.moved(to: device)
    let tokens = try Tensor([7, 0, 499, 7, 7, 250] as [Int32], shape: [2, 3])
    try compare("tokens", [tokens], exact: true, on: device) { (t) throws(PI0Error) in
      try (t[0].device == device ? onCard : table).rows(t[0])
    }
    XCTAssertThrowsError(
      try onCard.rows(Tensor([500] as [Int32], shape: [1]).moved(to: device)))
  }

  func testWeightsOfEightBits() throws {
    let device = try device(.bfp8)
    let x = try random([51, 256])
    let weight = try random([192, 256], scale: 1 / 16, seed: 2)
    let weights = try weight.moved(to: device)
    let tolerance = Tolerance(pcc: 0.9999, maximumError: .infinity, relativeRMS: 0.01)
    try compare("bfp8", [x], tolerance: tolerance, on: device) { (t) throws(PI0Error) in
      try t[0].linear(weight: t[0].device == device ? weights : weight)
    }
  }

  // MARK: - Embedders

  func testTheFullSuffixWithWeightsOfEightBits() throws {
    let io = try Fixtures.safetensors("golden/suffix_full.io.safetensors")
    let device = try device(.bfp8)
    let embedder = try SuffixEmbedder(
      checkpoint: Checkpoint(path: Fixtures.path("golden/suffix_full.weights.safetensors")),
      on: device)
    let suffix = try embedder(
      state: io.tensor("in.state", on: device),
      noisyActions: io.tensor("in.noisy_actions", on: device),
      timestep: io.tensor("in.timestep", on: device))
    let comparison = try Comparison(
      actual: suffix.embeddings.floats(), expected: io.tensor("suffix.embs").floats())
    print("suffix embedding, bfp8 weights: \(comparison)")
    XCTAssertGreaterThanOrEqual(comparison.pcc, 0.9995)
  }

  /// Four cameras' worth of features and a prompt, at the width of the published policy.
  func testThePrefixAtFullWidth() throws {
    let device = try device()
    let width = 2048
    let table = try random([600, width], scale: 0.02)
    let features = try (0..<3).map { try random([1, 256, width], seed: UInt64($0 + 5)) }
    let tokens = try Tensor((0..<48).map { Int32($0 * 11 % 600) }, shape: [1, 48])
    func embed(_ t: [Tensor], _ table: Tensor) throws(PI0Error) -> Tensor {
      let language = try table.rows(t[3]) * Float(width).squareRoot()
      return try .concat([t[0], t[1], t[2], language], axis: 1)
    }
    let onCard = try table.moved(to: device)
    try compare("prefix", features + [tokens], on: device) { (t) throws(PI0Error) in
      try embed(t, t[3].device == device ? onCard : table)
    }
  }

  func testEmbeddersOfTheGoldenPolicies() throws {
    let device = try device()
    let rows = try Validation(fixtures: Fixtures.path("golden"), on: device).run()
    for row in rows {
      XCTAssertNotEqual(row.verdict, .fail, "\(row)")
      XCTAssertNotEqual(row.verdict, .skipped, "\(row)")
    }
  }

  func testATraceGivesTheSameBytesAgain() throws {
    let device = try device()
    let embedder = try SuffixEmbedder(
      checkpoint: Checkpoint(path: Fixtures.path("golden/suffix_full.weights.safetensors")),
      on: device)
    let io = try Fixtures.safetensors("golden/suffix_full.io.safetensors")
    func embed() throws -> [Float] {
      try embedder(
        state: io.tensor("in.state", on: device),
        noisyActions: io.tensor("in.noisy_actions", on: device),
        timestep: io.tensor("in.timestep", on: device)
      ).embeddings.floats()
    }
    let first = try embed()
    let report = try XCTUnwrap(device.traceReports.last { $0.function == "suffix embedding" }).work
    XCTAssertEqual(report.doorbells, 1)
    XCTAssertGreaterThanOrEqual(report.matrixShare, 0.9)
    print("suffix embedding at full size: \(report)")
    for _ in 0..<3 { XCTAssertEqual(try embed(), first) }
  }

  func testOneThreadAtATime() throws {
    let device = try device()
    try device.bindCallingThread()
    let backend = try XCTUnwrap(device.backend as? WormholeBackend)
    let x = try random([4, 4]).moved(to: device)
    var refusal: PI0Error?
    try backend.session.use { _ in
      do throws(PI0Error) { _ = try x + x } catch { refusal = error }
    }
    XCTAssertTrue("\(try XCTUnwrap(refusal))".contains("another thread"))
    XCTAssertNoThrow(try x + x)
  }

  func testAClosedCardThrows() throws {
    let device = try device()
    let x = try random([4, 4]).moved(to: device)
    let y = try x + x
    try device.close()
    try device.close()
    XCTAssertThrowsError(try y.floats())
    XCTAssertThrowsError(try x + x)
    XCTAssertNoThrow(try self.device())
  }

  /// Norms over odd and whole widths, with weights on the host.
  func testNorms() throws {
    let device = try device()
    for (rows, width) in [(1, 32), (51, 64), (33, 40), (70, 100), (5, 1024)] {
      let x = try random([2, rows, width])
      let weight = try random([width], seed: 2), bias = try random([width], seed: 3)
      let modulation = try random([1, 3 * width], seed: 4),
        two = try random([2, 3 * width], seed: 5)
      func on(_ t: Tensor, _ x: Tensor) throws(PI0Error) -> Tensor { try x.moved(to: t.device) }
      try compare("layerNorm \(rows)x\(width)", [x], on: device) { (t) throws(PI0Error) in
        try t[0].layerNorm(weight: on(t[0], weight), bias: on(t[0], bias))
      }
      try compare("rmsNorm \(rows)x\(width)", [x], on: device) { (t) throws(PI0Error) in
        try t[0].rmsNorm(weight: on(t[0], weight))
      }
      for modulation in [modulation, two] {
        try compare("adaptiveRMSNorm \(rows)x\(width)", [x], on: device) {
          (t) throws(PI0Error) in
          try t[0].adaptiveRMSNorm(modulation: on(t[0], modulation)).normalized
        }
      }
    }
  }

  /// Projections to heads, rotation, attention over two segments with a mask, and back.
  func testHeads() throws {
    let device = try device()
    let close = Tolerance(pcc: 0.9999, maximumError: .infinity, relativeRMS: 0.01)
    for (batch, rows, heads, shared, width) in [
      (1, 51, 8, 1, 32), (2, 10, 6, 2, 10), (1, 33, 3, 3, 2), (2, 32, 4, 4, 72), (1, 20, 2, 1, 256),
    ] {
      let inner = 48, past = 21
      let x = try random([batch, rows, inner])
      func weight(_ heads: Int, _ seed: UInt64) throws -> Tensor {
        try random([heads * width, inner], scale: 0.3, seed: seed)
      }
      let q = Linear(weight: try weight(heads, 2), bias: try random([heads * width], seed: 3))
      let k = Linear(weight: try weight(shared, 4), bias: nil)
      let v = Linear(weight: try weight(shared, 5), bias: try random([shared * width], seed: 6))
      let o = Linear(
        weight: try random([inner, heads * width], scale: 0.1, seed: 7),
        bias: try random([inner], seed: 8))
      let cache = try random([batch, shared, past, width], seed: 9)
      // Of the own tokens, the first two rows see three.
      let bias = AttentionBias(
        rows: try Tensor(
          (0..<2 * (past + rows)).map { $0 < past + rows && $0 > past + 3 ? -2e38 : 0 },
          shape: [2, past + rows]),
        indices: try Tensor(
          (0..<batch * rows).map { $0 % rows < 2 ? 0 : 1 as Int32 }, shape: [batch, rows]))
      let table = try RotaryEmbedding(width: width)(
        Tensor(
          (0..<batch * rows).map { Int32($0 % rows + past) }, shape: [batch, rows]))
      let what = "\(batch) x \(rows), \(heads) on \(shared) heads of \(width)"
      func moved(_ linear: Linear, _ t: Tensor) throws(PI0Error) -> Linear {
        Linear(
          weight: try linear.weight.moved(to: t.device),
          bias: try linear.bias?.moved(to: t.device))
      }
      func project(_ t: Tensor) throws(PI0Error) -> (Tensor, KeyValueCache.Layer) {
        let (cosine, sine) = (
          try table.cosine.moved(to: t.device), try table.sine.moved(to: t.device)
        )
        return (
          try moved(q, t).toHeads(t, heads).rotated(cosine: cosine, sine: sine),
          KeyValueCache.Layer(
            key: try moved(k, t).toHeads(t, shared).rotated(cosine: cosine, sine: sine),
            value: try moved(v, t).toHeads(t, shared))
        )
      }
      try compare("rotated heads, \(what)", [x], on: device) { (t) throws(PI0Error) in
        try project(t[0]).0
      }
      try compare("attention, \(what)", [x], tolerance: close, on: device) {
        (t) throws(PI0Error) in
        let (query, own) = try project(t[0])
        return try Tensor.attention(query: query, segments: [own], bias: nil)
      }
      try compare("attention after a cache, \(what)", [x], tolerance: close, on: device) {
        (t) throws(PI0Error) in
        let (query, own) = try project(t[0])
        let past = KeyValueCache.Layer(
          key: try cache.moved(to: t[0].device), value: try cache.moved(to: t[0].device))
        return try moved(o, t[0]).fromHeads(
          .attention(
            query: query, segments: [past, own], bias: bias.moved(to: t[0].device)))
      }
    }
  }
}
