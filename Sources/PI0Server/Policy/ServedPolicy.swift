import PI0Kit

/// What a server serves.
public protocol ServedPolicy: Sendable {
  /// What every client is told first.
  var metadata: [String: MessagePackValue] { get }

  /// Where the parts of an observation are in what clients send.
  var keys: ObservationKeys { get }

  /// The actions for an observation. Called from one thread at a time, never an event loop's.
  ///
  /// - Parameters:
  ///   - observation: in the robot's names and units.
  ///   - noise: float32 `[horizon, dimension]`; new random noise unless given.
  /// - Throws: `PI0Error`, whose text the client is sent.
  func actions(
    for observation: RobotObservation, noise: Tensor?
  ) throws(PI0Error) -> ActionChunk
}

/// A robot's policy as a server serves it.
public struct ServedRobotPolicy: ServedPolicy {
  /// The policy.
  public let policy: RobotPolicy
  /// Where the parts of an observation are in what clients send.
  public let keys: ObservationKeys

  /// Serves a policy; `keys` are those of its preset, if it has one.
  public init(_ policy: RobotPolicy, keys: ObservationKeys = ObservationKeys()) {
    self.policy = policy
    self.keys = keys
  }

  /// Kind, device and sizes of the policy, and the names of its cameras.
  public var metadata: [String: MessagePackValue] {
    let configuration = policy.policy.configuration
    var metadata: [String: MessagePackValue] = [
      "server": .string("PI0Kit"),
      "policy": .string(configuration.variant.rawValue),
      "device": .string(policy.policy.device.name),
      "cameras": .list(policy.interface.cameras.map { .string($0) }),
      "action_horizon": .integer(Int64(configuration.actionHorizon)),
      "action_dimension": .integer(Int64(policy.interface.actionDimension)),
      "executed_steps": .integer(Int64(policy.executedSteps)),
    ]
    if let dimension = policy.interface.stateDimension {
      metadata["state_dimension"] = .integer(Int64(dimension))
    }
    return metadata
  }

  /// What the policy infers.
  public func actions(
    for observation: RobotObservation, noise: Tensor?
  ) throws(PI0Error) -> ActionChunk {
    try policy.infer(observation, noise: noise)
  }
}
