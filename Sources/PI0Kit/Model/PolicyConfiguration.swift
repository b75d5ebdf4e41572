/// Every size of a policy. ``pi0`` and ``pi05`` are the published ones.
public struct PolicyConfiguration: Sendable, Equatable {
  /// Which of the two policies.
  public enum Variant: String, Sendable {
    /// State and time enter as tokens and through an MLP over the actions.
    case pi0
    /// The state is part of the prompt; time conditions the expert's norms (adaRMS).
    case pi05
  }

  /// How the times of the denoising steps come about.
  public enum Times: String, Sendable {
    /// `time += -1 / steps` in float32, as in openpi.
    case accumulated
    /// `1 - step / steps`, rounded once, as in lerobot.
    case exact
  }

  /// The sizes of a Gemma transformer.
  public struct Gemma: Sendable, Equatable {
    /// Features of a token.
    public var width: Int
    /// Layers.
    public var depth: Int
    /// Hidden features of the gated MLP.
    public var mlpWidth: Int
    /// Query heads.
    public var heads: Int
    /// Key and value heads; divides ``heads``.
    public var kvHeads: Int
    /// Features of a head; even.
    public var headWidth: Int

    /// A transformer of the given sizes.
    public init(
      width: Int, depth: Int, mlpWidth: Int, heads: Int, kvHeads: Int, headWidth: Int
    ) {
      self.width = width
      self.depth = depth
      self.mlpWidth = mlpWidth
      self.heads = heads
      self.kvHeads = kvHeads
      self.headWidth = headWidth
    }

    /// The language model of the published policies.
    public static let gemma2B = Gemma(
      width: 2048, depth: 18, mlpWidth: 16384, heads: 8, kvHeads: 1, headWidth: 256)
    /// The action expert of the published policies.
    public static let gemma300M = Gemma(
      width: 1024, depth: 18, mlpWidth: 4096, heads: 8, kvHeads: 1, headWidth: 256)
    /// openpi's test size.
    public static let dummy = Gemma(
      width: 64, depth: 4, mlpWidth: 128, heads: 8, kvHeads: 1, headWidth: 16)
  }

  /// The sizes of the SigLIP vision tower.
  public struct Vision: Sendable, Equatable {
    /// Features of a patch.
    public var width: Int
    /// Layers.
    public var depth: Int
    /// Hidden features of the MLP.
    public var mlpWidth: Int
    /// Attention heads; divides ``width``.
    public var heads: Int
    /// Pixels along a side of a patch.
    public var patchSize: Int
    /// Pixels along a side of an image.
    public var imageSize: Int

    /// A vision tower of the given sizes.
    public init(
      width: Int, depth: Int, mlpWidth: Int, heads: Int, patchSize: Int, imageSize: Int
    ) {
      self.width = width
      self.depth = depth
      self.mlpWidth = mlpWidth
      self.heads = heads
      self.patchSize = patchSize
      self.imageSize = imageSize
    }

    /// The vision tower of the published policies.
    public static let so400m = Vision(
      width: 1152, depth: 27, mlpWidth: 4304, heads: 16, patchSize: 14, imageSize: 224)

    /// Tokens an image becomes; 0 where the sizes allow none.
    public var tokensPerImage: Int {
      let side = max(imageSize, 0) / max(patchSize, 1)
      return Shape.elementCount([side, side]) ?? 0
    }
  }

  /// Which of the two policies.
  public var variant: Variant
  /// The vision tower.
  public var vision: Vision
  /// The language model, which reads images and prompt.
  public var language: Gemma
  /// The action expert, which attends to the language model's keys and values.
  public var expert: Gemma
  /// Entries of the token table.
  public var vocabularySize: Int
  /// Camera names, in the order in which their images enter the prefix.
  public var cameras: [String]
  /// Features of an action and of a padded state.
  public var actionDimension: Int
  /// Actions in a chunk.
  public var actionHorizon: Int
  /// Tokens a prompt is padded to.
  public var promptLength: Int
  /// Denoising steps unless a call says otherwise.
  public var denoisingSteps: Int
  /// How the steps' times come about.
  public var times: Times
  /// Rounds the rotary table as a bfloat16 PyTorch run does; see ``RotaryEmbedding``.
  public var roundsRotaryTable: Bool

  /// openpi's camera names.
  public static let openpiCameras = ["base_0_rgb", "left_wrist_0_rgb", "right_wrist_0_rgb"]

  /// A policy of the given sizes; those of the published pi0 unless given.
  public init(
    variant: Variant = .pi0, vision: Vision = .so400m, language: Gemma = .gemma2B,
    expert: Gemma = .gemma300M, vocabularySize: Int = 257_152,
    cameras: [String] = PolicyConfiguration.openpiCameras, actionDimension: Int = 32,
    actionHorizon: Int = 50, promptLength: Int = 48, denoisingSteps: Int = 10,
    times: Times = .accumulated, roundsRotaryTable: Bool = false
  ) {
    self.variant = variant
    self.vision = vision
    self.language = language
    self.expert = expert
    self.vocabularySize = vocabularySize
    self.cameras = cameras
    self.actionDimension = actionDimension
    self.actionHorizon = actionHorizon
    self.promptLength = promptLength
    self.denoisingSteps = denoisingSteps
    self.times = times
    self.roundsRotaryTable = roundsRotaryTable
  }

  /// The published pi0.
  public static let pi0 = PolicyConfiguration()
  /// The published pi0.5.
  public static let pi05 = PolicyConfiguration(variant: .pi05, promptLength: 200)

  /// Tokens of the suffix: the state (pi0 only) and the actions. Means something where
  /// ``validate()`` finds nothing.
  public var suffixLength: Int { actionHorizon &+ (variant == .pi0 ? 1 : 0) }
  /// Tokens of the prefix: all cameras and the padded prompt. Means something where ``validate()``
  /// finds nothing.
  public var prefixLength: Int { cameras.count &* vision.tokensPerImage &+ promptLength }

  /// The largest size that a configuration may have, unless something smaller is said.
  static let maximumSize = 1 << 24
  /// The most layers of a tower.
  static let maximumDepth = 256

  /// Throws where sizes contradict each other.
  ///
  /// - Throws: ``PI0Error/configuration(_:)`` that names the sizes.
  public func validate() throws(PI0Error) {
    func require(_ condition: Bool, _ reason: String) throws(PI0Error) {
      guard condition else { throw .configuration("configuration: \(reason)") }
    }
    let sizes = [
      ("vision width", vision.width), ("vision mlp", vision.mlpWidth),
      ("vision heads", vision.heads), ("patch", vision.patchSize), ("image", vision.imageSize),
      ("language width", language.width), ("language mlp", language.mlpWidth),
      ("expert width", expert.width), ("expert mlp", expert.mlpWidth), ("depth", language.depth),
      ("heads", language.heads), ("kv heads", language.kvHeads),
      ("head width", language.headWidth), ("vocabulary", vocabularySize),
      ("action dimension", actionDimension), ("action horizon", actionHorizon),
      ("denoising steps", denoisingSteps),
    ]
    for (name, value) in sizes {
      try require(
        (1...Self.maximumSize).contains(value), "\(name) is \(value); it must be 1 to 2^24")
    }
    for (name, depth) in [("vision depth", vision.depth), ("depth", language.depth)] {
      try require(
        (0...Self.maximumDepth).contains(depth),
        "\(name) is \(depth); it must be at most \(Self.maximumDepth)")
    }
    try require(
      (0...1 << 20).contains(promptLength),
      "prompt length is \(promptLength); it must be 0 to 2^20")
    try require(
      vision.width % vision.heads == 0,
      "vision heads (\(vision.heads)) do not divide the width (\(vision.width))")
    try require(
      vision.imageSize >= vision.patchSize,
      "image (\(vision.imageSize)) is smaller than a patch (\(vision.patchSize))")
    try require(
      language.depth == expert.depth && language.heads == expert.heads
        && language.kvHeads == expert.kvHeads && language.headWidth == expert.headWidth,
      "language model and expert share attention: depth, heads, kv heads and head width must be "
        + "equal, found \(language) and \(expert)")
    try require(
      language.heads % language.kvHeads == 0,
      "kv heads (\(language.kvHeads)) do not divide the heads (\(language.heads))")
    try require(language.headWidth % 2 == 0, "head width (\(language.headWidth)) must be even")
    try require(expert.width % 2 == 0, "expert width (\(expert.width)) must be even")
    try require(
      Set(cameras).count == cameras.count, "camera names repeat: \(cameras)")
  }
}
