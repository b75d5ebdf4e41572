import Dispatch
import PI0Kit
import Synchronization

/// What a server has done so far, for `/metrics` and the status page.
final class ServerStatistics: Sendable {
  private let state = Mutex(State())
  let start = ContinuousClock.now

  /// A copy of everything.
  var snapshot: State { state.withLock { $0 } }

  struct State: Sendable {
    /// Clients of the policy that are connected, and that ever were.
    var clients = 0
    var connections = 0
    /// Requests that wait for their turn.
    var waiting = 0
    /// Errors by ``ErrorKind``.
    var errors: [ErrorKind: Int] = [:]
    /// Connections that were refused by ``Refusal``.
    var refusals: [Refusal: Int] = [:]
    /// Bytes of whole messages.
    var receivedBytes = 0
    var sentBytes = 0
    var waitingTimes = Histogram()
    var inferenceTimes = Histogram()
    /// The last inferences, oldest first.
    var recent: [Inference] = []
    /// What the last one gave.
    var lastChunk: ActionChunk?
  }

  /// Why a client was sent an error, or cut off.
  enum ErrorKind: String, CaseIterable, Sendable {
    /// The message is no observation.
    case message
    /// The policy threw.
    case policy
    /// The message is larger than is taken.
    case size
    /// Frames are not as WebSocket has them.
    case framing
    /// The client was silent, or too slow.
    case timeout
  }

  /// Why a connection was refused.
  enum Refusal: String, CaseIterable, Sendable {
    /// No key, or a wrong one.
    case key
    /// There are as many as there may be.
    case full
    /// A page of another site.
    case origin
  }

  /// One inference: seconds since the server's start, and how long waiting and computing took.
  struct Inference: Sendable {
    let time: Double
    let waiting: Double
    let computing: Double
  }

  /// Inferences that are remembered one by one.
  private static let remembered = 300

  // MARK: - Events

  /// Counts a client unless there are `limit` already.
  func clientConnects(limit: Int) -> Bool {
    state.withLock {
      guard $0.clients < limit else { return false }
      $0.clients += 1
      $0.connections += 1
      return true
    }
  }

  func clientLeaves() { state.withLock { $0.clients -= 1 } }

  func requestWaits() { state.withLock { $0.waiting += 1 } }

  /// A request is computed next, or was taken back.
  func requestLeaves() { state.withLock { $0.waiting -= 1 } }

  func requestEnds(
    _ result: Result<ActionChunk, InferenceQueue.RequestError>, _ timing: InferenceQueue.Timing
  ) {
    let now = (ContinuousClock.now - start).seconds
    let (waiting, computing) = (timing.waiting.seconds, timing.inference.seconds)
    state.withLock {
      switch result {
      case .success(let chunk):
        $0.lastChunk = chunk
        $0.waitingTimes.add(waiting)
        $0.inferenceTimes.add(computing)
        if $0.recent.count >= Self.remembered { $0.recent.removeFirst() }
        $0.recent.append(Inference(time: now, waiting: waiting, computing: computing))
      case .failure(.message): $0.errors[.message, default: 0] += 1
      case .failure(.policy): $0.errors[.policy, default: 0] += 1
      }
    }
  }

  func received(byteCount: Int) { state.withLock { $0.receivedBytes += byteCount } }

  func sent(byteCount: Int) { state.withLock { $0.sentBytes += byteCount } }

  func count(_ error: ErrorKind) { state.withLock { $0.errors[error, default: 0] += 1 } }

  func count(_ refusal: Refusal) { state.withLock { $0.refusals[refusal, default: 0] += 1 } }
}

/// How many durations are at most as long as each bound.
struct Histogram: Sendable {
  /// Seconds.
  static let bounds = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
  ]
  /// For each bound how many are within it, and not within the one before.
  private(set) var counts = [Int](repeating: 0, count: bounds.count)
  private(set) var count = 0
  private(set) var sum = 0.0

  mutating func add(_ seconds: Double) {
    count += 1
    sum += seconds
    if let index = Self.bounds.firstIndex(where: { seconds <= $0 }) { counts[index] += 1 }
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
