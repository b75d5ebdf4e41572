/// What a robot sees at one moment: camera frames, its state, and the tokens of its task.
public struct Observation: Sendable {
  /// A frame of any size by camera name. A camera that is absent is masked out.
  public var images: [String: RGBImage]
  /// Cameras that are masked out although they have a frame.
  public var maskedCameras: Set<String>
  /// The normalised state, of any length up to the policy's action dimension.
  public var state: [Float]
  /// The prompt's token ids, without padding.
  public var tokens: [Int32]
  /// How frames are brought to the model's size.
  public var resizing: ImageResizing

  /// An observation of the given parts.
  public init(
    images: [String: RGBImage], maskedCameras: Set<String> = [], state: [Float], tokens: [Int32],
    resizing: ImageResizing = .torchBytes
  ) {
    self.images = images
    self.maskedCameras = maskedCameras
    self.state = state
    self.tokens = tokens
    self.resizing = resizing
  }

  /// The observation as the model takes it, a batch of one: frames resized with padding and
  /// normalised to [-1, 1], state and prompt padded with zeros, absent cameras black and masked.
  ///
  /// A card normalises by itself: it gets the frames' bytes, unless they were resized in floats.
  ///
  /// - Throws: ``PI0Error/input(_:)`` for a camera that the policy does not have, no camera at all,
  ///   a state or prompt that is too long, or a state that is not finite;
  ///   ``PI0Error/configuration(_:)`` for a configuration that contradicts itself.
  public func inputs(
    for configuration: PolicyConfiguration, on device: Device = .reference
  ) throws(PI0Error) -> PolicyInputs {
    try configuration.validate()
    let names = configuration.cameras.joined(separator: ", ")
    for camera in images.keys.sorted() + maskedCameras.sorted()
    where !configuration.cameras.contains(camera) {
      throw .input("the policy has no camera \"\(camera)\"; its cameras are \(names)")
    }
    let present = configuration.cameras.map {
      images[$0] != nil && !maskedCameras.contains($0)
    }
    guard present.contains(true) || configuration.cameras.isEmpty else {
      throw .input("the observation has no camera image; the policy's cameras are \(names)")
    }
    let (dimension, promptLength) = (configuration.actionDimension, configuration.promptLength)
    guard state.count <= dimension else {
      throw .input("the state has \(state.count) values; the policy takes up to \(dimension)")
    }
    if let index = state.firstIndex(where: { !$0.isFinite }) {
      throw .input("state[\(index)] is \(state[index]); every value must be finite")
    }
    guard tokens.count <= promptLength else {
      throw .input("the prompt has \(tokens.count) tokens; the policy takes up to \(promptLength)")
    }

    let size = configuration.vision.imageSize
    let frames = zip(configuration.cameras, present).map { $1 ? images[$0] : nil }
    let takesPixels =
      device.backend.takesPixels && resizing.keepsBytes(frames.compactMap { $0 }, size: size)
    let black =
      takesPixels
      ? try Tensor(
        bytes: [UInt8](repeating: 0, count: 3 * size * size), shape: [1, size, size, 3],
        device: device)
      : try Tensor.full([1, 3, size, size], -1, device: device)
    var tensors: [Tensor] = []
    for frame in frames {
      guard let frame else {
        tensors.append(black)
        continue
      }
      tensors.append(
        takesPixels
          ? try resizing.pixels(frame, size: size).pixels(device: device)
          : try resizing.modelInput(frame, size: size, device: device))
    }
    var masks: [Tensor] = []
    for isPresent in present { masks.append(try Tensor([isPresent], shape: [1], device: device)) }
    let padding = promptLength - tokens.count
    return PolicyInputs(
      images: tensors, imageMasks: masks,
      tokens: try Tensor(
        tokens + [Int32](repeating: 0, count: padding), shape: [1, promptLength], device: device),
      tokenMask: try Tensor(
        (0..<promptLength).map { $0 < tokens.count }, shape: [1, promptLength], device: device),
      state: try Tensor(
        state + [Float](repeating: 0, count: dimension - state.count), shape: [1, dimension],
        device: device))
  }
}

extension PolicyInputs {
  /// Several inputs as one batch.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where their shapes do not fit, or for
  ///   none.
  public init(batching inputs: [PolicyInputs]) throws(PI0Error) {
    func joined(_ tensors: [Tensor]) throws(PI0Error) -> Tensor {
      try .concat(tensors, axis: 0)
    }
    let cameras = inputs.map { min($0.images.count, $0.imageMasks.count) }.min() ?? 0
    var (images, masks): ([Tensor], [Tensor]) = ([], [])
    for camera in 0..<cameras {
      images.append(try joined(inputs.map { $0.images[camera] }))
      masks.append(try joined(inputs.map { $0.imageMasks[camera] }))
    }
    self.init(
      images: images, imageMasks: masks, tokens: try joined(inputs.map(\.tokens)),
      tokenMask: try joined(inputs.map(\.tokenMask)), state: try joined(inputs.map(\.state)))
  }
}
