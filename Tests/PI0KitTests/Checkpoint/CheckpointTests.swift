import XCTest

@testable import PI0Kit

/// Key names, configurations, and what is said of a checkpoint that does not fit.
final class CheckpointTests: XCTestCase {
  private let lmHead = "paligemma_with_expert.paligemma.lm_head.weight"
  private let embedTokens =
    "paligemma_with_expert.paligemma.model.language_model.embed_tokens.weight"

  /// The golden pi0 weights, rewritten under other names.
  private func rewritten(
    _ folder: TemporaryFolder, metadata: Bool = true, rename: (String) -> String?
  ) throws -> String {
    let file = try Fixtures.safetensors("golden/pi0.weights.safetensors")
    var tensors: [SafetensorsWriter.Item] = []
    for (name, entry) in file.entries.sorted(by: { $0.key < $1.key }) {
      guard let newName = rename(name) else { continue }
      tensors.append(
        .init(newName, entry.type.rawValue, entry.shape, try file.bytes(name)))
    }
    return try folder.write(
      "model.safetensors",
      SafetensorsWriter.file(tensors, metadata: metadata ? file.metadata : nil))
  }

  private func problems(_ path: String) throws -> [CheckpointProblem] {
    do {
      _ = try Policy(checkpoint: Checkpoint(path: path))
      return []
    } catch PI0Error.checkpoint(_, let problems) {
      return problems
    }
  }

  func testNamesOfOpenpiAndLerobotAndEitherTiedKey() throws {
    let golden = try Fixtures.goldenPolicy("pi0")
    let io = try Fixtures.safetensors("golden/pi0.io.safetensors")
    let token = try Tensor([3] as [Int32], shape: [1, 1])
    let expected = try golden.prefixEmbedder.embed(tokens: token).floats()
    for (prefix, dropped) in [("", ""), ("model.", ""), ("", embedTokens), ("model.", lmHead)] {
      let path = try rewritten(TemporaryFolder(for: self)) { name in
        name == dropped ? nil : prefix + name
      }
      let checkpoint = try Checkpoint(path: path)
      XCTAssertEqual(checkpoint.naming, prefix.isEmpty ? .openpi : .lerobot)
      let policy = try Policy(checkpoint: checkpoint)
      XCTAssertEqual(try policy.prefixEmbedder.embed(tokens: token).floats(), expected)
      XCTAssertEqual(
        try policy.suffixEmbedder(
          state: io.tensor("in.state"), noisyActions: io.tensor("in.noise"),
          timestep: .full([2], 1)
        ).embeddings.floats(),
        try golden.suffixEmbedder(
          state: io.tensor("in.state"), noisyActions: io.tensor("in.noise"),
          timestep: .full([2], 1)
        ).embeddings.floats())
    }
    let neither = try rewritten(TemporaryFolder(for: self)) {
      [lmHead, embedTokens].contains($0) ? nil : $0
    }
    XCTAssertEqual(try problems(neither), [.missing(embedTokens, expected: [512, 64])])
  }

  func testBothNamesOfOneTensorAreRefused() throws {
    let folder = try TemporaryFolder(for: self)
    let path = try folder.write(
      "model.safetensors",
      SafetensorsWriter.file(
        ["a", "model.a"].map { .init($0, "F32", [1], elements: [Float(1)]) }))
    XCTAssertThrowsError(try Checkpoint(path: path))
  }

  func testEveryProblemIsListedAtOnce() throws {
    let path = try rewritten(TemporaryFolder(for: self)) { name in
      switch name {
      case "state_proj.bias": nil
      case "action_out_proj.weight": "action_out_proj.wait"
      case "action_in_proj.bias": "action_out_proj.bias"
      case "action_out_proj.bias": "action_in_proj.bias"
      default: name
      }
    }
    // The two biases have 32 elements each, so exchanging them goes unseen; shapes are all we have.
    XCTAssertEqual(
      try problems(path),
      [
        .missing("state_proj.bias", expected: [32]),
        .missing("action_out_proj.weight", expected: [32, 32]),
        .unexpected("action_out_proj.wait", found: [32, 32]),
      ])
    let file = try Fixtures.safetensors("golden/pi0.weights.safetensors")
    var configuration = try Checkpoint(path: file.path).requiredConfiguration()
    configuration.expert.mlpWidth = 65
    XCTAssertThrowsError(
      try Policy(checkpoint: Checkpoint(path: file.path, configuration: configuration))
    ) { error in
      guard case PI0Error.checkpoint(_, let problems) = error else { return XCTFail("\(error)") }
      let mlp = "paligemma_with_expert.gemma_expert.model.layers.0.mlp."
      XCTAssertEqual(problems.count, 6)
      XCTAssertTrue(
        problems.contains(
          .misshaped(mlp + "gate_proj.weight", expected: [65, 32], found: [64, 32])))
      XCTAssertTrue("\(error)".contains("expected [65, 32], found [64, 32]"), "\(error)")
    }
  }

  func testALongListOfProblemsIsCut() throws {
    let file = try Fixtures.safetensors("golden/pi0.weights.safetensors")
    var configuration = try Checkpoint(path: file.path).requiredConfiguration()
    func error() -> PI0Error? {
      do throws(PI0Error) {
        _ = try Policy(checkpoint: Checkpoint(path: file.path, configuration: configuration))
        return nil
      } catch { return error }
    }
    configuration.vision.depth = PolicyConfiguration.maximumDepth
    let many = try XCTUnwrap(error())
    XCTAssertLessThan(many.description.utf8.count, 40_000)
    XCTAssertTrue(many.description.hasSuffix(" more"), many.description)
    configuration.vision.depth = 65_536
    XCTAssertEqual(
      error(), .configuration("configuration: vision depth is 65536; it must be at most 256"))
  }

  func testASuffixOfImpossibleWidthIsRefused() throws {
    let path = try TemporaryFolder(for: self).write(
      "model.safetensors",
      SafetensorsWriter.file([.init("action_in_proj.weight", "F32", [1 << 50, 0], [])]))
    XCTAssertThrowsError(try SuffixEmbedder(checkpoint: Checkpoint(path: path))) { error in
      guard case PI0Error.configuration = error else { return XCTFail("\(error)") }
    }
  }

  func testConfigurationsThatNeverEnd() throws {
    let folder = try TemporaryFolder(for: self)
    let weights = try folder.write(
      "model.safetensors",
      SafetensorsWriter.file([.init("a", "F32", [1], elements: [Float(1)])]))
    let config = weights.replacingOccurrences(of: "model.safetensors", with: "config.json")
    XCTAssertEqual(mkfifo(config, 0o600), 0)
    XCTAssertThrowsError(try Checkpoint(path: weights)) { error in
      XCTAssertTrue("\(error)".contains("no regular file"), "\(error)")
    }
  }

  func testIntegersAreNoWeights() throws {
    let folder = try TemporaryFolder(for: self)
    let file = try Fixtures.safetensors("golden/suffix_full.weights.safetensors")
    var tensors: [SafetensorsWriter.Item] = []
    for (name, entry) in file.entries {
      let isBias = name == "state_proj.bias"
      tensors.append(
        .init(
          name, isBias ? "I32" : entry.type.rawValue, entry.shape,
          try isBias ? [UInt8](repeating: 0, count: 4096) : file.bytes(name)))
    }
    let path = try folder.write("model.safetensors", SafetensorsWriter.file(tensors))
    XCTAssertThrowsError(try SuffixEmbedder(checkpoint: Checkpoint(path: path))) { error in
      XCTAssertTrue("\(error)".contains("state_proj.bias"), "\(error)")
    }
  }

  func testUnusedTensorsAreNoProblem() throws {
    XCTAssertTrue(Checkpoint.isUnused("paligemma_with_expert.gemma_expert.lm_head.weight"))
    XCTAssertTrue(Checkpoint.isUnused("normalize_inputs.buffer_observation_state.mean"))
    XCTAssertFalse(Checkpoint.isUnused(lmHead))
  }

  // MARK: - Configurations

  func testConfigurationFromMetadata() throws {
    let checkpoint = try Checkpoint(path: Fixtures.path("golden/pi05.weights.safetensors"))
    XCTAssertEqual(checkpoint.configurationSource, .metadata)
    let configuration = try checkpoint.requiredConfiguration()
    XCTAssertEqual(configuration.variant, .pi05)
    XCTAssertEqual(
      configuration.vision,
      .init(width: 48, depth: 2, mlpWidth: 96, heads: 4, patchSize: 14, imageSize: 56))
    XCTAssertEqual(configuration.actionHorizon, 10)
  }

  func testConfigurationOfLerobot() throws {
    let json = """
      {"type": "pi05", "paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m",
       "chunk_size": 30, "n_action_steps": 30, "max_state_dim": 32, "max_action_dim": 24,
       "num_inference_steps": 5, "image_resolution": [224, 224], "tokenizer_max_length": 200,
       "min_period": 0.004, "max_period": 4.0,
       "input_features": {
         "observation.images.top": {"type": "VISUAL", "shape": [3, 480, 640]},
         "observation.state": {"type": "STATE", "shape": [14]},
         "observation.images.left": {"type": "VISUAL", "shape": [3, 480, 640]},
         "observation.images.empty_camera_0": {"type": "VISUAL", "shape": [3, 224, 224]}}}
      """
    let configuration = try PolicyConfiguration(json: Data(json.utf8), from: "test")
    XCTAssertEqual(configuration.variant, .pi05)
    XCTAssertEqual(configuration.language, .gemma2B)
    XCTAssertEqual(configuration.expert, .gemma300M)
    XCTAssertEqual(configuration.cameras, ["top", "left", "empty_camera_0"])
    XCTAssertEqual(configuration.actionHorizon, 30)
    XCTAssertEqual(configuration.actionDimension, 24)
    XCTAssertEqual(configuration.denoisingSteps, 5)
    XCTAssertEqual(configuration.promptLength, 200)
  }

  func testConfigurationOfOpenpiBesideTheWeights() throws {
    let folder = try TemporaryFolder(for: self)
    let path = try rewritten(folder, metadata: false) { $0 }
    try folder.write(
      "config.json",
      Data(
        """
        {"action_dim": 32, "action_horizon": 10, "paligemma_variant": "gemma_2b",
         "action_expert_variant": "gemma_300m", "precision": "bfloat16"}
        """.utf8))
    for opened in [path, folder.path] {
      let checkpoint = try Checkpoint(path: opened)
      XCTAssertEqual(checkpoint.configurationSource, .configFile)
      XCTAssertEqual(checkpoint.configuration?.variant, .pi0)
      XCTAssertEqual(checkpoint.configuration?.actionHorizon, 10)
    }
    // The tiny weights are not those of gemma_2b, and every tensor says so.
    XCTAssertGreaterThan(try problems(path).count, 70)
  }

  func testConfigurationFromShapes() throws {
    let folder = try TemporaryFolder(for: self)
    let full = PolicyConfiguration.pi0
    let w = "paligemma_with_expert.paligemma.model."
    let e = "paligemma_with_expert.gemma_expert.model."
    let siglip = w + "vision_tower.vision_model."
    var shapes = [
      siglip + "embeddings.patch_embedding.weight": [1152, 3, 14, 14],
      siglip + "embeddings.position_embedding.weight": [256, 1152],
      siglip + "encoder.layers.0.mlp.fc1.weight": [4304, 1152],
      w + "language_model.layers.0.self_attn.q_proj.weight": [2048, 2048],
      w + "language_model.layers.0.self_attn.k_proj.weight": [256, 2048],
      w + "language_model.layers.0.mlp.gate_proj.weight": [16384, 2048],
      e + "layers.0.self_attn.q_proj.weight": [2048, 1024],
      e + "layers.0.self_attn.k_proj.weight": [256, 1024],
      e + "layers.0.mlp.gate_proj.weight": [4096, 1024],
      lmHead: [257_152, 2048],
      "action_in_proj.weight": [1024, 32],
    ]
    for layer in 1..<18 {
      shapes[w + "language_model.layers.\(layer).mlp.up_proj.weight"] = [1]
      shapes[e + "layers.\(layer).mlp.up_proj.weight"] = [1]
    }
    for layer in 1..<27 { shapes[siglip + "encoder.layers.\(layer).mlp.fc1.bias"] = [1] }
    XCTAssertEqual(try PolicyConfiguration(shapes: TensorShapes(shapes)), full)
    shapes["time_mlp_in.weight"] = [1024, 1024]
    XCTAssertEqual(try PolicyConfiguration(shapes: TensorShapes(shapes)), .pi05)

    // 48 features are no multiple of a published head's: it says what to do.
    let path = try rewritten(folder, metadata: false) { $0 }
    let checkpoint = try Checkpoint(path: path)
    XCTAssertEqual(checkpoint.configurationSource, .shapes)
    XCTAssertThrowsError(try checkpoint.requiredConfiguration()) { error in
      XCTAssertTrue("\(error)".contains("give a configuration"), "\(error)")
    }
    // Only the sizes of the suffix are needed for the suffix.
    XCTAssertNoThrow(try SuffixEmbedder(checkpoint: checkpoint))
  }

  func testConfigurationsThatAreNone() throws {
    let good = """
      {"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m", "type": "pi0"
      """
    for (json, text) in [
      ("", "JSON"), ("[]", "not what it should be"), ("{}", "paligemma_variant"),
      (good + #", "image_resolution": [224, 112]}"#, "image_resolution"),
      (good + #", "min_period": 0.1}"#, "min_period"),
      (good + #", "chunk_size": 0}"#, "action horizon"),
      (good + #", "chunk_size": -9223372036854775808}"#, "action horizon"),
      (good + #", "chunk_size": "many"}"#, "chunk_size"),
      (#"{"paligemma_variant": "gemma_7b", "action_expert_variant": "gemma_300m"}"#, "gemma_7b"),
      (#"{"paligemma_variant": "dummy", "action_expert_variant": "gemma_300m"}"#, "share"),
      (#"{"type": "act", "paligemma_variant": "x", "action_expert_variant": "y"}"#, "act"),
    ] {
      XCTAssertThrowsError(try PolicyConfiguration(json: Data(json.utf8), from: "here.json")) {
        guard case PI0Error.configuration(let reason) = $0 else { return XCTFail("\($0)") }
        XCTAssertTrue(reason.hasPrefix("here.json: ") || reason.contains(text), reason)
        XCTAssertTrue(reason.contains(text), reason)
      }
    }
  }
}
