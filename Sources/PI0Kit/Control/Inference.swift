/// A chunk of actions, what it was denoised from, and how long that took.
public struct Inference: Sendable {
  /// The actions, in the robot's units.
  public let chunk: ActionChunk
  /// The noise that they were denoised from.
  public let noise: Tensor
  /// How long it took.
  public let timings: InferenceTimings

  /// An inference of the given parts.
  public init(chunk: ActionChunk, noise: Tensor, timings: InferenceTimings) {
    self.chunk = chunk
    self.noise = noise
    self.timings = timings
  }
}

/// How long the parts of an inference took.
public struct InferenceTimings: Sendable, Equatable {
  /// From the request until the computation began.
  public var waiting = Duration.zero
  /// Cameras through the vision tower, with resizing and whatever else comes before.
  public var vision = Duration.zero
  /// The language model.
  public var language = Duration.zero
  /// The denoising steps.
  public var denoising = Duration.zero
  /// The computation, all in all: the three parts, and the way back to the robot's units.
  public var computing = Duration.zero

  /// No time at all.
  public init() {}

  /// From the request to the chunk.
  public var latency: Duration { waiting + computing }

  /// Adds the time of a part.
  mutating func add(_ duration: Duration, to part: PolicyProgress.Part) {
    switch part {
    case .loading: break  // before the first inference alone
    case .vision: vision += duration
    case .language: language += duration
    case .denoising: denoising += duration
    }
  }
}

/// How a request for an inference ended.
public enum InferenceOutcome: Sendable {
  /// With a chunk.
  case finished(Inference)
  /// With an error.
  case failed(PI0Error)
  /// A newer observation took its place while it waited.
  case replaced
  /// A reset, or the end of the policy, came before its chunk did.
  case discarded
}

/// Who answers a control loop's requests, one at a time, while the loop goes on.
///
/// ``ControlledPolicy`` does; tests put simulated time in its place.
public protocol InferenceService {
  /// Starts an inference and returns at once.
  mutating func request(_ observation: RobotObservation, seed: UInt64)

  /// The outcome of the last request, once; nil while it is not there.
  ///
  /// - Parameter timeout: how long to wait for it.
  mutating func outcome(waiting timeout: Duration) -> InferenceOutcome?

  /// Forgets the last request.
  mutating func reset()
}
