/// A pi0 or pi0.5 policy: camera images, robot state and prompt in, a chunk of actions out.
///
///     let policy = try Policy(checkpoint: Checkpoint(path: "pi0_base"))
///     let actions = try policy.sampleActions(inputs, seed: 0)  // [batch, horizon, dimension]
///
/// A value without state: one policy may serve several threads.
///
/// Source: `PI0Pytorch` in openpi's `pi0_pytorch.py`.
public struct Policy: Sendable {
  /// All sizes.
  public let configuration: PolicyConfiguration
  /// Where the policy runs.
  public let device: Device
  /// Images and prompt to tokens.
  public let prefixEmbedder: PrefixEmbedder
  /// State, noisy actions and time to tokens.
  public let suffixEmbedder: SuffixEmbedder

  let languageModel: Gemma  // paligemma_with_expert.paligemma.model.language_model
  let expert: Gemma  // paligemma_with_expert.gemma_expert.model
  let actionOut: Linear  // action_out_proj
  let rotary: RotaryEmbedding
  /// Nil in pi0.5.
  private var foldedSuffix: FoldedSuffix? { suffixEmbedder.folded }
  private let defaultSchedule: DenoisingSchedule

  /// Loads a policy.
  ///
  /// Weights are views of the mapped checkpoint; nothing of it is copied but what becomes of
  /// action_in_proj and action_time_mlp_in, see `FoldedSuffix`.
  ///
  /// - Parameters:
  ///   - checkpoint: see ``Checkpoint``.
  ///   - device: where to run.
  /// - Throws: ``PI0Error/checkpoint(path:problems:)`` that lists every tensor which is missing,
  ///   unexpected or mis-shaped; ``PI0Error/configuration(_:)`` for sizes that contradict.
  public init(checkpoint: Checkpoint, on device: Device = .reference) throws(PI0Error) {
    let weights = try Weights(checkpoint, on: device)
    let configuration = try checkpoint.requiredConfiguration()
    self.configuration = configuration
    self.device = device
    var prefixEmbedder = PrefixEmbedder(weights, configuration)
    var suffixEmbedder = SuffixEmbedder(
      weights, variant: configuration.variant, width: configuration.expert.width,
      actionDimension: configuration.actionDimension)
    let transformers = weights.at("paligemma_with_expert")
    languageModel = Gemma(
      transformers.at("paligemma.model.language_model"), configuration.language, adaptive: false)
    expert = Gemma(
      transformers.at("gemma_expert.model"), configuration.expert,
      adaptive: configuration.variant == .pi05)
    actionOut = Linear(
      weights.at("action_out_proj"), inputs: configuration.expert.width,
      outputs: configuration.actionDimension)
    try weights.finish()

    rotary = RotaryEmbedding(
      width: configuration.language.headWidth, roundsToBFloat16: configuration.roundsRotaryTable)
    try prefixEmbedder.fold()
    self.prefixEmbedder = prefixEmbedder
    try suffixEmbedder.fold()
    self.suffixEmbedder = suffixEmbedder
    defaultSchedule = try Self.schedule(
      steps: configuration.denoisingSteps, times: configuration.times, suffixEmbedder,
      suffixEmbedder.folded, expert, device)
  }

  // MARK: - Parts, as in the original

  /// The keys and values of a prefix, masked positions included.
  ///
  /// - Throws: ``PI0Error`` where the prefix does not fit the policy.
  public func keyValueCache(_ prefix: TokenEmbedding) throws(PI0Error) -> KeyValueCache {
    let mask = try AttentionMask.bias(padding: prefix.padding, marks: prefix.marks)
    return try languageModel.keysAndValues(
      prefix.embeddings, rotary: rotary(AttentionMask.positions(padding: prefix.padding)),
      mask: mask)
  }

  /// The velocity `[batch, horizon, actionDimension]` of the flow at a point and a time.
  ///
  /// Source: `denoise_step` in openpi's `pi0_pytorch.py`.
  ///
  /// - Parameters:
  ///   - state: `[batch, actionDimension]`.
  ///   - prefixPadding: of the prefix that `cache` holds; bool `[batch, tokens]`.
  ///   - cache: from ``keyValueCache(_:)``.
  ///   - noisyActions: `[batch, horizon, actionDimension]`.
  ///   - timestep: float32 `[batch]`.
  /// - Throws: ``PI0Error`` where shapes or types do not fit.
  public func denoiseStep(
    state: Tensor, prefixPadding: Tensor, cache: KeyValueCache, noisyActions: Tensor,
    timestep: Tensor
  ) throws(PI0Error) -> Tensor {
    let shape = [timestep.count, configuration.actionHorizon, configuration.actionDimension]
    guard noisyActions.shape == shape else {
      throw .input("noisy actions must be \(shape), found \(noisyActions)")
    }
    return try velocity(
      suffixEmbedder(state: state, noisyActions: noisyActions, timestep: timestep),
      prefixPadding: prefixPadding, cache: cache)
  }

  private func velocity(
    _ suffix: TokenEmbedding, prefixPadding: Tensor, cache: KeyValueCache
  ) throws(PI0Error) -> Tensor {
    let context = try SuffixContext(
      cache: cache, prefixPadding: prefixPadding, padding: suffix.padding, marks: suffix.marks,
      rotary: rotary)
    let hidden = try hiddenActions(
      suffix.embeddings, context: context,
      modulation: expert.modulation(condition: suffix.condition))
    return try actionOut(hidden)
  }

  /// The expert's output for the actions, of which action_out_proj makes their velocity.
  private func hiddenActions(
    _ x: Tensor, context: SuffixContext, modulation: Gemma.Modulation
  ) throws(PI0Error) -> Tensor {
    guard context.cache.layers.count == expert.layers.count else {
      throw .input(
        "the cache has \(context.cache.layers.count) layers, the expert \(expert.layers.count)")
    }
    let out = try expert(
      x, rotary: context.rotary, mask: context.mask, after: context.cache, modulation: modulation)
    let tokens = out.shape[1]
    return try out.sliced(axis: 1, max(tokens - configuration.actionHorizon, 0)..<tokens)
  }

  // MARK: - Sampling

  /// A schedule of another number of steps than the configuration's, to be made once and passed
  /// to ``sampleActions(_:noise:schedule:onProgress:)``.
  ///
  /// - Throws: ``PI0Error/input(_:)`` for an impossible number of steps.
  public func schedule(steps: Int) throws(PI0Error) -> DenoisingSchedule {
    try Self.schedule(
      steps: steps, times: configuration.times, suffixEmbedder, foldedSuffix, expert, device)
  }

  private static func schedule(
    steps: Int, times: PolicyConfiguration.Times, _ embedder: SuffixEmbedder,
    _ folded: FoldedSuffix?, _ expert: Gemma, _ device: Device
  ) throws(PI0Error) -> DenoisingSchedule {
    try DenoisingSchedule(steps: steps, times: times) { (time) throws(PI0Error) in
      let time = try Tensor([time], shape: [1], device: device)
      if let folded { return .timeRow(try folded.timeRow(time)) }
      return .modulation(try expert.modulation(condition: embedder.condition(time)))
    }
  }

  /// A chunk of actions for each observation, denoised from seeded noise.
  ///
  /// - Parameters:
  ///   - inputs: see ``PolicyInputs``.
  ///   - seed: of the noise, see ``Tensor/normal(_:seed:device:)``.
  ///   - schedule: the configuration's number of steps unless given.
  ///   - onProgress: called as parts complete, on the calling thread.
  /// - Returns: `[batch, horizon, actionDimension]`, normalised as the training data was.
  /// - Throws: ``PI0Error`` where the inputs do not fit the policy.
  public func sampleActions(
    _ inputs: PolicyInputs, seed: UInt64, schedule: DenoisingSchedule? = nil,
    onProgress: (PolicyProgress) -> Void = { _ in }
  ) throws(PI0Error) -> Tensor {
    try inputs.check(configuration)  // before there is noise for a batch that does not fit
    let shape = [inputs.batch, configuration.actionHorizon, configuration.actionDimension]
    return try sampleActions(
      inputs, noise: .normal(shape, seed: seed, device: device), schedule: schedule,
      onProgress: onProgress)
  }

  /// A chunk of actions for each observation: `x += dt * velocity(x, t)` from noise at t = 1 to
  /// actions at t = 0.
  ///
  /// Masked cameras and padded tokens are not computed; the rest is what the original computes.
  ///
  /// - Parameters:
  ///   - inputs: see ``PolicyInputs``.
  ///   - noise: `[batch, horizon, actionDimension]`, standard normal.
  ///   - schedule: the configuration's number of steps unless given.
  ///   - onProgress: called as parts complete, on the calling thread.
  /// - Returns: `[batch, horizon, actionDimension]`, normalised as the training data was.
  /// - Throws: ``PI0Error`` where the inputs do not fit the policy.
  public func sampleActions(
    _ inputs: PolicyInputs, noise: Tensor, schedule: DenoisingSchedule? = nil,
    onProgress: (PolicyProgress) -> Void = { _ in }
  ) throws(PI0Error) -> Tensor {
    try inputs.check(configuration)
    let shape = [inputs.batch, configuration.actionHorizon, configuration.actionDimension]
    guard noise.shape == shape, noise.elementType.isFloat else {
      throw .input("noise must be floats \(shape), found \(noise)")
    }
    guard inputs.batch > 0 else { return noise }
    let schedule = schedule ?? defaultSchedule
    var chunks: [Tensor] = []
    for sample in 0..<inputs.batch {
      let sampleInputs = try self.inputs(of: inputs, noise, sample: sample)
      // What a card records, it runs without a word.
      let report = device.backend.records ? { (_: PolicyProgress) in } : onProgress
      func chunk(_ inputs: [Tensor]) throws(PI0Error) -> Tensor {
        try self.chunk(inputs, schedule, onProgress: report)
      }
      try prepare(schedule, sampleInputs, onProgress: onProgress)
      chunks.append(try device.traced(schedule.traces, sampleInputs, chunk))
      if device.backend.records {
        let steps = schedule.steps.count
        onProgress(PolicyProgress(part: .denoising, completed: steps, total: steps))
      }
    }
    return try .concat(chunks, axis: 0)
  }

  // MARK: - Preparing

  /// Makes ready what inferences with a number of cameras and a length of prompt need, so that the first takes no
  /// longer than any other: on a card weights are loaded and the commands recorded. Several of
  /// these can be ready at a time; they share the weights, and choosing one costs nothing. On other devices
  /// it does nothing.
  ///
  /// Frames are expected as bytes, see ``PolicyInputs/images``; for others there is ``prepare(for:schedule:onProgress:)``.
  ///
  /// - Parameters:
  ///   - cameras: how many have a frame, up to the policy's.
  ///   - promptTokens: tokens of the prompt that are there.
  ///   - schedule: the configuration's number of steps unless given.
  ///   - onProgress: called as weights are loaded, on the calling thread.
  /// - Throws: ``PI0Error/input(_:)`` for more cameras or tokens than the policy has; ``PI0Error/device(_:)``
  ///   before anything is loaded where the card's memory does not suffice.
  public func prepare(
    cameras: Int, promptTokens: Int, schedule: DenoisingSchedule? = nil,
    onProgress: (PolicyProgress) -> Void = { _ in }
  ) throws(PI0Error) {
    let all = configuration.cameras.count, length = configuration.promptLength
    guard (0...all).contains(cameras), (0...length).contains(promptTokens) else {
      throw .input(
        "\(cameras) cameras and \(promptTokens) tokens asked for; the policy has \(all) cameras "
          + "and prompts of up to \(length) tokens")
    }
    let size = configuration.vision.imageSize
    let frame = try Tensor(
      bytes: [UInt8](repeating: 0, count: 3 * size * size), shape: [1, size, size, 3],
      device: device)
    var masks: [Tensor] = []
    for camera in 0..<all {
      masks.append(try Tensor([camera < cameras], shape: [1], device: device))
    }
    try prepare(
      for: PolicyInputs(
        images: configuration.cameras.map { _ in frame }, imageMasks: masks,
        tokens: Tensor([Int32](repeating: 0, count: length), shape: [1, length], device: device),
        tokenMask: Tensor(
          (0..<length).map { $0 < promptTokens }, shape: [1, length], device: device),
        state: .full([1, configuration.actionDimension], 0, device: device)),
      schedule: schedule, onProgress: onProgress)
  }

  /// The same for inputs like these: with the same cameras, their frames of the same type, and as many tokens.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where the inputs do not fit the policy; ``PI0Error/device(_:)``
  ///   before anything is loaded where the card's memory does not suffice.
  public func prepare(
    for inputs: PolicyInputs, schedule: DenoisingSchedule? = nil,
    onProgress: (PolicyProgress) -> Void = { _ in }
  ) throws(PI0Error) {
    try inputs.check(configuration)
    let noise = try Tensor.full(
      [inputs.batch, configuration.actionHorizon, configuration.actionDimension], 0,
      device: device)
    for sample in 0..<inputs.batch {
      try prepare(
        schedule ?? defaultSchedule, self.inputs(of: inputs, noise, sample: sample),
        onProgress: onProgress)
    }
  }

  private func prepare(
    _ schedule: DenoisingSchedule, _ inputs: [Tensor], onProgress: (PolicyProgress) -> Void
  ) throws(PI0Error) {
    func report(_ done: Int, _ total: Int) {
      onProgress(PolicyProgress(part: .loading, completed: done, total: total))
    }
    try device.prepare(schedule.traces, inputs, onProgress: report) {
      (inputs) throws(PI0Error) -> Tensor in
      try chunk(inputs, schedule) { _ in }
    }
  }

  /// What ``chunk(_:_:onProgress:)`` takes.
  private func inputs(
    of inputs: PolicyInputs, _ noise: Tensor, sample: Int
  ) throws(PI0Error) -> [Tensor] {
    let (cameras, tokens) = try present(inputs, sample: sample)
    return cameras + [
      tokens, try inputs.state.sliced(axis: 0, sample..<sample + 1),
      try noise.sliced(axis: 0, sample..<sample + 1).converted(to: .float32),
    ]
  }

  /// From cameras, tokens, state and noise to actions.
  private func chunk(
    _ inputs: [Tensor], _ schedule: DenoisingSchedule, onProgress: (PolicyProgress) -> Void
  ) throws(PI0Error) -> Tensor {
    let (cameras, rest) = (inputs.dropLast(3), Array(inputs.suffix(3)))
    let prefix = try prefix(Array(cameras), tokens: rest[0], onProgress: onProgress)
    return try denoise(
      rest[2], state: rest[1], cache: prefix.cache, prefixLength: prefix.length,
      schedule: schedule, onProgress: onProgress)
  }

  /// The cameras and tokens that one sample has: a camera's bytes or patches, or all cameras in one tensor
  /// where the device runs them together; and int32 `[1, tokens]`.
  private func present(
    _ inputs: PolicyInputs, sample: Int
  ) throws(PI0Error) -> (cameras: [Tensor], tokens: Tensor) {
    var cameras: [Tensor] = []
    for (image, mask) in zip(inputs.images, inputs.imageMasks) where try mask.bools()[sample] {
      cameras.append(
        try prefixEmbedder.camera(image.sliced(axis: 0, sample..<sample + 1)))
    }
    if device.backend.records, let first = cameras.first,
      cameras.allSatisfy({ $0.elementType == first.elementType })
    {
      cameras = [try .concat(cameras, axis: 0)]
    }
    let ids = zip(
      try inputs.tokens.sliced(axis: 0, sample..<sample + 1).int32s(),
      try inputs.tokenMask.sliced(axis: 0, sample..<sample + 1).bools()
    ).filter(\.1).map(\.0)
    let tokens = try Tensor(ids, shape: [1, ids.count], device: device)
    try prefixEmbedder.tokenTable.checkRows(tokens)
    return (cameras, tokens)
  }

  /// The keys and values of cameras and tokens. Nothing in it is masked, and positions are simply
  /// counted.
  private func prefix(
    _ cameras: [Tensor], tokens: Tensor, onProgress: (PolicyProgress) -> Void
  ) throws(PI0Error) -> (cache: KeyValueCache, length: Int) {
    var parts: [Tensor] = []
    for (index, camera) in cameras.enumerated() {
      let features = try prefixEmbedder.embed(camera: camera)
      parts.append(try features.reshaped([1, -1, features.shape[2]]))
      onProgress(PolicyProgress(part: .vision, completed: index + 1, total: cameras.count))
    }
    if tokens.count > 0 || parts.isEmpty {
      parts.append(try prefixEmbedder.embed(tokens: tokens))
    }
    let prefix = try Tensor.concat(parts, axis: 1)
    let length = prefix.shape[1], layers = languageModel.layers.count
    let table = try rotary(AttentionMask.positions(padding: present(length)))
    let cache = try languageModel.keysAndValues(prefix, rotary: table, mask: nil) {
      onProgress(PolicyProgress(part: .language, completed: $0, total: layers))
    }
    return (cache, length)
  }

  /// A padding mask of tokens that are all there, `[1, count]`.
  private func present(_ count: Int) throws(PI0Error) -> Tensor {
    try Tensor([Bool](repeating: true, count: count), shape: [1, count], device: device)
  }

  private func denoise(
    _ noise: Tensor, state: Tensor, cache: KeyValueCache, prefixLength: Int,
    schedule: DenoisingSchedule, onProgress: (PolicyProgress) -> Void
  ) throws(PI0Error) -> Tensor {
    let context = try SuffixContext(
      cache: cache, prefixPadding: present(prefixLength),
      padding: suffixEmbedder.padding(horizon: configuration.actionHorizon, device),
      marks: suffixEmbedder.marks(horizon: configuration.actionHorizon, device), rotary: rotary)
    let stateToken = try foldedSuffix?.stateToken(state)
    var x = noise
    for (index, step) in schedule.steps.enumerated() {
      let hidden: Tensor
      switch (step.conditioning, foldedSuffix, stateToken) {
      case (.timeRow(let timeRow), .some(let folded), .some(let stateToken)):
        hidden = try hiddenActions(
          folded(stateToken: stateToken, noisyActions: x, timeRow: timeRow), context: context,
          modulation: expert.modulation(condition: nil))
      case (.modulation(let modulation), nil, _):
        hidden = try hiddenActions(
          suffixEmbedder.actionIn(x), context: context, modulation: modulation)
      default:
        throw .input("the schedule was made by a policy of the other variant")
      }
      x = try Self.eulerStep(x, velocity: actionOut(hidden), timeStep: schedule.timeStep)
      onProgress(
        PolicyProgress(part: .denoising, completed: index + 1, total: schedule.steps.count))
    }
    return x
  }

  /// `x + velocity * timeStep`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the shapes do not broadcast.
  public static func eulerStep(
    _ x: Tensor, velocity: Tensor, timeStep: Float
  ) throws(PI0Error) -> Tensor {
    try x + velocity * timeStep
  }
}

/// How far a policy's computation is.
public struct PolicyProgress: Sendable, Equatable {
  /// The parts of an inference, in order.
  public enum Part: String, Sendable {
    /// Weights on their way to a card.
    case loading
    /// Cameras through the vision tower.
    case vision
    /// Layers of the language model.
    case language
    /// Denoising steps.
    case denoising
  }

  /// What is being computed.
  public let part: Part
  /// Units of it that are complete: bytes, cameras, layers, steps.
  public let completed: Int
  /// Units of it in all.
  public let total: Int
}

/// What stays the same for a suffix in every denoising step: the prefix, positions and mask.
private struct SuffixContext {
  let cache: KeyValueCache
  let rotary: RotaryEmbedding.Table
  let mask: AttentionBias

  init(
    cache: KeyValueCache, prefixPadding: Tensor, padding: Tensor, marks: Tensor,
    rotary: RotaryEmbedding
  ) throws(PI0Error) {
    self.cache = cache
    self.rotary = try rotary(AttentionMask.positions(padding: padding, after: prefixPadding))
    mask = try AttentionMask.bias(
      prefixPadding: prefixPadding, padding: padding, marks: marks)
  }
}
