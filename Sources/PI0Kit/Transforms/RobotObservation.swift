/// What a robot sees at one moment, in its own names and units.
public struct RobotObservation: Sendable, Equatable {
  /// The task: a sentence, or token ids of a whole prompt.
  public enum Prompt: Sendable, Equatable {
    /// A sentence, to be tokenised by a ``TokenizePrompt``.
    case text(String)
    /// Token ids as the model takes them, with the first (BOS) and without padding. Whatever the
    /// policy wants in its prompt, such as pi0.5's state, is in there already.
    case tokens([Int32])
  }

  /// A frame of any size by camera name. A camera that is absent is masked out.
  public var images: [String: RGBImage]
  /// Cameras that are masked out although they have a frame.
  public var maskedCameras: Set<String>
  /// Joints and grippers, in the robot's units and order.
  public var state: [Double]
  /// What is to be done; nil where a ``DefaultPrompt`` says it.
  public var prompt: Prompt?

  /// An observation of the given parts.
  public init(
    images: [String: RGBImage], maskedCameras: Set<String> = [], state: [Double],
    prompt: Prompt? = nil
  ) {
    self.images = images
    self.maskedCameras = maskedCameras
    self.state = state
    self.prompt = prompt
  }

  /// An observation with a sentence.
  public init(images: [String: RGBImage], state: [Double], prompt: String) {
    self.init(images: images, state: state, prompt: .text(prompt))
  }
}
