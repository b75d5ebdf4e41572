/// What a control loop runs: something that computes a chunk of actions for an observation.
///
/// ``RobotPolicy`` is one.
public protocol ChunkPolicy: Sendable {
  /// Cameras, state and actions as the robot has them.
  var interface: RobotInterface { get }
  /// Actions in a chunk.
  var horizon: Int { get }
  /// Actions of a chunk that are meant to be executed before the next one; at most ``horizon``.
  var executedSteps: Int { get }

  /// The standard normal noise from which a chunk is denoised, the same for the same seed.
  ///
  /// - Throws: ``PI0Error`` where there is no memory for it.
  func noise(seed: UInt64) throws(PI0Error) -> Tensor

  /// The actions for an observation.
  ///
  /// - Parameters:
  ///   - observation: in the robot's names and units.
  ///   - noise: as ``noise(seed:)`` gives it.
  ///   - onProgress: called as parts complete, on the calling thread.
  /// - Throws: ``PI0Error`` where the observation does not fit, or the computation fails.
  func infer(
    _ observation: RobotObservation, noise: Tensor, onProgress: (PolicyProgress) -> Void
  ) throws(PI0Error) -> ActionChunk
}

extension RobotPolicy: ChunkPolicy {
  /// Actions in a chunk.
  public var horizon: Int { policy.configuration.actionHorizon }

  /// The standard normal noise `[1, horizon, dimension]` of the model for a seed.
  ///
  /// - Throws: ``PI0Error`` where there is no memory for it.
  public func noise(seed: UInt64) throws(PI0Error) -> Tensor {
    try .normal(
      [1, policy.configuration.actionHorizon, policy.configuration.actionDimension], seed: seed,
      device: policy.device)
  }

  /// The actions for an observation, with the configuration's number of denoising steps.
  ///
  /// - Throws: ``PI0Error`` where the observation does not fit, or the computation fails.
  public func infer(
    _ observation: RobotObservation, noise: Tensor, onProgress: (PolicyProgress) -> Void
  ) throws(PI0Error) -> ActionChunk {
    try infer(observation, noise: noise, schedule: nil, onProgress: onProgress)
  }
}
