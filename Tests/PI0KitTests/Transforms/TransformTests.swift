import Foundation
import XCTest

@testable import PI0Kit

/// Single transforms against lerobot's processors and Pillow.
final class TransformTests: XCTestCase {
  func testNormalizationsOfLerobot() throws {
    let file = try Fixtures.safetensors("robots/normalization.safetensors")
    var statistics: [String: [Double]] = [:]
    for name in ["mean", "std", "min", "max", "q01", "q99", "q10", "q90"] {
      statistics[name] = try file.tensor(name).floats().map(Double.init)
    }
    let x = try file.tensor("x")
    let width = x.shape[1]
    let rows = try stride(from: 0, to: x.count, by: width).map { start in
      Array(try x.floats()[start..<start + width]).map(Double.init)
    }
    for mode in NormalizationMode.allCases {
      for (text, epsilon) in [("1e-08", 1e-8), ("0.001", 1e-3)] {
        let normalization = try VectorNormalization(
          mode, statistics: statistics, convention: .lerobot(epsilon: epsilon), name: "x")
        let name = "\(mode.rawValue)/\(text)"
        // To the last bit.
        XCTAssertEqual(
          try rows.flatMap { try normalization.normalized($0) }.map { Float($0) },
          try file.tensor("\(name)/forward").floats(), name)
        XCTAssertEqual(
          rows.flatMap { normalization.denormalized($0) }.map { Float($0) },
          try file.tensor("\(name)/inverse").floats(), name)
      }
    }
  }

  func testNormalizationsOfOpenpi() throws {
    let statistics = ["mean": [1.0, -2], "std": [0.5, 0], "q01": [0, -3], "q99": [2, -3.0]]
    let byMean = try VectorNormalization(
      .meanStd, statistics: statistics, convention: .openpi, name: "x")
    // (x - mean) / (std + 1e-6)
    XCTAssertEqual(try byMean.normalized([2, -2]), [1 / 0.500001, 0])
    assertClose(byMean.denormalized([1, 1]), [1.500001, -1.999999], relative: 1e-15, "mean")
    let byQuantiles = try VectorNormalization(
      .quantiles, statistics: statistics, convention: .openpi, name: "x")
    XCTAssertEqual(try byQuantiles.normalized([2, -3]), [2 / 2.000001 * 2 - 1, -1])
    assertClose(
      byQuantiles.denormalized([1, 1]), [2.000001, -2.999999], relative: 1e-15, "quantiles")
    // A shorter vector leaves statistics over; what lies beyond them stays.
    XCTAssertEqual(try byMean.normalized([1]), [0])
    XCTAssertEqual(byMean.denormalized([0, 0, 7]), [1, -2, 7])
    assertThrows("3 values has statistics for 2") { try byMean.normalized([1, 2, 3]) }
  }

  func testStatisticsThatAreNone() {
    func make(
      _ mode: NormalizationMode, _ statistics: [String: [Double]]
    ) throws -> VectorNormalization {
      try VectorNormalization(mode, statistics: statistics, convention: .openpi, name: "arm")
    }
    assertThrows("arm: there are no statistics mean and std", "found none") {
      try make(.meanStd, [:])
    }
    assertThrows("arm: there are no statistics q10 and q90") {
      try make(.quantile10, ["q01": [0], "q99": [1]])
    }
    assertThrows("mean has 2 values, std has 1") {
      try make(.meanStd, ["mean": [0, 1], "std": [1]])
    }
    assertThrows("std has 0") { try make(.meanStd, ["mean": [], "std": []]) }
    assertThrows("std[0] is nan") { try make(.meanStd, ["mean": [0], "std": [.nan]]) }
    assertThrows("std[0] is -1") { try make(.meanStd, ["mean": [0], "std": [-1]]) }
    assertThrows("max[1] is 0.0, below min[1]") {
      try make(.minMax, ["min": [0, 1], "max": [1, 0]])
    }
    XCTAssertNoThrow(try make(.identity, [:]))
  }

  func testPromptsOfLerobot() throws {
    struct Prompts: Decodable {
      let states: [[Double]]
      let tasks, pi05, pi0: [String]
    }
    let prompts = try JSONDecoder().decode(
      Prompts.self,
      from: Data(contentsOf: URL(fileURLWithPath: Fixtures.path("robots/prompts.json")))
    )
    XCTAssertGreaterThan(prompts.tasks.count, 100)
    for (index, task) in prompts.tasks.enumerated() {
      let observation = RobotObservation(images: [:], state: prompts.states[index], prompt: task)
      let transforms: [(any Transform, expected: String)] = [
        (StateInPrompt(), prompts.pi05[index]), (EndPromptWithLineFeed(), prompts.pi0[index]),
      ]
      for (transform, expected) in transforms {
        guard case .text(let text) = try transform.forward(observation).prompt else {
          return XCTFail(task)
        }
        // By bytes: equal strings of Swift may differ in them.
        XCTAssertEqual(Array(text.utf8), Array(expected.utf8), task)
      }
    }
  }

  func testStepsOfTheState() {
    let last = 1 - 1.0 / 128
    let steps: [(value: Double, step: Int)] = [
      (-1, 0), (Double(-1).nextDown, -1), (0, 128), (-1e-300, 127), (1, 255),
      (Double(1).nextDown, 255), (.infinity, 255), (-.infinity, -1), (last, 255),
      (last.nextDown, 254), (.nan, 255), (1e300, 255), (-1e300, -1),
    ]
    for (value, step) in steps {
      XCTAssertEqual(StateInPrompt.step(value), step, "\(value)")
    }
  }

  func testTokensAreLeftAsTheyAre() throws {
    let observation = RobotObservation(images: [:], state: [0], prompt: .tokens([5, 6]))
    let transforms: [any Transform] = [
      DefaultPrompt("x"), CleanPrompt(), StateInPrompt(), EndPromptWithLineFeed(),
      TokenizePrompt(try RobotFixture.tokenizer(), ending: "\n", maximumLength: 1),
    ]
    for transform in transforms { XCTAssertEqual(try transform.forward(observation), observation) }
  }

  func testPillow() throws {
    let file = try Fixtures.safetensors("robots/pillow.safetensors")
    let names = file.entries.keys.filter { $0.hasSuffix("/x") }.sorted()
    XCTAssertEqual(names.count, 9)
    for name in names {
      let shape = try XCTUnwrap(file.entries[name]).shape
      let image = try RGBImage(width: shape[1], height: shape[0], pixels: file.bytes(name))
      let resized = try image.resizedWithPaddingAsPillow(width: 56, height: 56)
      let expected = try file.bytes(name.dropLast(1) + "out")
      let differences = zip(resized.pixels, expected).map { abs(Int($0) - Int($1)) }
      XCTAssertEqual(differences.count, expected.count, name)
      XCTAssertEqual(differences.max(), 0, "\(name): \(differences.count { $0 > 0 }) bytes differ")
    }
    let narrow = try RGBImage(width: 300, height: 1, pixels: [UInt8](repeating: 9, count: 900))
    assertThrows("too narrow") { try narrow.resizedWithPaddingAsPillow(width: 56, height: 56) }
    assertThrows("must be 1 to") { try narrow.resizedWithPaddingAsPillow(width: 0, height: 56) }
  }

  func testRelativeActions() throws {
    XCTAssertEqual(DeltaActions(runs: 2, -1, 1, -2).mask, [true, true, false, true, false, false])
    let delta = DeltaActions(runs: 1, -1, 1)
    let chunk = try ActionChunk(horizon: 2, dimension: 4, values: [1, 2, 3, 4, 5, 6, 7, 8])
    let observation = RobotObservation(images: [:], state: [10, 20, 30, 40])
    XCTAssertEqual(
      try delta.inverse(chunk, for: observation).values, [11, 2, 33, 4, 15, 6, 37, 8])
    assertThrows("the state has 2") {
      try delta.inverse(chunk, for: RobotObservation(images: [:], state: [1, 2]))
    }
    let narrow = try ActionChunk(horizon: 1, dimension: 2, values: [1, 2])
    assertThrows("an action 2") { try delta.inverse(narrow, for: observation) }
  }

  func testDimensions() throws {
    let chunk = try ActionChunk(horizon: 2, dimension: 3, values: [1, 2, 3, 4, 5, 6])
    let observation = RobotObservation(images: [:], state: [1])
    XCTAssertEqual(try KeepActions(2).inverse(chunk, for: observation).values, [1, 2, 4, 5])
    XCTAssertEqual(try KeepActions(0).inverse(chunk, for: observation).values, [])
    for count in [-1, 4] {
      assertThrows("actions have 3 values") {
        try KeepActions(count).inverse(chunk, for: observation)
      }
    }
    XCTAssertEqual(try PadState(3).forward(observation).state, [1, 0, 0])
    XCTAssertEqual(try PadState(0).forward(observation).state, [1])
    XCTAssertEqual(Array(chunk[1]), [4, 5, 6])
    XCTAssertEqual(Array(chunk[2]), [])
    XCTAssertEqual(Array(chunk[-1]), [])
    for (horizon, dimension) in [(2, 2), (-1, -6), (Int.max, 2)] {
      assertThrows("6 values are no chunk") {
        try ActionChunk(horizon: horizon, dimension: dimension, values: chunk.values)
      }
    }
  }

  func testCameras() throws {
    let image = try RGBImage(width: 1, height: 1, pixels: [1, 2, 3])
    let rename = RenameCameras(["a": "x", "b": "y"], required: ["a"], ignored: ["c"])
    let observation = RobotObservation(
      images: ["a": image, "c": image], maskedCameras: ["b"], state: [])
    let renamed = try rename.forward(observation)
    XCTAssertEqual(renamed.images, ["x": image])
    XCTAssertEqual(renamed.maskedCameras, ["y"])
    XCTAssertEqual(
      rename.robotSide(of: RobotInterface(cameras: ["y", "x", "z"], actionDimension: 1)).cameras,
      ["b", "a"])
    assertThrows("\"a\" has no frame") {
      try rename.forward(RobotObservation(images: ["b": image], state: []))
    }
    assertThrows("no camera \"x\"; it knows a, b, c") {
      try rename.forward(RobotObservation(images: ["a": image, "x": image], state: []))
    }
    XCTAssertEqual(
      try MaskCameras(["y"]).forward(observation).maskedCameras, ["b", "y"])
  }

  func testPresets() throws {
    for name in RobotPreset.names {
      XCTAssertEqual(try RobotPreset.named(name, variant: .pi0).name, name)
    }
    assertThrows("there is no preset \"alpha\"") { try RobotPreset.named("alpha", variant: .pi0) }
    // openpi's pi0_libero has actions that are relative once more, pi05_libero has not.
    let chunk = try ActionChunk(horizon: 1, dimension: 7, values: .init(repeating: 0, count: 7))
    let observation = RobotObservation(images: [:], state: .init(repeating: 1, count: 8))
    for (variant, first) in [(PolicyConfiguration.Variant.pi0, 1.0), (.pi05, 0)] {
      let preset = try RobotPreset.named("libero", variant: variant)
      let actions = try preset.transforms.reversed().reduce(chunk) {
        try $1.inverse($0, for: observation)
      }
      XCTAssertEqual(actions.values, .init(repeating: first, count: 6) + [0])
    }
  }
}
