import PI0Kit

/// What happened in an episode.
struct ArmEpisode {
  /// What a chunk was to do: the tick of its first action, and the joints it commands from there.
  struct Prediction {
    let tick: Int
    let joints: [[Double]]
  }

  let seed: UInt64
  let targets: [ArmTask.Point]
  let wanted: ArmTask.Target
  let isReached: Bool
  /// The joints before each tick, and after the last.
  let path: [[Double]]
  let predictions: [Prediction]

  var ticks: Int { path.count - 1 }
}

/// Runs episodes in closed loop: camera and joints in, commands to the joints out.
struct ArmRunner {
  private let isAsynchronous: Bool
  private let policy: ControlledPolicy
  private let executor: ChunkExecutor
  private(set) var statistics = ControlStatistics()

  /// Waiting, the robot's time stands still while the policy infers. Otherwise it goes on, as does
  /// the robot.
  init(
    _ policy: ControlledPolicy, executedSteps: Int, isAsynchronous: Bool
  ) throws(PI0Error) {
    self.policy = policy
    self.isAsynchronous = isAsynchronous
    executor = try ChunkExecutor(
      isAsynchronous ? .asynchronous(.measured) : .sequential, executedSteps: executedSteps,
      blendedSteps: isAsynchronous ? 2 : 0)
  }

  mutating func run(seed: UInt64) throws(PI0Error) -> ArmEpisode {
    var arm = ArmTask(seed: seed)
    var path = [arm.joints]
    var predictions: [ArmEpisode.Prediction] = []
    var loop = ControlLoop(
      InferenceMailbox(policy), executor: executor,
      budget: isAsynchronous ? .zero : .seconds(3600), statistics: statistics,
      seed: { ArmTask.noiseSeed(episode: seed, chunk: $0) })

    let observe = { () throws(PI0Error) in try arm.observation() }
    let act = { (tick: ControlTick) throws(PI0Error) -> Bool in
      if let failure = tick.failure { throw failure }
      if let chunk = tick.inference?.chunk {
        predictions.append(
          .init(
            tick: tick.number - (tick.staleness ?? 0),
            joints: (0..<chunk.horizon).map { Array(chunk[$0]) }))
      }
      switch tick.command {
      case .action(let action), .repeated(let action): arm.move(to: action)
      case .hold, .stop: arm.move(to: arm.joints)
      }
      path.append(arm.joints)
      return !arm.isReached && path.count <= ArmTask.maximumTicks
    }
    if isAsynchronous {
      try loop.run(ticksPerSecond: ArmTask.ticksPerSecond, observe: observe, act: act)
    } else {
      while try act(loop.tick(observe: observe)) {}
    }
    statistics = loop.statistics
    return ArmEpisode(
      seed: seed, targets: arm.targets, wanted: arm.wanted, isReached: arm.isReached, path: path,
      predictions: predictions)
  }
}
