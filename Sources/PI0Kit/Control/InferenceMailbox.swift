/// A control loop's side of a ``ControlledPolicy``: what the loop asks takes the place of what
/// waits, and what comes back lies here until the loop takes it.
public final class InferenceMailbox: InferenceService, Sendable {
  private struct Contents {
    var request = 0
    var outcome: InferenceOutcome?
  }

  private let policy: ControlledPolicy
  private let contents = Monitor(Contents())

  /// A mailbox for a policy's answers.
  public init(_ policy: ControlledPolicy) { self.policy = policy }

  /// Asks the policy; what waits for it, whoever asked, is replaced.
  public func request(_ observation: RobotObservation, seed: UInt64) {
    let contents = contents
    let number = contents.withLock {
      $0.request += 1
      $0.outcome = nil
      return $0.request
    }
    policy.request(observation, seed: seed, replacesWaiting: true) { outcome in
      contents.withLock {
        if $0.request == number { $0.outcome = outcome }
      }
    }
  }

  /// The outcome of the last request, once; nil while it is not there.
  public func outcome(waiting timeout: Duration) -> InferenceOutcome? {
    contents.wait(atMost: timeout, for: Self.taken)
  }

  /// The outcome, for which this waits as long as it takes.
  func outcome() -> InferenceOutcome {
    contents.wait(for: Self.taken) ?? .discarded
  }

  private static func taken(_ contents: inout Contents) -> InferenceOutcome? {
    defer { contents.outcome = nil }
    return contents.outcome
  }

  /// Forgets the last request, and resets the policy.
  public func reset() {
    contents.withLock {
      $0.request += 1
      $0.outcome = nil
    }
    policy.reset()
  }
}
