import XCTest

@testable import PI0Kit

/// The whole policy, and what `sampleActions` leaves out: each saving changes no action.
final class PolicyTests: XCTestCase {
  private static let sets = ["pi0", "pi05"]

  /// Rounding, where the same sums are added in another order.
  private let rounding: Float = 3e-6

  private struct Golden {
    let policy: Policy
    let io: SafetensorsFile

    init(_ name: String) throws {
      policy = try Fixtures.goldenPolicy(name)
      io = try Fixtures.safetensors("golden/\(name).io.safetensors")
    }

    var noise: Tensor { get throws { try io.tensor("in.noise") } }

    var inputs: PolicyInputs {
      get throws {
        let cameras = policy.configuration.cameras
        return PolicyInputs(
          images: try cameras.map { try io.tensor("in.image.\($0)") },
          imageMasks: try cameras.map { try io.tensor("in.image_mask.\($0)") },
          tokens: try io.tensor("in.tokens"), tokenMask: try io.tensor("in.token_mask"),
          state: try io.tensor("in.state"))
      }
    }

    /// The original algorithm: everything embedded, masked and denoised as one batch.
    func originalActions(_ inputs: PolicyInputs) throws -> Tensor {
      let prefix = try policy.prefixEmbedder(
        images: inputs.images, imageMasks: inputs.imageMasks, tokens: inputs.tokens,
        tokenMask: inputs.tokenMask)
      let cache = try policy.keyValueCache(prefix)
      let schedule = try policy.schedule(steps: policy.configuration.denoisingSteps)
      var x = try noise
      for time in schedule.times {
        let velocity = try policy.denoiseStep(
          state: inputs.state, prefixPadding: prefix.padding, cache: cache, noisyActions: x,
          timestep: .full([inputs.batch], time))
        x = try Policy.eulerStep(x, velocity: velocity, timeStep: schedule.timeStep)
      }
      return x
    }
  }

  private func forEachSet(_ body: (String, Golden) throws -> Void) throws {
    for name in Self.sets { try body(name, try Golden(name)) }
  }

  // MARK: - Savings

  func testMaskedCamerasAreNotComputed() throws {
    try forEachSet { name, golden in
      var inputs = try golden.inputs
      let all = try Tensor([true, true], shape: [2])
      inputs.tokenMask = try Tensor(
        [Bool](repeating: true, count: inputs.tokens.count), shape: inputs.tokens.shape)
      inputs.imageMasks = [all, try Tensor([false, true], shape: [2]), all]
      let expected = try golden.originalActions(inputs)
      try assertMatches(
        golden.policy.sampleActions(inputs, noise: golden.noise), expected, relative: rounding,
        absolute: rounding, name)
      // What the masked camera shows does not matter, not even if it is no number.
      inputs.images[1] = try .concat(
        [
          .full([1] + inputs.images[1].shape.dropFirst(), .nan),
          inputs.images[1].sliced(axis: 0, 1..<2),
        ], axis: 0)
      try assertMatches(
        golden.policy.sampleActions(inputs, noise: golden.noise), expected, relative: rounding,
        absolute: rounding, "\(name), NaN behind the mask")
      // The vision tower ran for the cameras that are there: three and two.
      var cameras = 0
      _ = try golden.policy.sampleActions(inputs, noise: golden.noise) {
        cameras += $0.part == .vision ? 1 : 0
      }
      XCTAssertEqual(cameras, 5)
    }
  }

  func testPaddedTokensAreNotComputed() throws {
    try forEachSet { name, golden in
      var inputs = try golden.inputs
      inputs.imageMasks = try inputs.images.map { _ in try Tensor([true, true], shape: [2]) }
      let length = inputs.tokens.shape[1]
      // A hole in the prompt, and padding behind it.
      inputs.tokenMask = try Tensor(
        (0..<2 * length).map { $0 != 1 && $0 % length < length - 3 }, shape: [2, length])
      let expected = try golden.originalActions(inputs)
      try assertMatches(
        golden.policy.sampleActions(inputs, noise: golden.noise), expected, relative: rounding,
        absolute: rounding, name)
      // Padding may hold any token, even one that is not in the table.
      var tokens = try inputs.tokens.int32s()
      tokens[1] = -1
      tokens[length - 1] = .max
      inputs.tokens = try Tensor(tokens, shape: [2, length])
      try assertMatches(
        golden.policy.sampleActions(inputs, noise: golden.noise), expected, relative: rounding,
        absolute: rounding, "\(name), no token behind the mask")
    }
  }

  func testNothingPresentAtAllLeavesTheSuffixAlone() throws {
    try forEachSet { name, golden in
      var inputs = try golden.inputs
      inputs.imageMasks = try inputs.images.map { _ in try Tensor([false, true], shape: [2]) }
      let length = inputs.tokens.shape[1]
      inputs.tokenMask = try Tensor(
        (0..<2 * length).map { $0 >= length }, shape: [2, length])
      try assertMatches(
        golden.policy.sampleActions(inputs, noise: golden.noise),
        golden.originalActions(inputs), relative: rounding, absolute: rounding, name)
    }
  }

  func testTheLastLanguageLayerComputesKeysAndValuesOnly() throws {
    try forEachSet { name, golden in
      let policy = golden.policy
      let inputs = try golden.inputs
      let prefix = try policy.prefixEmbedder(
        images: inputs.images, imageMasks: inputs.imageMasks, tokens: inputs.tokens,
        tokenMask: inputs.tokenMask)
      let rotary = try policy.rotary(AttentionMask.positions(padding: prefix.padding))
      let mask = try AttentionMask.bias(padding: prefix.padding, marks: prefix.marks)
      let cache = try policy.keyValueCache(prefix)
      // Every layer in full, and the keys and values it computes on its way.
      var x = prefix.embeddings
      let plain = GemmaLayer.Modulation(input: nil, postAttention: nil)
      for (index, layer) in policy.languageModel.layers.enumerated() {
        let normalized = try layer.inputLayerNorm(x, modulation: nil).normalized
        let own = try layer.selfAttention.keyAndValue(normalized, rotary: rotary)
        try assertMatches(cache.layers[index].key, own.key, "\(name) key \(index)")
        try assertMatches(cache.layers[index].value, own.value, "\(name) value \(index)")
        x = try layer(x, rotary: rotary, mask: mask, after: nil, modulation: plain)
      }
    }
  }

  func testTheTimeHalfIsOneRow() throws {
    let golden = try Golden("pi0")
    let embedder = golden.policy.suffixEmbedder
    let folded = try XCTUnwrap(FoldedSuffix(embedder))
    let state = try golden.inputs.state.sliced(axis: 0, 0..<1)
    let noise = try golden.noise.sliced(axis: 0, 0..<1)
    for time: Float in [1, 0.7, 0.1] {
      let timestep = try Tensor([time], shape: [1])
      let expected = try embedder(state: state, noisyActions: noise, timestep: timestep)
      let actual = try folded(
        stateToken: folded.stateToken(state), noisyActions: noise,
        timeRow: folded.timeRow(timestep))
      try assertMatches(
        actual, expected.embeddings, relative: rounding, absolute: rounding, "t = \(time)")
    }
  }

  func testTheScheduleIsComputedAtLoad() throws {
    try forEachSet { name, golden in
      let expected = try golden.originalActions(golden.inputs)
      let schedule = try golden.policy.schedule(steps: 10)
      let first = try golden.policy.sampleActions(golden.inputs, noise: golden.noise)
      let given = try golden.policy.sampleActions(
        golden.inputs, noise: golden.noise, schedule: schedule)
      try assertMatches(first, expected, relative: rounding, absolute: rounding, name)
      try assertMatches(given, first, "\(name), schedule given")
    }
  }

  func testAScheduleOfTheOtherVariantIsRefused() throws {
    let (pi0, pi05) = (try Golden("pi0"), try Golden("pi05"))
    XCTAssertThrowsError(
      try pi0.policy.sampleActions(
        pi0.inputs, noise: pi0.noise, schedule: pi05.policy.schedule(steps: 2)))
    XCTAssertThrowsError(
      try pi05.policy.sampleActions(
        pi05.inputs, noise: pi05.noise, schedule: pi0.policy.schedule(steps: 2)))
  }

  // MARK: - Behaviour

  func testASampleDoesNotDependOnItsBatch() throws {
    try forEachSet { name, golden in
      let inputs = try golden.inputs
      let together = try golden.policy.sampleActions(inputs, noise: golden.noise)
      for sample in 0..<2 {
        func one(_ x: Tensor) throws -> Tensor { try x.sliced(axis: 0, sample..<sample + 1) }
        let alone = try golden.policy.sampleActions(
          PolicyInputs(
            images: inputs.images.map(one), imageMasks: inputs.imageMasks.map(one),
            tokens: one(inputs.tokens), tokenMask: one(inputs.tokenMask),
            state: one(inputs.state)), noise: one(golden.noise))
        try assertMatches(alone, one(together), "\(name) sample \(sample)")
      }
    }
  }

  func testTheSameSeedGivesTheSameActions() throws {
    let golden = try Golden("pi0")
    let inputs = try golden.inputs
    let first = try golden.policy.sampleActions(inputs, seed: 7).floats()
    XCTAssertEqual(first, try golden.policy.sampleActions(inputs, seed: 7).floats())
    XCTAssertNotEqual(first, try golden.policy.sampleActions(inputs, seed: 8).floats())
  }

  func testSeededNoiseIsStandardNormal() throws {
    let noise = try Tensor.normal([100, 1000], seed: 3).floats().map(Double.init)
    let count = Double(noise.count)
    func moment(_ power: Int) -> Double {
      noise.reduce(0) { sum, x in sum + (0..<power).reduce(1) { product, _ in product * x } }
        / count
    }
    XCTAssertEqual(moment(1), 0, accuracy: 0.02)
    XCTAssertEqual(moment(2), 1, accuracy: 0.02)
    XCTAssertEqual(moment(3), 0, accuracy: 0.05)
    XCTAssertEqual(moment(4), 3, accuracy: 0.1)
    XCTAssertTrue(noise.allSatisfy(\.isFinite))
    // SplitMix64's published first output for seed 1234567.
    var generator = SplitMix64(seed: 1_234_567)
    XCTAssertEqual(generator.next(), 6_457_827_717_110_365_317)
  }

  func testProgressCountsEveryPart() throws {
    let golden = try Golden("pi05")
    var seen: [PolicyProgress] = []
    _ = try golden.policy.sampleActions(golden.inputs, noise: golden.noise) { seen.append($0) }
    let layers = golden.policy.configuration.language.depth
    for (part, count) in [(PolicyProgress.Part.language, 2 * layers), (.denoising, 20)] {
      XCTAssertEqual(seen.count { $0.part == part }, count)
    }
    XCTAssertEqual(seen.last, PolicyProgress(part: .denoising, completed: 10, total: 10))
  }

  /// The switch changes the table, and the actions by little at positions as low as these. That
  /// the rounded table is PyTorch's, the rotary fixtures show.
  func testTheRotaryTableIsRoundedOnlyWhenAskedFor() throws {
    for name in Self.sets {
      let golden = try Golden(name)
      let path = Fixtures.path("golden/\(name).weights.safetensors")
      var configuration = golden.policy.configuration
      XCTAssertFalse(configuration.roundsRotaryTable)
      configuration.roundsRotaryTable = true
      let rounded = try Policy(
        checkpoint: Checkpoint(path: path, configuration: configuration))
      let positions = try Tensor((0..<60).map(Int32.init), shape: [1, 60])
      let table = try rounded.rotary(positions)
      let exact = try golden.policy.rotary(positions)
      let changed = zip(try table.sine.floats(), try exact.sine.floats()).map { abs($0 - $1) }
      XCTAssertGreaterThan(changed.max() ?? 0, 1e-2)
      let expected = try golden.io.tensor("out.actions_bf16model").floats()
      func error(_ policy: Policy) throws -> Double {
        let actions = try policy.sampleActions(golden.inputs, noise: golden.noise)
        return try Comparison(actual: actions.floats(), expected: expected).relativeRMS
      }
      let (withTable, without) = (try error(rounded), try error(golden.policy))
      print(
        "\(name): relative RMS to PyTorch's bfloat16 run \(withTable) with the rounded rotary "
          + "table, \(without) without")
      XCTAssertLessThan(withTable, 0.05)
      XCTAssertNotEqual(withTable, without)
    }
  }

  // MARK: - What is refused

  func testInputsThatDoNotFitAreNamed() throws {
    let golden = try Golden("pi0")
    func assertRefused(_ text: String, _ change: (inout PolicyInputs) throws -> Void) throws {
      var inputs = try golden.inputs
      try change(&inputs)
      XCTAssertThrowsError(try golden.policy.sampleActions(inputs, noise: golden.noise)) {
        XCTAssertTrue("\($0)".contains(text), "\($0)")
      }
    }
    try assertRefused("3 cameras") { $0.images.removeLast() }
    try assertRefused("image left_wrist_0_rgb") { $0.images[1] = try .full([2, 3, 28, 28], 0) }
    try assertRefused("mask of base_0_rgb") { $0.imageMasks[0] = try Tensor([true], shape: [1]) }
    try assertRefused("state") { $0.state = try .full([2, 31], 0) }
    try assertRefused("tokens") { $0.tokens = try .full([2, 12], 0) }
    try assertRefused("token mask") { $0.tokenMask = try Tensor([true], shape: [1, 1]) }
    try assertRefused("token 512") {
      $0.tokens = try Tensor([Int32](repeating: 512, count: 24), shape: [2, 12])
    }
    XCTAssertThrowsError(
      try golden.policy.sampleActions(golden.inputs, noise: .full([2, 9, 32], 0)))
    for steps in [0, -1, DenoisingSchedule.maximumSteps + 1] {
      XCTAssertThrowsError(try golden.policy.schedule(steps: steps))
    }
  }

  func testABatchThatDoesNotFitIsRefusedBeforeThereIsNoise() throws {
    let golden = try Golden("pi0")
    var inputs = try golden.inputs
    inputs.state = try .full([1 << 40, 0], 0)
    XCTAssertThrowsError(try golden.policy.sampleActions(inputs, seed: 0)) {
      guard case PI0Error.input = $0 else { return XCTFail("\($0)") }
    }
  }

  func testAPrefixHasABatchOfTokens() throws {
    let embedder = try Golden("pi0").policy.prefixEmbedder
    let width = embedder.tokenTable.shape[1]
    let mask = try Tensor([Bool](repeating: true, count: width), shape: [1, width])
    XCTAssertThrowsError(
      try embedder(
        images: [], imageMasks: [], tokens: Tensor([1] as [Int32], shape: [1]), tokenMask: mask))
  }

  func testAnImageOfOnePatchIsNotSpreadOverAllPositions() throws {
    let golden = try Golden("pi0")
    let patch = golden.policy.configuration.vision.patchSize
    XCTAssertThrowsError(
      try golden.policy.prefixEmbedder.embed(image: .full([1, 3, patch, patch], 0)))
  }

  func testSizesThatContradictAreNoReasonToTrap() {
    for size in [Int.min, -1, 0, 1 << 24, 1 << 40, Int.max] {
      var configuration = PolicyConfiguration.pi0
      configuration.vision.imageSize = size
      configuration.vision.patchSize = size < 0 ? size : 1
      configuration.actionHorizon = size
      configuration.promptLength = size
      _ = (configuration.prefixLength, configuration.suffixLength)
      XCTAssertThrowsError(try configuration.validate(), "\(size)")
      XCTAssertThrowsError(
        try Observation(images: [:], state: [], tokens: []).inputs(for: configuration))
    }
  }

  func testOtherHorizonsAndMasksOfOtherBatchesAreRefused() throws {
    let golden = try Golden("pi0")
    let (policy, inputs) = (golden.policy, try golden.inputs)
    let prefix = try policy.prefixEmbedder(
      images: inputs.images, imageMasks: inputs.imageMasks, tokens: inputs.tokens,
      tokenMask: inputs.tokenMask)
    let cache = try policy.keyValueCache(prefix)
    for horizon in [0, 1, 9, 11] {
      XCTAssertThrowsError(
        try policy.denoiseStep(
          state: inputs.state, prefixPadding: prefix.padding, cache: cache,
          noisyActions: .full([2, horizon, 32], 0), timestep: .full([2], 1)))
    }
    let features = try inputs.images.map { try policy.prefixEmbedder.embed(image: $0) }
    for mask in [try Tensor([true], shape: [1]), try Tensor([true, true], shape: [1, 2])] {
      XCTAssertThrowsError(
        try policy.prefixEmbedder(
          features: features, imageMasks: [mask, mask, mask], tokens: inputs.tokens,
          tokenMask: inputs.tokenMask))
    }
    XCTAssertThrowsError(
      try policy.prefixEmbedder(
        features: features, imageMasks: inputs.imageMasks, tokens: inputs.tokens,
        tokenMask: Tensor([true], shape: [1, 1])))
  }

  func testACacheOfAnotherPolicyIsRefused() throws {
    let golden = try Golden("pi0")
    let padding = try Tensor([Bool](), shape: [2, 0])
    XCTAssertThrowsError(
      try golden.policy.denoiseStep(
        state: golden.inputs.state, prefixPadding: padding, cache: KeyValueCache(layers: []),
        noisyActions: golden.noise, timestep: .full([2], 1)))
  }

  func testTimesAreAccumulatedInFloat32() throws {
    for name in Self.sets {
      let golden = try Golden(name)
      XCTAssertEqual(
        try golden.policy.schedule(steps: 10).times, try golden.io.tensor("traj.t").floats())
    }
  }
}
