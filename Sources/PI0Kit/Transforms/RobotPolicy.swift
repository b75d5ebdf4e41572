/// A policy that speaks a robot's language: raw observations in, actions in the robot's units out.
///
///     let folder = try PolicyFolder(contentsOf: "pi0_towel")
///     let policy = try RobotPolicy(folder, tokenizer: tokenizer, on: .cpu)
///     let chunk = try policy.infer(
///       RobotObservation(images: ["top": frame], state: joints, prompt: "fold the towel"))
///
/// A value without state: one policy may serve several threads.
///
/// Source: `Policy` in openpi's `policy.py`; the processors around lerobot's `PI0Policy`.
public struct RobotPolicy: Sendable {
  /// The model.
  public let policy: Policy
  /// What lies between robot and model, from the robot on.
  public let transforms: [any Transform]
  /// How frames are brought to the model's size.
  public let resizing: ImageResizing
  /// Actions of a chunk that are meant to be executed before the next inference.
  public let executedSteps: Int
  /// Cameras, state and actions as the robot has them.
  public let interface: RobotInterface

  /// A policy with transforms of the caller's.
  ///
  /// - Parameters:
  ///   - policy: the model.
  ///   - transforms: from the robot to the model. What they leave must be camera names of the
  ///     model, a normalised state and token ids; what they take back are normalised actions.
  ///   - resizing: how frames are brought to the model's size.
  ///   - executedSteps: the whole chunk unless given.
  /// - Throws: ``PI0Error/configuration(_:)`` where `executedSteps` is not within the chunk.
  public init(
    policy: Policy, transforms: [any Transform], resizing: ImageResizing = .pillow,
    executedSteps: Int? = nil
  ) throws(PI0Error) {
    let configuration = policy.configuration
    let executedSteps = executedSteps ?? configuration.actionHorizon
    guard (1...configuration.actionHorizon).contains(executedSteps) else {
      throw .configuration(
        "\(executedSteps) steps to execute, of a chunk of \(configuration.actionHorizon)")
    }
    self.policy = policy
    self.transforms = transforms
    self.resizing = resizing
    self.executedSteps = executedSteps
    let modelSide = RobotInterface(
      cameras: configuration.cameras, actionDimension: configuration.actionDimension)
    interface = transforms.reversed().reduce(modelSide) { $1.robotSide(of: $0) }
  }

  /// The actions for an observation.
  ///
  /// - Parameters:
  ///   - observation: in the robot's names and units.
  ///   - noise: float `[horizon, dimension]` of the model, or the same with a leading 1; new
  ///     random noise unless given.
  ///   - schedule: the configuration's number of steps unless given.
  ///   - onProgress: called as parts complete, on the calling thread.
  /// - Throws: ``PI0Error/input(_:)`` for an observation that does not fit, says what is wrong with
  ///   it; ``PI0Error`` where the computation fails.
  public func infer(
    _ observation: RobotObservation, noise: Tensor? = nil, schedule: DenoisingSchedule? = nil,
    onProgress: (PolicyProgress) -> Void = { _ in }
  ) throws(PI0Error) -> ActionChunk {
    if let index = observation.state.firstIndex(where: { !$0.isFinite }) {
      throw .input("state[\(index)] is \(observation.state[index]); every value must be finite")
    }
    // What each transform is given, and at the end what the model is.
    var stages = [observation]
    for transform in transforms { stages.append(try transform.forward(stages[stages.count - 1])) }
    let configuration = policy.configuration
    let inputs = try modelObservation(stages[stages.count - 1])
      .inputs(for: configuration, on: policy.device)

    let shape = [1, configuration.actionHorizon, configuration.actionDimension]
    let start: Tensor
    if let noise {
      guard noise.shape == shape || noise.shape == Array(shape.dropFirst()) else {
        throw .input("noise must be floats \(shape), found \(noise)")
      }
      start = try noise.moved(to: policy.device).reshaped(shape)
    } else {
      start = try .normal(shape, seed: .random(in: 0 ... .max), device: policy.device)
    }
    let actions = try policy.sampleActions(
      inputs, noise: start, schedule: schedule, onProgress: onProgress
    ).floats()
    guard actions.allSatisfy(\.isFinite) else {
      throw .input("the model's actions are not finite: its weights or inputs are damaged")
    }

    var chunk = try ActionChunk(
      horizon: configuration.actionHorizon, dimension: configuration.actionDimension,
      values: actions.map(Double.init))
    for (transform, stage) in zip(transforms, stages).reversed() {
      chunk = try transform.inverse(chunk, for: stage)
    }
    return chunk
  }

  /// The observation as the model takes it, before it becomes tensors.
  private func modelObservation(_ observation: RobotObservation) throws(PI0Error) -> Observation {
    switch observation.prompt {
    case .tokens(let tokens):
      return Observation(
        images: observation.images, maskedCameras: observation.maskedCameras,
        state: observation.state.map(Float.init), tokens: tokens, resizing: resizing)
    case .text(let text):
      throw .input(
        "there is no tokenizer for the prompt \(text.quoted): give one when the policy is made "
          + "(SentencePieceTokenizer in PI0Tokenizer), or give token ids instead of a sentence")
    case nil:
      throw .input("the observation has no prompt: give a sentence, or token ids")
    }
  }
}

extension RobotPolicy {
  /// Loads the policy of a folder.
  ///
  /// - Parameters:
  ///   - folder: see ``PolicyFolder``.
  ///   - preset: of the robot; openpi's folders need one, lerobot's take none.
  ///   - tokenizer: for sentences; without one, prompts must be token ids.
  ///   - truncatesPrompts: see ``TokenizePrompt/truncates``.
  ///   - device: where to run.
  /// - Throws: ``PI0Error/configuration(_:)`` that lists everything that would make wrong actions;
  ///   ``PI0Error/checkpoint(path:problems:)`` for weights that do not fit.
  public init(
    _ folder: PolicyFolder, preset: RobotPreset? = nil,
    tokenizer: (any PromptTokenizer)? = nil, truncatesPrompts: Bool = false,
    on device: Device = .reference
  ) throws(PI0Error) {
    let transforms = try folder.transforms(
      preset: preset, tokenizer: tokenizer, truncatesPrompts: truncatesPrompts)
    try self.init(
      policy: Policy(checkpoint: folder.checkpoint, on: device), transforms: transforms,
      resizing: folder.resizing, executedSteps: folder.executedSteps)
  }
}
