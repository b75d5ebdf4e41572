import CMicroKernels
import Foundation
import XCTest

@testable import PI0Kit

/// What the fixtures of single operations do not reach: sizes around every block, threads, reuse.
final class CPUBackendTests: XCTestCase {
  /// Every instruction set that this processor has, alone and with several threads.
  private static let devices = CPUBackend.instructionSets.flatMap { instructions in
    [1, 3].map { Device(name: "cpu", backend: CPUBackend(threads: $0, instructions: instructions)) }
  }

  func testLinearOfSizesAroundEveryBlock() throws {
    let sizes = [
      (1, 1, 1), (1, 33, 17), (5, 31, 40), (6, 32, 64), (7, 65, 1023), (13, 130, 2049),
      (14, 64, 512), (15, 100, 513), (63, 257, 96), (65, 257, 96), (66, 33, 1030), (90, 300, 77),
    ]
    for (rows, outputs, inputs) in sizes {
      let x = try Tensor.normal([rows, inputs], seed: 1)
      let bias = try Tensor.normal([outputs], seed: 2)
      for type in [ElementType.float32, .bfloat16, .float16] {
        let weight = try Tensor.normal([outputs, inputs], seed: 3).converted(to: type)
        let expected = try x.linear(weight: weight, bias: bias, activation: .geluTanh)
        for device in Self.devices {
          let actual = try x.moved(to: device).linear(
            weight: weight.moved(to: device), bias: bias.moved(to: device), activation: .geluTanh)
          // Sums of up to 2049 products of about one, added up in another order.
          try assertMatches(
            actual, expected, relative: 1e-5, absolute: 1e-4,
            "[\(rows), \(inputs)] x [\(outputs), \(inputs)] \(type)")
        }
      }
    }
  }

  /// A weight's first element need not stand at a multiple of its size in a file.
  func testWeightsThatAreNotAligned() throws {
    for type in [ElementType.float32, .bfloat16] {
      let weight = try Tensor.normal([40, 70], seed: 1).converted(to: type)
      let storage = try TensorStorage(byteCount: weight.bytes.count + 1) { target in
        target[0] = 0
        target.copy(weight.bytes, from: 0, count: weight.bytes.count, to: 1)
      }
      for rows in [3, 100] {
        let x = try Tensor.normal([rows, 70], seed: 2, device: .cpu)
        let shifted = try Tensor(
          shape: [40, 70], elementType: type, device: .cpu, storage: storage, byteOffset: 1)
        try assertMatches(
          x.linear(weight: shifted), x.linear(weight: weight.moved(to: .cpu)), "\(type), \(rows)")
      }
    }
  }

  func testAttentionOfSizesAroundEveryBlock() throws {
    let sizes = [
      (heads: 4, kvHeads: 2, rows: 3, keys: 5, width: 8),
      (heads: 8, kvHeads: 1, rows: 51, keys: 300, width: 72),
      (heads: 3, kvHeads: 3, rows: 33, keys: 97, width: 20),
      (heads: 2, kvHeads: 1, rows: 16, keys: 225, width: 256),
    ]
    for (heads, kvHeads, rows, keys, width) in sizes {
      let query = try Tensor.normal([2, heads, rows, width], seed: 1)
      let key = try Tensor.normal([2, kvHeads, keys, width], seed: 2)
      let value = try Tensor.normal([2, kvHeads, keys, width], seed: 3)
      // Masks of every kind of broadcast; some block keys, one blocks whole rows.
      for shape in [nil, [2, 1, rows, keys], [1, heads, 1, keys], [rows, 1], []] as [[Int]?] {
        let mask = try shape.map { shape in
          let count = Shape.elementCount(shape) ?? 0
          return try Tensor(
            (0..<count).map { $0 % 3 == 1 ? AttentionMask.blocked : Float($0 % 5) / 4 },
            shape: shape)
        }
        let expected = try Tensor.attention(query: query, key: key, value: value, mask: mask)
        for device in Self.devices {
          let actual = try Tensor.attention(
            query: query.moved(to: device), key: key.moved(to: device),
            value: value.moved(to: device), mask: mask?.moved(to: device))
          try assertMatches(
            actual, expected, relative: 1e-5, absolute: 2e-6,
            "\(query) x \(key), mask \(shape ?? [])")
        }
      }
    }
  }

  /// A mask of which each different row is there once does what the whole matrix does.
  func testAttentionWithABias() throws {
    let (prefix, tokens) = (250, 51)
    let before = try Tensor((0..<2 * prefix).map { $0 % 7 != 3 }, shape: [2, prefix])
    let padding = try Tensor((0..<2 * tokens).map { $0 != 60 }, shape: [2, tokens])
    let marks = try Tensor((0..<2 * tokens).map { $0 % 17 < 2 }, shape: [2, tokens])
    let bias = try AttentionMask.bias(prefixPadding: before, padding: padding, marks: marks)
    let query = try Tensor.normal([2, 4, tokens, 16], seed: 1)
    let key = try Tensor.normal([2, 2, prefix + tokens, 16], seed: 2)
    let expected = try Tensor.attention(
      query: query, key: key, value: key, mask: bias.matrix())
    for device in Self.devices {
      let moved = AttentionBias(
        rows: try bias.rows.moved(to: device), indices: try bias.indices.moved(to: device))
      let (query, key) = (try query.moved(to: device), try key.moved(to: device))
      try assertMatches(
        .attention(query: query, key: key, value: key, bias: moved), expected, relative: 1e-5,
        absolute: 2e-6, "bias of \(bias.rows)")
    }
  }

  func testAFactorIsMultipliedInTheSamePass() throws {
    for (rows, outputs, inputs) in [(3, 33, 17), (70, 130, 600)] {
      for device in Self.devices {
        let x = try Tensor.normal([rows, inputs], seed: 1, device: device)
        let weight = try Tensor.normal([outputs, inputs], seed: 2, device: device)
        let factor = try Tensor.normal([rows, outputs], seed: 3, device: device)
        try assertMatches(
          x.linear(weight: weight, activation: .silu, times: factor),
          x.linear(weight: weight, activation: .silu) * factor, "\(x) x \(weight)")
        XCTAssertThrowsError(try x.linear(weight: weight, times: x))
      }
    }
  }

  /// The public embedder with products of weights carried out at load, against the definition.
  func testTheFoldedSuffixIsTheSuffix() throws {
    let checkpoint = try Checkpoint(path: Fixtures.path("golden/pi0.weights.safetensors"))
    let (plain, folded) = (
      try SuffixEmbedder(checkpoint: checkpoint),
      try SuffixEmbedder(checkpoint: checkpoint, on: .cpu)
    )
    XCTAssertNil(plain.folded)
    XCTAssertNotNil(folded.folded)
    for batch in [1, 2] {
      let state = try Tensor.normal([batch, 32], seed: 1)
      let actions = try Tensor.normal([batch, 10, 32], seed: 2)
      let time = try Tensor([0.3, 0.8], shape: [2]).sliced(axis: 0, 0..<batch)
      let expected = try plain(state: state, noisyActions: actions, timestep: time)
      let actual = try folded(
        state: state.moved(to: .cpu), noisyActions: actions.moved(to: .cpu),
        timestep: time.moved(to: .cpu))
      try assertMatches(
        actual.embeddings, expected.embeddings, relative: 3e-6, absolute: 3e-6, "\(batch)")
    }
  }

  /// Minus infinity for a whole block of keys must leave no NaN; for all keys it must, as in the
  /// reference.
  func testAttentionWithInfiniteMasks() throws {
    let (rows, keys) = (40, 500)
    let query = try Tensor.normal([1, 1, rows, 16], seed: 1)
    let key = try Tensor.normal([1, 1, keys, 16], seed: 2)
    let mask = try Tensor(
      (0..<rows * keys).map { index in
        let (row, column) = (index / keys, index % keys)
        return row == 7 || column < 10 * row ? -.infinity : 0
      }, shape: [rows, keys])
    let expected = try Tensor.attention(query: query, key: key, value: key, mask: mask)
    XCTAssertTrue(try expected.floats()[7 * 16].isNaN)
    for device in Self.devices {
      let (query, key) = (try query.moved(to: device), try key.moved(to: device))
      try assertMatches(
        .attention(query: query, key: key, value: key, mask: mask.moved(to: device)), expected,
        relative: 1e-5, absolute: 2e-6, "infinite mask")
    }
  }

  /// exp and tanh over all magnitudes, at the ends of float32, and around every rounding of theirs.
  func testActivationsOverTheirWholeRange() throws {
    var points: [Float] = [0, -0.0, .infinity, -.infinity, .nan, .greatestFiniteMagnitude]
    points += (-4_000...4_000).map { Float($0) * 0.03 }
    points += (-300...300).map {
      1.1 * Float(sign: $0 % 2 == 0 ? .plus : .minus, exponent: $0 / 3, significand: 1)
    }
    for activation in [Activation.silu, .geluTanh] {
      let expected = points.map { point -> Float in
        let x = Double(point)
        switch activation {
        case .silu: return Float(x / (1 + exp(-x)))
        default:
          return Float(x / (1 + exp(-2 * 0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x))))
        }
      }
      for device in Self.devices {
        let x = try Tensor(points, shape: [points.count], device: device)
        // An argument of 80 that float32 rounds changes its exponential by 80 times as much.
        try assertMatches(
          activation == .silu ? x.silu() : x.gelu(),
          Tensor(expected, shape: [points.count]), relative: activation == .silu ? 1e-6 : 5e-5,
          absolute: 1e-36, activation.rawValue)
      }
    }
  }

  /// Every sum is carried out by one thread in one order.
  func testResultsDoNotDependOnTheNumberOfThreads() throws {
    let checkpoint = try Checkpoint(path: Fixtures.path("golden/pi0.weights.safetensors"))
    var chunks: [[Float]] = []
    for threads in [1, 2, 5] {
      let policy = try Policy(checkpoint: checkpoint, on: .cpu(threads: threads))
      let inputs = try Self.inputs(policy)
      for _ in 0..<2 { chunks.append(try policy.sampleActions(inputs, seed: 3).floats()) }
    }
    XCTAssertEqual(Set(chunks).count, 1)
  }

  func testNoMoreThreadsThanCanBeStarted() {
    let pool = ThreadPool(count: .max)
    XCTAssertLessThanOrEqual(pool.count, ThreadPool.maximumCount)
  }

  func testAThousandInferencesAreEqualAndMemoryDoesNotGrow() throws {
    let policy = try Policy(
      checkpoint: Checkpoint(path: Fixtures.path("golden/pi0.weights.safetensors")), on: .cpu)
    let inputs = try Self.inputs(policy)
    for _ in 0..<50 { _ = try policy.sampleActions(inputs, seed: 0) }
    let first = try policy.sampleActions(inputs, seed: 0).floats()
    let before = try residentBytes()
    for _ in 0..<1000 {
      guard try policy.sampleActions(inputs, seed: 0).floats() == first else {
        return XCTFail("another result for the same inputs")
      }
    }
    XCTAssertLessThan(try residentBytes() - before, 4 << 20)
  }

  private static func inputs(_ policy: Policy) throws -> PolicyInputs {
    let picture = try RGBImage(
      width: 8, height: 8, pixels: (0..<192).map { UInt8($0) })
    let observation = Observation(
      images: ["base_0_rgb": picture], state: [0.1, -0.2], tokens: [2, 5, 7])
    return try observation.inputs(for: policy.configuration, on: policy.device)
  }

  private func residentBytes() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(
      separator: " ")
    return try XCTUnwrap(fields.count > 1 ? Int(fields[1]) : nil) * Int(getpagesize())
  }
}
