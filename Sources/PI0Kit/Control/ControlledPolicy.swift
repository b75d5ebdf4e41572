import Glibc

/// A policy on a thread of its own: inferences run there, one at a time, and nobody waits for them
/// who does not want to.
///
///     let controlled = try ControlledPolicy(policy)
///     let inference = try await controlled.infer(observation)
public final class ControlledPolicy: Sendable {
  /// The policy.
  public let policy: any ChunkPolicy
  private let jobs: Monitor<Jobs>
  private let thread: pthread_t

  /// Starts the thread.
  ///
  /// - Parameters:
  ///   - policy: what computes.
  ///   - onInference: called on that thread with every inference that succeeded, before anybody
  ///     else gets it; see ``RunRecorder``.
  /// - Throws: ``PI0Error/device(_:)`` where the system has no thread to give.
  public init(
    _ policy: any ChunkPolicy,
    onInference: (@Sendable (RobotObservation, Inference) -> Void)? = nil
  ) throws(PI0Error) {
    self.policy = policy
    let jobs = Monitor(Jobs())
    self.jobs = jobs
    thread = try Self.start { Self.work(policy, jobs, onInference) }
  }

  deinit {
    for job in jobs.withLock({ $0.end() }) { job.completion(.discarded) }
    // A completion may have held the last reference: a thread cannot wait for its own end.
    if pthread_equal(pthread_self(), thread) != 0 {
      pthread_detach(thread)
    } else {
      pthread_join(thread, nil)
    }
  }

  // MARK: - Requests

  /// Puts an inference in line and returns at once.
  ///
  /// - Parameters:
  ///   - observation: in the robot's names and units.
  ///   - seed: of the noise, random unless given.
  ///   - replacesWaiting: lets this one take the place of all that wait, which end as
  ///     ``InferenceOutcome/replaced``: for a robot, what it saw before is of no use any more.
  ///   - completion: called once, on the policy's thread, or on this one for what is replaced.
  public func request(
    _ observation: RobotObservation, seed: UInt64? = nil, replacesWaiting: Bool = false,
    completion: @escaping @Sendable (InferenceOutcome) -> Void
  ) {
    let job = Job(
      observation: observation, seed: seed ?? .random(in: 0 ... .max), completion: completion)
    let replaced = jobs.withLock { $0.add(job, replacesWaiting: replacesWaiting) }
    for job in replaced { job.completion(.replaced) }
  }

  /// The actions for an observation; the task that asks is suspended, and its thread free.
  ///
  /// - Parameters: as those of ``request(_:seed:replacesWaiting:completion:)``.
  /// - Throws: ``PI0Error`` where the inference fails; ``PI0Error/input(_:)`` where a newer
  ///   observation took its place, or a reset came before.
  public func infer(
    _ observation: RobotObservation, seed: UInt64? = nil, replacesWaiting: Bool = false
  ) async throws(PI0Error) -> Inference {
    let outcome = await withCheckedContinuation { continuation in
      request(observation, seed: seed, replacesWaiting: replacesWaiting) {
        continuation.resume(returning: $0)
      }
    }
    switch outcome {
    case .finished(let inference): return inference
    case .failed(let error): throw error
    case .replaced: throw .input("a newer observation took the place of this one")
    case .discarded: throw .input("the policy was reset before it came to this observation")
    }
  }

  /// Forgets what waits, and the result of what is being computed: all of these end as
  /// ``InferenceOutcome/discarded``.
  public func reset() {
    for job in jobs.withLock({ $0.reset() }) { job.completion(.discarded) }
  }

  /// Infers a few times, so that everything is loaded, packed and allocated that the first
  /// inferences need. Waits until that is done.
  ///
  /// - Parameters:
  ///   - observation: one as the robot will make them.
  ///   - count: of inferences.
  /// - Returns: their timings; the last ones are what to expect.
  /// - Throws: ``PI0Error`` where an inference fails.
  public func warmUp(
    _ observation: RobotObservation, count: Int = 3
  ) throws(PI0Error) -> [InferenceTimings] {
    var timings: [InferenceTimings] = []
    for seed in 0..<UInt64(max(count, 0)) {
      let mailbox = InferenceMailbox(self)
      mailbox.request(observation, seed: seed)
      switch mailbox.outcome() {
      case .finished(let inference): timings.append(inference.timings)
      case .failed(let error): throw error
      default: throw .input("the policy was reset while it warmed up")
      }
    }
    return timings
  }

  // MARK: - The thread

  private struct Job: Sendable {
    let observation: RobotObservation
    let seed: UInt64
    let asked = ContinuousClock.now
    let completion: @Sendable (InferenceOutcome) -> Void
  }

  private struct Jobs {
    private var waiting: [Job] = []
    private var isEnding = false
    /// Counts resets: the result of a job from before one is discarded.
    private(set) var epoch = 0

    mutating func add(_ job: Job, replacesWaiting: Bool) -> [Job] {
      let replaced = replacesWaiting ? waiting : []
      if replacesWaiting { waiting.removeAll(keepingCapacity: true) }
      waiting.append(job)
      return replaced
    }

    mutating func reset() -> [Job] {
      epoch += 1
      defer { waiting.removeAll(keepingCapacity: true) }
      return waiting
    }

    mutating func end() -> [Job] {
      isEnding = true
      return reset()
    }

    /// The next job, `.some(nil)` where there will be none any more, nil while there is none.
    mutating func next() -> (job: Job, epoch: Int)?? {
      if isEnding { return .some(nil) }
      return waiting.isEmpty ? nil : (waiting.removeFirst(), epoch)
    }
  }

  private static func work(
    _ policy: any ChunkPolicy, _ jobs: Monitor<Jobs>,
    _ onInference: (@Sendable (RobotObservation, Inference) -> Void)?
  ) {
    while case .some(.some((let job, let epoch))) = jobs.wait(for: { $0.next() }) {
      let outcome = run(job, policy)
      if case .finished(let inference) = outcome { onInference?(job.observation, inference) }
      let isCurrent = jobs.withLock { $0.epoch == epoch }
      job.completion(isCurrent ? outcome : .discarded)
    }
  }

  private static func run(_ job: Job, _ policy: any ChunkPolicy) -> InferenceOutcome {
    let start = ContinuousClock.now
    var timings = InferenceTimings()
    timings.waiting = start - job.asked
    var last = start
    do throws(PI0Error) {
      let noise = try policy.noise(seed: job.seed)
      let chunk = try policy.infer(job.observation, noise: noise) { progress in
        let now = ContinuousClock.now
        timings.add(now - last, to: progress.part)
        last = now
      }
      timings.computing = start.duration(to: .now)
      return .finished(Inference(chunk: chunk, noise: noise, timings: timings))
    } catch {
      return .failed(error)
    }
  }

  private final class Body: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  private static func start(_ run: @escaping @Sendable () -> Void) throws(PI0Error) -> pthread_t {
    var thread = pthread_t()
    let body = Unmanaged.passRetained(Body(run))
    let status = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run() }
        return nil
      }, body.toOpaque())
    guard status == 0 else {
      body.release()
      throw .device("no thread for the policy: \(String(cString: strerror(status)))")
    }
    return thread
  }
}
