import Dispatch
import PI0Kit
import Synchronization

/// Runs one inference at a time, in the order in which requests came.
final class InferenceQueue: Sendable {
  private let policy: any ServedPolicy
  private let statistics: ServerStatistics
  private let queue = DispatchQueue(label: "pi0.inference", qos: .userInitiated)

  init(policy: any ServedPolicy, statistics: ServerStatistics) {
    self.policy = policy
    self.statistics = statistics
  }

  /// Queues an observation. `completion` is called on the queue's thread, once, unless the request
  /// is cancelled.
  func submit(
    _ message: MessagePackValue, completion: @escaping @Sendable (Outcome) -> Void
  ) -> Request {
    let request = Request(message)
    statistics.requestWaits()
    let arrival = ContinuousClock.now
    queue.async { [self] in
      guard let message = request.begin() else { return statistics.requestLeaves() }
      let start = ContinuousClock.now
      statistics.requestLeaves()
      let result = Self.infer(message, policy)
      let timing = Timing(waiting: start - arrival, inference: ContinuousClock.now - start)
      statistics.requestEnds(result, timing)
      completion(Outcome(result: result, timing: timing))
    }
    return request
  }

  /// Calls `body` when all that was queued is done.
  func whenEmpty(_ body: @escaping @Sendable () -> Void) { queue.async(execute: body) }

  private static func infer(
    _ message: MessagePackValue, _ policy: any ServedPolicy
  ) -> Result<ActionChunk, RequestError> {
    do throws(ServerError) {
      let wire = try WireObservation(message, keys: policy.keys)
      do throws(PI0Error) {
        return .success(try policy.actions(for: wire.observation, noise: wire.noise))
      } catch {
        return .failure(.policy(error))
      }
    } catch {
      return .failure(.message(error))
    }
  }

  /// How long a request took.
  struct Timing: Sendable {
    /// From the message's last byte until the inference began.
    let waiting: Duration
    /// The inference, from observation to actions.
    let inference: Duration
  }

  /// What became of a request.
  struct Outcome: Sendable {
    let result: Result<ActionChunk, RequestError>
    let timing: Timing
  }

  /// Why a request failed.
  enum RequestError: Error, CustomStringConvertible {
    case message(ServerError)
    case policy(PI0Error)

    var description: String {
      switch self {
      case .message(let error): error.description
      case .policy(let error): error.description
      }
    }
  }

  /// A request that waits, or is being computed.
  final class Request: Sendable {
    /// The observation; gone as soon as somebody has begun with it or cancelled it.
    private let message: Mutex<MessagePackValue?>

    fileprivate init(_ message: MessagePackValue) { self.message = Mutex(message) }

    fileprivate func begin() -> MessagePackValue? { message.withLock { $0.take() } }

    /// Takes a request back. Returns false if it is being computed, or done.
    @discardableResult
    func cancel() -> Bool { begin() != nil }
  }
}
