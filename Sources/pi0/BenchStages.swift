import Foundation
import PI0Kit

/// The parts of a policy that are timed, under the names that `Scripts/benchmark` knows.
final class BenchStages {
  /// A part: its name, and what it is.
  struct Stage {
    let name: String
    let title: String
  }

  /// Parts that need no more than the suffix embedder's weights.
  static let embedders = [
    Stage(name: "euler", title: "Euler update, 50 x 32"),
    Stage(name: "suffix_masks", title: "suffix masks and positions, 51 x 867"),
    Stage(name: "prefix_masks", title: "prefix masks and positions, 816 x 816"),
    Stage(name: "sinusoid", title: "sinusoidal time embedding, 1024"),
    Stage(name: "suffix", title: "suffix embedding, 50 actions"),
  ]
  /// Parts that need a whole policy.
  static let policies = [
    Stage(name: "prefix", title: "prefix embedding, image features given"),
    Stage(name: "vision", title: "vision tower and projector, one image"),
    Stage(name: "prefix_pass", title: "language model, 816 tokens"),
    Stage(name: "step", title: "one denoising step"),
    Stage(name: "actions_3", title: "actions, 3 cameras"),
    Stage(name: "actions_2", title: "actions, 2 cameras"),
    Stage(name: "actions_1", title: "actions, 1 camera"),
  ]

  let device: Device
  /// Of the prompt that is there when actions are sampled.
  private let tokens: Int
  private let inputs: Inputs
  private let suffixEmbedder: SuffixEmbedder
  private let policy: Policy?
  private let timeEmbedding = SinusoidalTimeEmbedding(width: PolicyConfiguration.pi0.expert.width)
  private var cache: KeyValueCache?

  /// The embedder's parts, with the full-size weights of the fixtures.
  init(on device: Device) throws {
    let weights = try PackageFixtures.goldenFolder() + "/suffix_full.weights.safetensors"
    suffixEmbedder = try SuffixEmbedder(checkpoint: Checkpoint(path: weights), on: device)
    policy = nil
    self.device = device
    tokens = 0
    inputs = try Inputs(file: nil, on: device)
  }

  /// All parts of a policy of pi0's full sizes; its inputs from a file, or random ones, with so many tokens.
  init(checkpoint: String, inputs: String?, tokens: Int, on device: Device) throws {
    let policy = try Policy(checkpoint: Checkpoint(path: checkpoint), on: device)
    suffixEmbedder = policy.suffixEmbedder
    self.policy = policy
    self.device = device
    self.tokens = tokens
    self.inputs = try Inputs(file: inputs, on: device)
  }

  var stages: [Stage] { Self.embedders + (policy == nil ? [] : Self.policies) }

  /// Makes ready what the actions for so many cameras need, or the suffix embedding where there is no policy; computes
  /// them too where asked for.
  func prepare(cameras: Int, runs: Bool, onProgress: (PolicyProgress) -> Void) throws {
    guard let policy else {
      _ = try run("suffix")
      return
    }
    let observed = try inputs.observed(cameras: cameras, tokens: tokens, policy)
    try policy.prepare(for: observed, onProgress: onProgress)
    if runs { _ = try policy.sampleActions(observed, noise: inputs.noise) }
  }

  /// Carries out a part once; what it returns gives the result's values, to be compared.
  func run(_ stage: String) throws -> () throws -> Tensor {
    let result: Tensor
    switch stage {
    case "euler":
      result = try Policy.eulerStep(inputs.noise, velocity: inputs.velocity, timeStep: -0.1)
    case "suffix_masks":
      let bias = try AttentionMask.bias(
        prefixPadding: inputs.prefixPadding, padding: inputs.suffixPadding,
        marks: inputs.suffixMarks)
      _ = try AttentionMask.positions(padding: inputs.suffixPadding, after: inputs.prefixPadding)
      return { try bias.matrix() }
    case "prefix_masks":
      let bias = try AttentionMask.bias(padding: inputs.prefixPadding, marks: inputs.prefixMarks)
      _ = try AttentionMask.positions(padding: inputs.prefixPadding)
      return { try bias.matrix() }
    case "sinusoid":
      result = try timeEmbedding(inputs.time)
    case "suffix":
      result = try suffixEmbedder(
        state: inputs.state, noisyActions: inputs.noise, timestep: inputs.time
      ).embeddings
    default:
      result = try run(stage, of: required())
    }
    return { result }
  }

  private func run(_ stage: String, of policy: Policy) throws -> Tensor {
    switch stage {
    case "prefix": return try prefix(of: policy).embeddings
    case "vision": return try policy.prefixEmbedder.embed(image: inputs.images[0])
    case "prefix_pass":
      let made = try policy.keyValueCache(prefix(of: policy))
      cache = made
      guard let last = made.layers.last else { throw PI0Error.input("the policy has no layers") }
      return last.key
    case "step":
      if cache == nil { _ = try run("prefix_pass", of: policy) }
      guard let cache else { throw PI0Error.input("the policy has no cache") }
      return try policy.denoiseStep(
        state: inputs.state, prefixPadding: inputs.prefixPadding,
        cache: cache, noisyActions: inputs.noise, timestep: inputs.time)
    case "actions_1", "actions_2", "actions_3":
      let cameras = stage.last?.wholeNumberValue ?? 0
      return try policy.sampleActions(
        inputs.observed(cameras: cameras, tokens: tokens, policy), noise: inputs.noise)
    default: throw PI0Error.input("there is no part \(stage) to time")
    }
  }

  private func prefix(of policy: Policy) throws -> TokenEmbedding {
    let there = try Tensor([true], shape: [1], device: policy.device)
    return try policy.prefixEmbedder(
      features: inputs.features, imageMasks: inputs.features.map { _ in there },
      tokens: inputs.tokens,
      tokenMask: Tensor(
        [Bool](repeating: true, count: inputs.tokens.count), shape: inputs.tokens.shape,
        device: policy.device))
  }

  private func required() throws -> Policy {
    guard let policy else { throw PI0Error.input("name a checkpoint with --checkpoint") }
    return policy
  }
}

/// What the parts are given: random, or the file's that PyTorch gets too.
private struct Inputs {
  let frames: [RGBImage]
  /// The frames as floats.
  let images: [Tensor]
  let features: [Tensor]
  let tokens, state, noise, velocity, time: Tensor
  let prefixPadding, prefixMarks, suffixPadding, suffixMarks: Tensor

  init(file: String?, on device: Device) throws {
    let sizes = PolicyConfiguration.pi0
    let file = try file.map { try SafetensorsFile(path: $0) }
    func tensor(_ name: String, _ shape: [Int], seed: UInt64) throws -> Tensor {
      try file?.tensor(name, on: device) ?? .normal(shape, seed: seed, device: device)
    }
    func flags(_ count: Int, _ value: (Int) -> Bool) throws -> Tensor {
      try Tensor((0..<count).map(value), shape: [1, count], device: device)
    }
    let size = sizes.vision.imageSize
    frames = try (0..<3).map { camera in
      try RGBImage(
        width: size, height: size,
        pixels: file.map { try Array($0.bytes("pixels.\(camera)")) }
          ?? Self.pixels(3 * size * size, seed: UInt64(camera)))
    }
    images = try frames.map { try $0.normalized(device: device) }
    features = try (0..<3).map {
      try tensor(
        "features.\($0)", [1, sizes.vision.tokensPerImage, sizes.language.width],
        seed: 3 + UInt64($0))
    }
    tokens =
      try file?.tensor("tokens", on: device)
      ?? Tensor(
        (0..<sizes.promptLength).map { Int32(3 + 1000 * $0) }, shape: [1, sizes.promptLength],
        device: device)
    let actions = [1, sizes.actionHorizon, sizes.actionDimension]
    state = try tensor("state", [1, sizes.actionDimension], seed: 6)
    noise = try tensor("noise", actions, seed: 7)
    velocity = try tensor("velocity", actions, seed: 8)
    time = try Tensor([0.5], shape: [1], device: device)
    prefixPadding = try flags(sizes.prefixLength) { _ in true }
    prefixMarks = try flags(sizes.prefixLength) { _ in false }
    suffixPadding = try flags(sizes.suffixLength) { _ in true }
    suffixMarks = try flags(sizes.suffixLength) { $0 < 2 }
  }

  /// Bytes about the middle, as of noise.
  private static func pixels(_ count: Int, seed: UInt64) throws -> [UInt8] {
    try Tensor.normal([count], seed: seed).floats().map { UInt8(min(max($0 * 64 + 128, 0), 255)) }
  }

  /// Some of the cameras, and a prompt that begins again where it is longer than the one there is.
  func observed(cameras: Int, tokens count: Int, _ policy: Policy) throws -> PolicyInputs {
    let names = policy.configuration.cameras.prefix(cameras), tokens = try tokens.int32s()
    return try Observation(
      images: Dictionary(uniqueKeysWithValues: zip(names, frames)),
      state: state.floats(), tokens: (0..<count).map { tokens[$0 % tokens.count] }
    ).inputs(for: policy.configuration, on: policy.device)
  }
}
