/// A batch of observations as the model takes them: normalised, padded, tokenised.
public struct PolicyInputs: Sendable {
  /// A tensor a camera, in the configuration's order: floats `[batch, 3, size, size]` in [-1, 1], or
  /// pixels as they are, uint8 `[batch, size, size, 3]`, which stand for `pixel / 255 * 2 - 1`.
  public var images: [Tensor]
  /// Which samples have the camera: bool `[batch]` a camera.
  public var imageMasks: [Tensor]
  /// The prompt, int32 `[batch, length]`.
  public var tokens: Tensor
  /// Which of the tokens are there, bool `[batch, length]`.
  public var tokenMask: Tensor
  /// Normalised and padded, `[batch, actionDimension]`.
  public var state: Tensor

  /// Inputs of the given tensors; ``Policy`` checks them.
  public init(
    images: [Tensor], imageMasks: [Tensor], tokens: Tensor, tokenMask: Tensor, state: Tensor
  ) {
    self.images = images
    self.imageMasks = imageMasks
    self.tokens = tokens
    self.tokenMask = tokenMask
    self.state = state
  }

  /// Observations in the batch.
  public var batch: Int { state.shape.first ?? 0 }

  /// Throws where anything does not fit the configuration.
  func check(_ configuration: PolicyConfiguration) throws(PI0Error) {
    let size = configuration.vision.imageSize
    let cameras = configuration.cameras
    guard images.count == cameras.count, imageMasks.count == cameras.count else {
      throw .input(
        "the policy has \(cameras.count) cameras (\(cameras.joined(separator: ", "))); got "
          + "\(images.count) images and \(imageMasks.count) masks")
    }
    func expect(_ name: String, _ tensor: Tensor, _ shape: [Int], float: Bool) throws(PI0Error) {
      guard tensor.shape == shape && tensor.elementType.isFloat == float else {
        throw .input("\(name) must be \(float ? "floats " : "")\(shape), found \(tensor)")
      }
    }
    try expect("state", state, [batch, configuration.actionDimension], float: true)
    for (index, camera) in cameras.enumerated() {
      if images[index].elementType == .uint8 {
        try expect("image \(camera)", images[index], [batch, size, size, 3], float: false)
      } else {
        try expect("image \(camera)", images[index], [batch, 3, size, size], float: true)
      }
      try expect("mask of \(camera)", imageMasks[index], [batch], float: false)
    }
    try expect("tokens", tokens, [batch, tokens.shape.last ?? 0], float: false)
    try expect("token mask", tokenMask, tokens.shape, float: false)
  }
}
