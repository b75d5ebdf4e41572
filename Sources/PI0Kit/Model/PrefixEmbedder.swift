/// What an embedder makes: tokens for a transformer and who among them may attend to whom.
public struct TokenEmbedding: Sendable {
  /// `[batch, tokens, width]`.
  public let embeddings: Tensor
  /// Which tokens are there; bool `[batch, tokens]`.
  public let padding: Tensor
  /// Where a block begins that earlier tokens must not see; bool `[batch, tokens]`.
  public let marks: Tensor
  /// What the expert's adaptive norms are conditioned on, `[batch, width]`; nil in pi0 and in a
  /// prefix.
  public let condition: Tensor?
}

/// Images and prompt as tokens for the language model: `[projector(SigLIP(image)) for each camera |
/// table[token] * sqrt(width)]`.
///
/// Source: `embed_prefix` in openpi's `pi0_pytorch.py`.
public struct PrefixEmbedder: Sendable {
  private(set) var vision: SigLIP  // vision_tower.vision_model
  let projector: Linear  // multi_modal_projector.linear
  let tokenTable: Tensor  // language_model.embed_tokens.weight [vocabulary, width]
  private let traces = TraceCache("prefix embedding")

  /// The embedder of a checkpoint.
  ///
  /// - Throws: ``PI0Error/checkpoint(path:problems:)`` where its tensors do not fit.
  public init(checkpoint: Checkpoint, on device: Device = .reference) throws(PI0Error) {
    let weights = try Weights(checkpoint, on: device)
    self.init(weights, try checkpoint.requiredConfiguration())
    try weights.finish(wholeCheckpoint: false)
    try fold()
  }

  init(_ weights: Weights, _ configuration: PolicyConfiguration) {
    let paligemma = weights.at("paligemma_with_expert.paligemma")
    vision = SigLIP(paligemma.at("model.vision_tower.vision_model"), configuration.vision)
    projector = Linear(
      paligemma.at("model.multi_modal_projector.linear"), inputs: configuration.vision.width,
      outputs: configuration.language.width)
    tokenTable = paligemma.tensor(
      anyOf: ["model.language_model.embed_tokens.weight", "lm_head.weight"],
      [configuration.vocabularySize, configuration.language.width])
  }

  /// The prefix of a batch. Cameras and tokens that are masked out are embedded all the same, as
  /// the original does.
  ///
  /// - Parameters:
  ///   - images: a tensor a camera, as in ``PolicyInputs/images``.
  ///   - imageMasks: which samples have the camera; bool `[batch]` a camera.
  ///   - tokens: the prompt, int32 `[batch, length]`.
  ///   - tokenMask: which tokens are there, bool `[batch, length]`.
  /// - Throws: ``PI0Error`` where shapes or types do not fit, or a token is not in the table.
  public func callAsFunction(
    images: [Tensor], imageMasks: [Tensor], tokens: Tensor, tokenMask: Tensor
  ) throws(PI0Error) -> TokenEmbedding {
    guard images.count == imageMasks.count else {
      throw .input("\(images.count) images need as many masks, found \(imageMasks.count)")
    }
    var features: [Tensor] = []
    for image in images { features.append(try embed(image: image)) }
    return try self(
      features: features, imageMasks: imageMasks, tokens: tokens, tokenMask: tokenMask)
  }

  /// The prefix of images that have gone through the vision tower.
  ///
  /// - Parameters:
  ///   - features: from ``embed(image:)``, `[batch, patches, width]` a camera.
  ///   - imageMasks: which samples have the camera; bool `[batch]` a camera.
  ///   - tokens: the prompt, int32 `[batch, length]`.
  ///   - tokenMask: which tokens are there, bool `[batch, length]`.
  /// - Throws: ``PI0Error`` where shapes or types do not fit, or a token is not in the table.
  public func callAsFunction(
    features: [Tensor], imageMasks: [Tensor], tokens: Tensor, tokenMask: Tensor
  ) throws(PI0Error) -> TokenEmbedding {
    guard features.count == imageMasks.count else {
      throw .input("\(features.count) images need as many masks, found \(imageMasks.count)")
    }
    let check = try OperandCheck(
      "prefix embedding", features.map { ("features", $0) } + [("tokens", tokens)])
    try check.require(
      features.allSatisfy { $0.rank == 3 } && tokens.rank == 2,
      "features must be [batch, patches, width], tokens [batch, length]")
    let batch = tokens.shape[0]
    try check.require(
      features.allSatisfy { $0.shape[0] == batch } && imageMasks.allSatisfy { $0.shape == [batch] }
        && tokenMask.shape == tokens.shape,
      "features, tokens and masks must have the same batch; an image mask is [batch], the token "
        + "mask [batch, length]")
    var padding: [Tensor] = []
    for (features, mask) in zip(features, imageMasks) {
      padding.append(try mask.reshaped([-1, 1]).repeated([1, features.shape[1]]))
    }
    padding.append(tokenMask)
    try tokenTable.checkRows(tokens)
    let all = try tokens.device.traced(
      traces, features + [tokens]
    ) { (inputs) throws(PI0Error) -> Tensor in
      guard let tokens = inputs.last else { throw .input("a prefix needs tokens") }
      return try .concat(inputs.dropLast() + [embed(tokens: tokens)], axis: 1)
    }
    return TokenEmbedding(
      embeddings: all, padding: try .concat(padding, axis: 1),
      marks: try Tensor(
        [Bool](repeating: false, count: all.shape[0] * all.shape[1]),
        shape: [all.shape[0], all.shape[1]], device: all.device), condition: nil)
  }

  /// `projector(SigLIP(image))`: `[batch, patches, width]` for floats `[batch, 3, height, width]` in
  /// [-1, 1], or bytes `[batch, height, width, 3]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for an image of another size.
  public func embed(image: Tensor) throws(PI0Error) -> Tensor {
    try projector(image.elementType == .uint8 ? vision(pixels: image) : vision(image))
  }

  /// Multiplies what is constant into the weights, once they are all there.
  mutating func fold() throws(PI0Error) { try vision.fold() }

  /// A camera as ``embed(camera:)`` takes it: `image` itself if it is bytes, its ``Tensor/patches(_:)`` if floats.
  func camera(_ image: Tensor) throws(PI0Error) -> Tensor {
    image.elementType == .uint8 ? image : try image.patches(vision.patchSize)
  }

  /// The same as ``embed(image:)`` for what ``camera(_:)`` gives.
  func embed(camera: Tensor) throws(PI0Error) -> Tensor {
    try projector(
      camera.elementType == .uint8 ? vision(pixels: camera) : vision(patches: camera))
  }

  /// `table[token] * sqrt(width)`: `[batch, length, width]` for int32 `[batch, length]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for a token outside the table.
  public func embed(tokens: Tensor) throws(PI0Error) -> Tensor {
    try tokenTable.rows(tokens).converted(to: .float32)
      * Float(Double(tokenTable.shape[1]).squareRoot())
  }
}
