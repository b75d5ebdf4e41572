/// Makes one action a tick of chunks that arrive some ticks after their observation.
///
/// The executor counts ticks and nothing else: it has no clock, no thread and no policy, which is
/// ``ControlLoop``'s part. A tick goes in this order:
///
///     if the outcome of an inference is there: receive(_:) or inferenceFailed()
///     if executor.wantsInference: observe, request, inferenceStarted()
///     let tick = executor.next()
///
/// A chunk's step `i` is meant for the tick `i` after its observation. Executing sequentially, the
/// robot waits for the chunk, and step 0 is for the tick that it arrives in.
public struct ChunkExecutor: Sendable {
  /// When inferences are made.
  public enum Mode: Sendable, Equatable {
    /// The chunk runs out, then the next one is inferred.
    case sequential
    /// The next chunk is inferred while this one is executed.
    case asynchronous(Lead)
  }

  /// How many ticks before the steps to execute run out the next inference starts.
  public enum Lead: Sendable, Equatable {
    /// So many.
    case ticks(Int)
    /// As many as the slowest of the last sixteen inferences took, and one; at once after the first
    /// chunk.
    case measured
  }

  /// What is done in a tick that has no action.
  public enum Fallback: Sendable, Equatable {
    /// The robot keeps its place, however it is told so.
    case hold
    /// The last action once more, or ``hold`` where there was none.
    case lastAction
    /// No more actions until a reset.
    case stop
  }

  /// What a tick's action is.
  public enum Command: Sendable, Equatable {
    /// An action of a chunk, in the robot's units.
    case action(ArraySlice<Double>)
    /// The robot is to keep its place.
    case hold
    /// The last action once more.
    case repeated(ArraySlice<Double>)
    /// The run is over.
    case stop
  }

  /// What happened in a tick.
  public struct Tick: Sendable, Equatable {
    /// Ticks before this one.
    public let number: Int
    /// What the robot is to do.
    public let command: Command
    /// How many ticks ago its observation was made; nil without an action of a chunk.
    public let staleness: Int?
    /// Whether there was no action for this tick: the fallback was taken.
    public var isMissed: Bool { staleness == nil }
  }

  /// What became of a chunk.
  public struct Arrival: Sendable, Equatable {
    /// Ticks since its observation.
    public let delay: Int
    /// Its first steps that were left out, because their time has passed.
    public let dropped: Int
    /// Steps that were blended with the chunk before.
    public let blended: Int
    /// Ticks that had no action, because this chunk was not there.
    public let missed: Int
    /// Whether all of its steps were for ticks that have passed: nothing of it is executed.
    public let isStale: Bool
  }

  /// When inferences are made.
  public let mode: Mode
  /// Steps of a chunk to execute before the next is wanted. If that one is late, asynchronous
  /// execution goes on with the chunk's further steps.
  public let executedSteps: Int
  /// Steps over which asynchronous execution fades from one chunk to the next: of `n` common steps,
  /// step `j` is `old + (new - old) * (j + 1) / (n + 1)`; 0 changes at once.
  public let blendedSteps: Int
  /// What is done in a tick that has no action.
  public let fallback: Fallback

  /// The number of the tick that is due.
  public private(set) var tick = 0
  /// Whether an inference has started and not ended.
  public private(set) var isInferring = false

  private var chunk: ActionChunk?
  private var origin = 0  // the tick of the chunk's step 0
  private var observed = 0  // the tick of the chunk's observation
  private var observing = 0  // the tick of the observation that is being inferred
  private var missed = 0  // ticks without an action since the last chunk
  private var lastAction: ArraySlice<Double>?
  private var isStopped = false
  private var delays = RecentMaximum()

  /// An executor that has no chunk yet.
  ///
  /// - Throws: ``PI0Error/configuration(_:)`` for numbers of steps that cannot be.
  public init(
    _ mode: Mode, executedSteps: Int, blendedSteps: Int = 0, fallback: Fallback = .hold
  ) throws(PI0Error) {
    guard executedSteps > 0, blendedSteps >= 0 else {
      throw .configuration(
        "\(executedSteps) steps to execute, \(blendedSteps) to blend: the first must be 1 or more, "
          + "the second 0 or more")
    }
    if case .asynchronous(.ticks(let lead)) = mode, lead < 0 {
      throw .configuration("a lead of \(lead) ticks: it must be 0 or more")
    }
    self.mode = mode
    self.executedSteps = executedSteps
    self.blendedSteps = blendedSteps
    self.fallback = fallback
  }

  /// Whether an inference is to start in the tick that is due.
  public var wantsInference: Bool {
    guard !isInferring, !isStopped else { return false }
    guard let chunk else { return true }
    let end = min(executedSteps, chunk.horizon)
    switch mode {
    case .sequential: return tick - origin >= end
    case .asynchronous(.ticks(let lead)): return tick - origin >= end - lead
    case .asynchronous(.measured):
      return tick - origin >= end - (delays.maximum.map { $0 + 1 } ?? end)
    }
  }

  /// An inference has started, with an observation of the tick that is due.
  public mutating func inferenceStarted() {
    isInferring = true
    observing = tick
  }

  /// The inference that had started gave no chunk.
  public mutating func inferenceFailed() { isInferring = false }

  /// The chunk of the inference that had started is there, before the action of the tick that is
  /// due is taken.
  ///
  /// - Returns: what becomes of it; nil, and nothing, where no inference had started.
  /// - Throws: ``PI0Error/input(_:)`` for a chunk of another dimension than the one before.
  public mutating func receive(_ new: ActionChunk) throws(PI0Error) -> Arrival? {
    guard isInferring else { return nil }
    isInferring = false
    if let chunk, chunk.dimension != new.dimension {
      throw .input(
        "a chunk of dimension \(new.dimension) after one of dimension \(chunk.dimension)")
    }
    let delay = tick - observing
    delays.append(delay)
    defer { missed = 0 }
    if mode == .sequential {
      (chunk, origin, observed) = (new, tick, observing)
      return Arrival(
        delay: delay, dropped: 0, blended: 0, missed: missed, isStale: new.horizon == 0)
    }
    guard delay < new.horizon else {
      return Arrival(
        delay: delay, dropped: new.horizon, blended: 0, missed: missed, isStale: true)
    }
    let common = min(chunk.map { origin + $0.horizon - tick } ?? 0, new.horizon - delay)
    let blended = max(0, min(blendedSteps, common))
    var next = new
    if let chunk, blended > 0 {
      try next.blend(chunk, from: tick - origin, at: delay, steps: blended)
    }
    (chunk, origin, observed) = (next, observing, observing)
    return Arrival(delay: delay, dropped: delay, blended: blended, missed: missed, isStale: false)
  }

  /// The action of the tick that is due; the next one is due then.
  public mutating func next() -> Tick {
    defer { tick += 1 }
    if !isStopped, let chunk, let step = executableStep(chunk) {
      let action = chunk[step]
      lastAction = action
      return Tick(number: tick, command: .action(action), staleness: tick - observed)
    }
    missed += 1
    return Tick(number: tick, command: fallbackCommand(), staleness: nil)
  }

  /// Ticks went by in which nobody asked for an action. Their steps are not executed.
  public mutating func skip(_ ticks: Int) {
    tick += max(ticks, 0)
    missed += max(ticks, 0)
  }

  /// Forgets the chunk, the inference that has started, and a stop; measured delays remain.
  public mutating func reset() {
    chunk = nil
    lastAction = nil
    isInferring = false
    isStopped = false
    missed = 0
  }

  /// Whether a chunk has an action for the tick that is due.
  public var hasAction: Bool {
    !isStopped && chunk.flatMap { executableStep($0) } != nil
  }

  private func executableStep(_ chunk: ActionChunk) -> Int? {
    let step = tick - origin
    let end = mode == .sequential ? min(executedSteps, chunk.horizon) : chunk.horizon
    return step < end ? step : nil
  }

  private mutating func fallbackCommand() -> Command {
    if isStopped { return .stop }
    switch (fallback, lastAction) {
    case (.stop, _):
      // Before the first chunk there is nothing to stop.
      guard chunk != nil else { return .hold }
      isStopped = true
      return .stop
    case (.lastAction, .some(let action)): return .repeated(action)
    default: return .hold
    }
  }
}

extension ActionChunk {
  /// Fades from `old`, from its step `from` on, to this chunk, from its step `at` on.
  fileprivate mutating func blend(
    _ old: ActionChunk, from: Int, at: Int, steps: Int
  ) throws(PI0Error) {
    var values = values
    for step in 0..<steps {
      let share = Double(step + 1) / Double(steps + 1)
      for (index, before) in zip(
        (at + step) * dimension..<(at + step + 1) * dimension, old[from + step])
      {
        values[index] = before + (values[index] - before) * share
      }
    }
    self = try ActionChunk(horizon: horizon, dimension: dimension, values: values)
  }
}

/// The largest of the last sixteen numbers.
private struct RecentMaximum: Sendable {
  private var values: [Int] = []
  private var next = 0
  private static let capacity = 16

  mutating func append(_ value: Int) {
    if values.count < Self.capacity {
      values.append(value)
    } else {
      values[next] = value
      next = (next + 1) % Self.capacity
    }
  }

  var maximum: Int? { values.max() }
}
