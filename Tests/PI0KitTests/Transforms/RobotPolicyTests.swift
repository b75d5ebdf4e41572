import Foundation
import XCTest

@testable import PI0Kit

/// From raw observations to the robot's actions, as lerobot's and openpi's own pipelines.
final class RobotPolicyTests: XCTestCase {
  // MARK: - lerobot

  private func checkLerobot(
    _ kind: String, folder: PolicyFolder? = nil, on device: Device, file: StaticString = #filePath,
    line: UInt = #line
  ) throws {
    let fixture = try RobotFixture("lerobot-\(kind).io")
    let folder = try folder ?? PolicyFolder(contentsOf: RobotFixture.folder("lerobot-\(kind)"))
    let policy = try RobotPolicy(folder, tokenizer: RobotFixture.tokenizer(), on: device)
    let withoutTokenizer = try RobotPolicy(folder, on: device)
    let prompts = try JSONDecoder().decode(
      [String].self, from: Data((fixture.file.metadata["prompts"] ?? "").utf8))
    XCTAssertEqual(prompts.count, 3)
    for (index, prompt) in prompts.enumerated() {
      let name = "\(kind) on \(device.name), observation \(index)"
      let observation = try fixture.observation("\(index)", prompt: .text(prompt))
      let ready = try policy.transforms.reduce(observation) { try $1.forward($0) }
      XCTAssertEqual(
        ready.prompt, .tokens(try fixture.tokens("\(index)")), name, file: file, line: line)
      XCTAssertEqual(
        ready.state, try fixture.doubles("\(index)/state.normalized"), name, file: file, line: line)

      let chunk = try policy.infer(observation, noise: fixture.noise("\(index)"))
      let expected = try fixture.doubles("\(index)/actions")
      XCTAssertEqual(chunk.horizon, 10)
      XCTAssertEqual(chunk.dimension, policy.interface.actionDimension)
      assertClose(chunk.values, expected, name, file: file, line: line)

      var tokenized = observation
      tokenized.prompt = .tokens(try fixture.tokens("\(index)"))
      XCTAssertEqual(
        try withoutTokenizer.infer(tokenized, noise: fixture.noise("\(index)")), chunk, name,
        file: file, line: line)
    }
  }

  func testLerobotPi0() throws {
    for device in [Device.reference, .cpu] { try checkLerobot("pi0", on: device) }
  }

  func testLerobotPi05() throws {
    for device in [Device.reference, .cpu] { try checkLerobot("pi05", on: device) }
  }

  /// The comparison sees what it is for: anything that differs moves the actions by more than is
  /// allowed.
  func testWhatTheComparisonSees() throws {
    for kind in ["pi0", "pi05"] {
      let fixture = try RobotFixture("lerobot-\(kind).io")
      let folder = try PolicyFolder(contentsOf: RobotFixture.folder("lerobot-\(kind)"))
      let whole = try RobotPolicy(folder, on: .cpu)
      let expected = try fixture.doubles("0/actions")
      let good = try fixture.observation("0", prompt: .tokens(fixture.tokens("0")))
      func moved(
        by policy: RobotPolicy? = nil, _ name: String, line: UInt = #line,
        _ change: (inout RobotObservation) -> Void = { _ in }
      ) throws {
        var observation = good
        change(&observation)
        let chunk = try (policy ?? whole).infer(observation, noise: fixture.noise("0"))
        let worst = zip(chunk.values, expected).map { abs($0 - $1) }.max() ?? 0
        let largest = expected.map(abs).max() ?? 0
        XCTAssertGreaterThan(worst / largest, 2e-5, "\(kind), \(name)", line: line)
      }
      func policy(_ resizing: ImageResizing) throws -> RobotPolicy {
        try RobotPolicy(policy: whole.policy, transforms: whole.transforms, resizing: resizing)
      }
      try moved(by: policy(.pillow), "Pillow's resize")
      try moved(by: policy(.torchBytes), "resize in bytes")
      var accumulated = try XCTUnwrap(folder.checkpoint.configuration)
      accumulated.times = .accumulated
      accumulated.denoisingSteps += 1
      let other = try Policy(
        checkpoint: Checkpoint(path: folder.path, configuration: accumulated), on: .cpu)
      try moved(
        by: RobotPolicy(policy: other, transforms: whole.transforms, resizing: .torchFloats),
        "one more step")
      try moved("without the wrist") { $0.images["wrist"] = nil }
      try moved("another token") {
        if case .tokens(var tokens) = $0.prompt {
          tokens[1] += 1
          $0.prompt = .tokens(tokens)
        }
      }
      try moved("another state") { $0.state[0] += 0.1 }
    }
  }

  func testStatisticsAmongTheWeights() throws {
    let folder = try TemporaryFolder(for: self)
    try olderFolder(folder)
    let opened = try PolicyFolder(contentsOf: folder.path)
    XCTAssertEqual(opened.origin, .lerobot)
    XCTAssertEqual(opened.problems, [])
    XCTAssertTrue(opened.notes.contains { $0.kind == .missing && $0.text.contains("older") })
    try checkLerobot("pi0", folder: opened, on: .cpu)
  }

  /// The pi0 folder as lerobot saved one before there were processors.
  private func olderFolder(
    _ folder: TemporaryFolder, without dropped: String = "nothing", value: Float? = nil
  ) throws {
    let source = RobotFixture.folder("lerobot-pi0")
    let weights = try SafetensorsFile(path: "\(source)/model.safetensors")
    var items = try weights.entries.map { name, entry in
      SafetensorsWriter.Item(name, entry.type.rawValue, entry.shape, try weights.bytes(name))
    }
    let statistics = try SafetensorsFile(
      path: "\(source)/policy_preprocessor_step_6_normalizer_processor.safetensors")
    for name in ["mean", "std"] where name != dropped {
      for (key, buffer) in [
        ("observation.state", "normalize_inputs.buffer_observation_state"),
        ("action", "unnormalize_outputs.buffer_action"),
        ("action", "normalize_targets.buffer_action"),
      ] {
        var values = try statistics.tensor("\(key).\(name)").floats()
        if let value { values[0] = value }
        items.append(.init("\(buffer).\(name)", "F32", [values.count], elements: values))
      }
    }
    try folder.write(
      "model.safetensors", SafetensorsWriter.file(items, metadata: weights.metadata))
    try folder.write(
      "config.json", Data(contentsOf: URL(fileURLWithPath: "\(source)/config.json")))
  }

  func testStatisticsAmongTheWeightsThatWereNeverComputed() throws {
    let infinite = try TemporaryFolder(for: self)
    try olderFolder(infinite, value: .infinity)
    assertThrows("wrong actions", "mean[0] is inf", "never computed") {
      try RobotPolicy(PolicyFolder(contentsOf: infinite.path))
    }
    let partial = try TemporaryFolder(for: self)
    try olderFolder(partial, without: "std")
    assertThrows("wrong actions", "no statistics mean and std", "found mean") {
      try RobotPolicy(PolicyFolder(contentsOf: partial.path))
    }
  }

  // MARK: - openpi

  private struct Case: Decodable {
    struct Statistics: Encodable, Decodable {
      let mean, std, q01, q99: [Double]
    }

    let variant: String
    let prompts: [String]
    let norm_stats: [String: Statistics]
  }

  private static let presets: [String: RobotPreset] = [
    "aloha": .aloha(),
    "aloha-own-space": .aloha(adaptsToPi: false),
    "aloha-absolute": .aloha(deltaJoints: false),
    "droid": .droid(),
    "droid-joints": .droid(deltaJoints: true),
    "libero": .libero(extraDelta: false),
    "libero-delta": .libero(extraDelta: true),
  ]

  /// Folders as openpi's training leaves them, by case.
  private func openpiFolders() throws -> [String: (case: Case, path: String)] {
    let fixture = try RobotFixture("openpi")
    let cases = try JSONDecoder().decode(
      [String: Case].self, from: Data((fixture.file.metadata["cases"] ?? "").utf8))
    XCTAssertEqual(cases.keys.sorted(), Self.presets.keys.sorted())
    var folders: [String: (case: Case, path: String)] = [:]
    for (name, item) in cases {
      let folder = try TemporaryFolder(for: self)
      try writeOpenpiFolder(folder, variant: item.variant, statistics: item.norm_stats)
      folders[name] = (item, folder.path)
    }
    return folders
  }

  private func writeOpenpiFolder(
    _ folder: TemporaryFolder, variant: String, statistics: some Encodable,
    asset: String = "physical-intelligence/robot"
  ) throws {
    try? FileManager.default.createSymbolicLink(
      atPath: folder.path("model.safetensors"),
      withDestinationPath: RobotFixture.folder("lerobot-\(variant)/model.safetensors"))
    try FileManager.default.createDirectory(
      atPath: folder.path("assets/\(asset)"), withIntermediateDirectories: true)
    try folder.write(
      "assets/\(asset)/norm_stats.json", JSONEncoder().encode(["norm_stats": statistics]))
  }

  func testOpenpi() throws {
    let fixture = try RobotFixture("openpi")
    for (name, item) in try openpiFolders().sorted(by: { $0.key < $1.key }) {
      // Steps are no part of an openpi folder.
      var configuration = try Checkpoint(path: item.path).requiredConfiguration()
      configuration.denoisingSteps = 7
      let folder = try PolicyFolder(contentsOf: item.path, configuration: configuration)
      XCTAssertEqual(folder.origin, .openpi)
      XCTAssertEqual(folder.problems, [])
      let preset = try XCTUnwrap(Self.presets[name])
      let policy = try RobotPolicy(
        folder, preset: preset, tokenizer: RobotFixture.tokenizer(), on: .cpu)
      for (index, prompt) in item.case.prompts.enumerated() {
        let key = "\(name)/\(index)"
        let observation = try fixture.observation(key, prompt: .text(prompt))
        let ready = try policy.transforms.reduce(observation) { try $1.forward($0) }
        XCTAssertEqual(ready.prompt, .tokens(try fixture.tokens(key)), key)
        assertClose(
          ready.state, try fixture.doubles("\(key)/state.normalized"), relative: 1e-12,
          "\(key), state")
        let chunk = try policy.infer(observation, noise: fixture.noise(key))
        assertClose(chunk.values, try fixture.doubles("\(key)/actions"), key)
        XCTAssertEqual(chunk.dimension, policy.interface.actionDimension)
        XCTAssertEqual(observation.state.count, policy.interface.stateDimension)
        for camera in observation.images.keys where camera != "cam_low" {
          XCTAssertTrue(policy.interface.cameras.contains(camera), camera)
        }
      }
    }
  }

  func testOpenpiFoldersThatWouldActWrongly() throws {
    let folders = try openpiFolders()
    let droid = try XCTUnwrap(folders["droid"])
    let folder = try PolicyFolder(contentsOf: droid.path)
    assertThrows("does not say which robot", "aloha, droid, libero, plain") {
      try RobotPolicy(folder)
    }
    assertThrows("statistics of state are for 8 values, preset aloha has 14") {
      try RobotPolicy(folder, preset: .aloha())
    }
    let plain = try RobotPolicy(folder, preset: .plain)
    XCTAssertEqual(
      plain.interface,
      RobotInterface(
        cameras: PolicyConfiguration.openpiCameras, stateDimension: nil, actionDimension: 8))
    var elsewhere = RobotPreset.plain
    elsewhere.transforms = [RenameCameras(["top": "observed"])]
    assertThrows("no camera of the policy's", "base_0_rgb") {
      try RobotPolicy(folder, preset: elsewhere)
    }

    let several = try TemporaryFolder(for: self)
    for asset in ["one", "two/three"] {
      try writeOpenpiFolder(
        several, variant: "pi0", statistics: droid.case.norm_stats, asset: asset)
    }
    assertThrows("several assets", "one, two/three") {
      try RobotPolicy(PolicyFolder(contentsOf: several.path), preset: .droid())
    }
    XCTAssertNoThrow(
      try RobotPolicy(
        PolicyFolder(contentsOf: several.path, asset: "two/three"), preset: .droid()))
    assertThrows("has no assets/four") {
      try PolicyFolder(contentsOf: several.path, asset: "four")
    }

    // pi0.5 needs quantiles.
    let partial = try TemporaryFolder(for: self)
    try writeOpenpiFolder(
      partial, variant: "pi05",
      statistics: [
        "state": ["mean": [0.0], "std": [1.0]], "actions": ["mean": [0.0], "std": [1.0]],
      ])
    assertThrows("no statistics q01 and q99", "found mean, std") {
      try RobotPolicy(PolicyFolder(contentsOf: partial.path), preset: .plain)
    }
    let large = try TemporaryFolder(for: self)
    let many = [Double](repeating: 1, count: 17)
    try writeOpenpiFolder(
      large, variant: "pi0",
      statistics: ["state": ["mean": many, "std": many], "actions": ["mean": many, "std": many]])
    assertThrows("for 17 values, the policy has 16") {
      try RobotPolicy(PolicyFolder(contentsOf: large.path), preset: .plain)
    }
    let stateOnly = try TemporaryFolder(for: self)
    try writeOpenpiFolder(
      stateOnly, variant: "pi0", statistics: ["state": ["mean": many, "std": many]])
    assertThrows("no statistics called actions") {
      try RobotPolicy(PolicyFolder(contentsOf: stateOnly.path), preset: .plain)
    }
    let damaged = try TemporaryFolder(for: self)
    try writeOpenpiFolder(damaged, variant: "pi0", statistics: ["state": "none"])
    assertThrows("norm_stats.json") { try PolicyFolder(contentsOf: damaged.path) }
  }

  func testWeightsAlone() throws {
    let folder = try TemporaryFolder(for: self)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("model.safetensors"),
      withDestinationPath: RobotFixture.folder("lerobot-pi0/model.safetensors"))
    let opened = try PolicyFolder(contentsOf: folder.path)
    XCTAssertNil(opened.origin)
    XCTAssertEqual(opened.notes.map(\.kind), [.missing, .missing, .problem])
    assertThrows("no statistics") { try RobotPolicy(opened, preset: .plain) }
  }

  // MARK: - Observations

  func testObservationsThatDoNotFit() throws {
    let fixture = try RobotFixture("lerobot-pi05.io")
    let folder = try PolicyFolder(contentsOf: RobotFixture.folder("lerobot-pi05"))
    let policy = try RobotPolicy(folder, tokenizer: RobotFixture.tokenizer())
    let good = try fixture.observation("0", prompt: .text("pick up the cup"))
    func check(
      _ parts: String, line: UInt = #line, _ change: (inout RobotObservation) throws -> Void
    ) rethrows {
      var observation = good
      try change(&observation)
      assertThrows(parts, line: line) { try policy.infer(observation) }
    }
    check("state has 7 values; the policy was trained with 8") { $0.state.removeLast() }
    check("state[3] is nan") { $0.state[3] = .nan }
    check("no camera \"side\"; it knows front, top, wrist") {
      $0.images["side"] = $0.images["front"]
    }
    check("two cameras have frames for the model's \"top\"") {
      $0.images["observation.images.top"] = $0.images["front"]
    }
    check("no camera image") { $0.images = [:] }
    check("has no prompt") { $0.prompt = nil }
    check("prompt has") { $0.prompt = .text(String(repeating: "cup ", count: 120)) }
    check("the policy takes up to 120") { $0.prompt = .tokens(Array(repeating: 5, count: 121)) }
    check("token") { $0.prompt = .tokens([512]) }
    assertThrows("there is no tokenizer", "token ids instead") {
      try RobotPolicy(folder).infer(good)
    }
    assertThrows("noise must be floats [1, 10, 16]") {
      try policy.infer(good, noise: .full([10, 15], 0))
    }

    // lerobot's names in full are the same cameras.
    var named = good
    named.images = Dictionary(
      uniqueKeysWithValues: good.images.map { ("observation.images.\($0.key)", $0.value) })
    let noise = try fixture.noise("0")
    XCTAssertEqual(try policy.infer(named, noise: noise), try policy.infer(good, noise: noise))
    // Without noise it is drawn anew.
    XCTAssertNotEqual(try policy.infer(good), try policy.infer(good))
    // Cut prompts, where that is asked for.
    let truncating = try RobotPolicy(
      folder, tokenizer: RobotFixture.tokenizer(), truncatesPrompts: true)
    var long = good
    long.prompt = .text(String(repeating: "cup ", count: 120))
    XCTAssertNoThrow(try truncating.infer(long))
  }

  func testAnotherModelsTokenizer() throws {
    struct Other: PromptTokenizer {
      let beginningID: Int32 = 1
      let vocabularySize: Int
      func encode(_ text: String) throws(PI0Error) -> [Int32] { [] }
    }
    let folder = try PolicyFolder(contentsOf: RobotFixture.folder("lerobot-pi0"))
    for size in [32_000, 384, 513] {
      assertThrows("the tokenizer has \(size) ids, the policy's table 512") {
        try RobotPolicy(folder, tokenizer: Other(vocabularySize: size))
      }
    }
    XCTAssertNoThrow(try RobotPolicy(folder, tokenizer: Other(vocabularySize: 500)))
  }

  func testTransformsOfTheCallers() throws {
    let folder = try PolicyFolder(contentsOf: RobotFixture.folder("lerobot-pi0"))
    let fixture = try RobotFixture("lerobot-pi0.io")
    let whole = try RobotPolicy(folder, tokenizer: RobotFixture.tokenizer())
    // The same robot with its third joint mounted the other way, and a task of its own.
    let turned = try RobotPolicy(
      policy: whole.policy,
      transforms: [DefaultPrompt("pick up the red block"), FlipJoints([2])] + whole.transforms,
      resizing: whole.resizing, executedSteps: 3)
    XCTAssertEqual(turned.executedSteps, 3)
    XCTAssertEqual(whole.executedSteps, 6)
    var observation = try fixture.observation("0", prompt: .text("pick up the red block"))
    let noise = try fixture.noise("0")
    let expected = try whole.infer(observation, noise: noise)
    observation.prompt = nil
    observation.state[2] *= -1
    let chunk = try turned.infer(observation, noise: noise)
    for step in 0..<chunk.horizon {
      var action = Array(expected[step])
      action[2] *= -1
      XCTAssertEqual(Array(chunk[step]), action)
    }
    for steps in [0, 11] {
      assertThrows("steps to execute") {
        try RobotPolicy(policy: whole.policy, transforms: [], executedSteps: steps)
      }
    }
  }
}
