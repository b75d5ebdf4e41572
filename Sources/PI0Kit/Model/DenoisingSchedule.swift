/// The Euler steps from noise (time 1) to actions (time 0), with everything that depends on the
/// weights and the step alone. Made once, used for every chunk.
///
/// Source: the loop of `sample_actions` in openpi's `pi0_pytorch.py`; lerobot's `euler_integrate`.
public struct DenoisingSchedule: Sendable {
  /// One step.
  struct Step: Sendable {
    /// From 1 down.
    let time: Float
    let conditioning: Conditioning
  }

  /// How a step's time reaches the expert.
  enum Conditioning: Sendable {
    /// The time's share of action_time_mlp_in and its bias: one row `[width]` for all actions.
    case timeRow(Tensor)
    /// Scale, shift and gate of every adaptive norm.
    case modulation(Gemma.Modulation)
  }

  /// The most steps a schedule can have.
  static let maximumSteps = 10_000

  /// What a step adds of the velocity: `float32(-1 / steps)`.
  public let timeStep: Float
  let steps: [Step]
  /// The whole policy as one unit.
  let traces = TraceCache("policy")

  /// The times of all steps.
  public var times: [Float] { steps.map(\.time) }

  init(
    steps count: Int, times: PolicyConfiguration.Times,
    conditioning: (Float) throws(PI0Error) -> Conditioning
  ) throws(PI0Error) {
    guard (1...Self.maximumSteps).contains(count) else {
      throw .input("\(count) denoising steps asked for; choose 1 to \(Self.maximumSteps)")
    }
    timeStep = Float(-1 / Double(count))
    var steps: [Step] = []
    for time in Self.times(times, steps: count, timeStep: timeStep) {
      steps.append(Step(time: time, conditioning: try conditioning(time)))
    }
    self.steps = steps
  }

  private static func times(
    _ rule: PolicyConfiguration.Times, steps: Int, timeStep: Float
  ) -> [Float] {
    switch rule {
    case .accumulated:
      return Array(
        sequence(first: Float(1)) { $0 + timeStep }.prefix { $0 >= -timeStep / 2 })
    case .exact:
      let timeStep = -1 / Double(steps)
      return (0..<steps).map { Float(1 + Double($0) * timeStep) }
    }
  }
}
