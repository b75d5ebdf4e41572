import Foundation
import XCTest

@testable import PI0Kit

/// One layer of each tower at full width on the emulated card, compared with transformers' classes in float32.
final class FullWidthLayerTests: XCTestCase {
  /// A tensor that both sides make from its seed.
  private struct Noise: Decodable {
    let name: String
    let shape: [Int]
    let seed: UInt64
    let deviation: Float
    let mean: Float

    func values() throws -> [Float] {
      try Tensor.normal(shape, seed: seed).floats().map { mean + $0 * deviation }
    }
  }

  override class func tearDown() {
    try? Device.emulator().close()
    super.tearDown()
  }

  /// Computes `body` of a layer's weights and inputs with both formats of weights, as one trace, and compares the rows
  /// that the fixture has.
  private func check(
    _ name: String, _ body: (Weights, [Tensor]) throws -> (([Tensor]) throws(PI0Error) -> Tensor)
  ) throws {
    #if DEBUG
      throw XCTSkip("a hundred million weights take release builds")
    #else
      let fixture = try Fixtures.safetensors("layers/\(name).safetensors")
      func noise(_ key: String) throws -> [Noise] {
        try JSONDecoder().decode([Noise].self, from: Data((fixture.metadata[key] ?? "").utf8))
      }
      let path = try TemporaryFolder(for: self).write(
        "model.safetensors",
        SafetensorsWriter.file(
          noise("weights").map {
            SafetensorsWriter.Item(
              $0.name, "BF16", $0.shape, elements: try $0.values().map(BFloat16.bits))
          }))
      let rows = try fixture.tensor("rows").int32s().map(Int.init)
      let expected = try fixture.tensor("result").floats()
      for format in CardWeightFormat.allCases {
        let pcc = format == .bfloat16 ? 0.9995 : 0.999
        let device = try Device.emulator(weights: format)
        let weights = try Weights(Checkpoint(path: path), on: device)
        let inputs = try noise("inputs").map {
          try Tensor($0.values(), shape: $0.shape, device: device)
        }
        let layer = try body(weights, inputs)
        try weights.finish()
        let result = try device.traced(TraceCache(name), inputs, layer).floats()
        let width = expected.count / rows.count
        let actual = rows.flatMap { result[$0 * width..<($0 + 1) * width] }
        let comparison = try Comparison(actual: actual, expected: expected)
        print("\(name) layer at full width, \(format) weights: \(comparison)")
        XCTAssertGreaterThanOrEqual(comparison.pcc, pcc, "\(name), \(format)")
      }
    #endif
  }

  func testVision() throws {
    let size = PolicyConfiguration.pi0.vision
    try check("vision") { weights, _ in
      let layer = SigLIPLayer(weights, size)
      return { (inputs) throws(PI0Error) in try layer(inputs[0]) }
    }
  }

  func testLanguage() throws {
    let size = PolicyConfiguration.pi0.language
    try check("language") { weights, inputs in
      let layer = GemmaLayer(weights, size, adaptive: false)
      let tokens = inputs[0].shape[1], device = inputs[0].device
      let table = try RotaryEmbedding(width: size.headWidth)(
        Tensor((0..<Int32(tokens)).map { $0 }, shape: [1, tokens], device: device))
      return { (inputs) throws(PI0Error) in
        try layer(
          inputs[0], rotary: table, mask: nil, after: nil,
          modulation: GemmaLayer.Modulation(input: nil, postAttention: nil))
      }
    }
  }

  /// After a cache of three cameras and twelve tokens.
  func testExpert() throws {
    let size = PolicyConfiguration.pi0.expert
    try check("expert") { weights, inputs in
      let layer = GemmaLayer(weights, size, adaptive: false)
      let (tokens, past, device) = (inputs[0].shape[1], inputs[1].shape[2], inputs[0].device)
      func flags(_ count: Int, _ value: (Int) -> Bool) throws -> Tensor {
        try Tensor((0..<count).map(value), shape: [1, count], device: device)
      }
      let (before, own) = (try flags(past) { _ in true }, try flags(tokens) { _ in true })
      let table = try RotaryEmbedding(width: size.headWidth)(
        AttentionMask.positions(padding: own, after: before))
      let mask = try AttentionMask.bias(
        prefixPadding: before, padding: own, marks: flags(tokens) { $0 < 2 })
      return { (inputs) throws(PI0Error) in
        try layer(
          inputs[0], rotary: table, mask: mask,
          after: KeyValueCache.Layer(key: inputs[1], value: inputs[2]),
          modulation: GemmaLayer.Modulation(input: nil, postAttention: nil))
      }
    }
  }
}
