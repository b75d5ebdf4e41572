import Glibc
public import Logging

/// What happened in a tick of a ``ControlLoop``.
public struct ControlTick: Sendable {
  /// Ticks before this one.
  public let number: Int
  /// What the robot is to do.
  public let command: ChunkExecutor.Command
  /// How many ticks ago its observation was made; nil without an action of a chunk.
  public let staleness: Int?
  /// What became of the chunk that arrived in this tick; nil where none did.
  public let arrival: ChunkExecutor.Arrival?
  /// That chunk, as the policy gave it.
  public let inference: Inference?
  /// Why an inference failed; nil where none did. The next tick asks again.
  public let failure: PI0Error?
  /// Whether there was no action for this tick: the fallback was taken.
  public var isMissed: Bool { staleness == nil }
}

/// Runs a policy at a robot's rate: one action a tick, whatever inference takes.
///
///     var loop = try ControlLoop(
///       InferenceMailbox(controlled),
///       executor: ChunkExecutor(.asynchronous(.measured), executedSteps: 10), budget: .zero)
///     try loop.run(ticksPerSecond: 50) { robot.observation() } act: { tick in
///       robot.follow(tick.command)
///       return !robot.isDone
///     }
///
/// A tick is due at a multiple of the period after the start. It waits for a chunk only where there
/// is no action otherwise, and never longer than its budget.
public struct ControlLoop<Service: InferenceService> {
  /// Makes actions of chunks.
  public private(set) var executor: ChunkExecutor
  /// How long a tick waits for a chunk, at most.
  public let budget: Duration
  /// What the loop did so far.
  public private(set) var statistics: ControlStatistics
  private var service: Service
  private let logger: Logger?
  private let seed: (Int) -> UInt64
  private var requests = 0

  /// A loop that has not run.
  ///
  /// - Parameters:
  ///   - service: who infers; an ``InferenceMailbox``.
  ///   - executor: makes actions of chunks.
  ///   - budget: how long a tick waits for a chunk, at most.
  ///   - statistics: to be continued.
  ///   - logger: told of failures (error), missed ticks (warning) and late chunks (notice), and at the
  ///     end of a run of the statistics (info). A tick that goes well says nothing.
  ///   - seed: of the noise by the number of the request; random unless given.
  public init(
    _ service: Service, executor: ChunkExecutor, budget: Duration,
    statistics: ControlStatistics = ControlStatistics(), logger: Logger? = nil,
    seed: @escaping (Int) -> UInt64 = { _ in .random(in: 0 ... .max) }
  ) {
    self.service = service
    self.executor = executor
    self.budget = budget
    self.statistics = statistics
    self.logger = logger
    self.seed = seed
  }

  /// One tick: takes in a chunk that is there, requests the next one where it is time, and gives
  /// the action.
  ///
  /// - Parameter observe: called where an observation is needed.
  /// - Throws: what `observe` throws; the executor is then where it was.
  public mutating func tick<Failure>(
    observe: () throws(Failure) -> RobotObservation
  ) throws(Failure) -> ControlTick {
    let start = ContinuousClock.now
    var news: News?
    if executor.isInferring { news = take(service.outcome(waiting: .zero)) }
    if executor.wantsInference {
      let observation = try observe()
      service.request(observation, seed: seed(requests))
      requests += 1
      executor.inferenceStarted()
    }
    if executor.isInferring, !executor.hasAction, budget > .zero {
      news = take(service.outcome(waiting: budget - start.duration(to: .now))) ?? news
    }
    let tick = executor.next()
    statistics.ticks += 1
    if let staleness = tick.staleness {
      statistics.staleness.record(staleness)
    } else {
      statistics.missedTicks += 1
      logger?.warning("no action for tick \(tick.number): \(tick.command)")
    }
    statistics.tickTime.record(start.duration(to: .now))
    return ControlTick(
      number: tick.number, command: tick.command, staleness: tick.staleness,
      arrival: news?.arrival, inference: news?.inference, failure: news?.failure)
  }

  private struct News {
    var arrival: ChunkExecutor.Arrival?
    var inference: Inference?
    var failure: PI0Error?
  }

  private mutating func take(_ outcome: InferenceOutcome?) -> News? {
    switch outcome {
    case nil: return nil
    case .finished(let inference):
      do throws(PI0Error) {
        guard let arrival = try executor.receive(inference.chunk) else { return nil }
        statistics.chunks += 1
        if arrival.missed > 0 {
          statistics.lateChunks += 1
          logger?.notice("a chunk came \(arrival.missed) ticks late")
        }
        if arrival.isStale { statistics.staleChunks += 1 }
        statistics.latency.record(inference.timings.latency)
        return News(arrival: arrival, inference: inference)
      } catch {
        return failed(error)
      }
    case .failed(let error): return failed(error)
    case .replaced, .discarded: return failed(.input("the inference was taken back"))
    }
  }

  private mutating func failed(_ error: PI0Error) -> News {
    executor.inferenceFailed()
    statistics.failures += 1
    logger?.error("inference failed: \(error)")
    return News(failure: error)
  }

  /// Forgets chunks and requests, as before another episode. Statistics go on.
  public mutating func reset() {
    service.reset()
    executor.reset()
  }

  /// Keeps a rate until `act` returns false. Ticks whose time has passed, because one before took
  /// longer, are skipped and counted.
  ///
  /// - Parameters:
  ///   - ticksPerSecond: the robot's rate.
  ///   - observe: called where an observation is needed.
  ///   - act: called with each tick, to do what it says.
  /// - Throws: what the two throw.
  public mutating func run<Failure>(
    ticksPerSecond: Double, observe: () throws(Failure) -> RobotObservation,
    act: (ControlTick) throws(Failure) -> Bool
  ) throws(Failure) {
    let period = Duration.seconds(1 / max(ticksPerSecond, 1e-6))
    var start = timespec()
    clock_gettime(CLOCK_MONOTONIC, &start)
    let begun = ContinuousClock.now
    var due = 0
    defer { logger?.info("\(statistics)") }
    while try act(tick(observe: observe)) {
      due += 1
      let passed = Int(begun.duration(to: .now) / period)
      if passed > due {
        executor.skip(passed - due)
        statistics.ticks += passed - due
        statistics.skippedTicks += passed - due
        due = passed
      }
      var wake = start.later(by: period * due)
      while clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, nil) == EINTR {}
    }
  }
}
