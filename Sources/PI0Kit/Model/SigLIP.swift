/// The vision tower: an image becomes one token a patch. No class token.
///
/// Source: `SiglipVisionTransformer` in Hugging Face transformers.
struct SigLIP: Sendable {
  let patchWeight: Tensor  // embeddings.patch_embedding.weight [width, 3, patch, patch]
  let patchBias: Tensor  // embeddings.patch_embedding.bias [width]
  let positionEmbedding: Tensor  // embeddings.position_embedding.weight [patches, width]
  let layers: [SigLIPLayer]  // encoder.layers.{i}
  let postLayerNorm: LayerNorm  // post_layernorm
  /// What makes an embedding of ``Tensor/pixelPatches(_:)``; nil until ``fold()``.
  private var pixels: Linear?

  init(_ weights: Weights, _ size: PolicyConfiguration.Vision) {
    let embeddings = weights.at("embeddings")
    patchWeight = embeddings.tensor(
      "patch_embedding.weight", [size.width, 3, size.patchSize, size.patchSize])
    patchBias = embeddings.tensor("patch_embedding.bias", [size.width])
    positionEmbedding = embeddings.tensor(
      "position_embedding.weight", [size.tokensPerImage, size.width])
    layers = (0..<size.depth).map { SigLIPLayer(weights.at("encoder.layers.\($0)"), size) }
    postLayerNorm = LayerNorm(weights.at("post_layernorm"), width: size.width)
  }

  /// `[batch, patches, width]` for images `[batch, 3, height, width]` in [-1, 1].
  func callAsFunction(_ images: Tensor) throws(PI0Error) -> Tensor {
    try encode(embed(images))
  }

  /// The same for ``Tensor/patches(_:)`` of images.
  func callAsFunction(patches: Tensor) throws(PI0Error) -> Tensor {
    try encode(
      patches.linear(weight: patchWeight.reshaped([patchBias.count, -1]), bias: patchBias)
        + positionEmbedding)
  }

  /// The same for pictures of bytes, `[batch, height, width, 3]`.
  func callAsFunction(pixels images: Tensor) throws(PI0Error) -> Tensor {
    guard let pixels else { throw .input("the vision tower takes no bytes, found \(images)") }
    return try encode(pixels(images.pixelPatches(patchSize)) + positionEmbedding)
  }

  /// Multiplies the normalisation of bytes into the patch embedding:
  ///
  ///     w (2 v / 255 - 1) + b = (2 w / 255) (v - 128) + b + w / 255
  ///
  /// for each byte v and its weight w, in the order of ``Tensor/pixelPatches(_:)``.
  mutating func fold() throws(PI0Error) {
    let (width, patch) = (patchBias.count, patchSize), area = patch * patch
    let weights = try patchWeight.moved(to: .reference).floats()
    var bias = try patchBias.moved(to: .reference).floats()
    var folded = [Float](repeating: 0, count: weights.count)
    for output in 0..<width {
      let start = output * 3 * area
      var sum = 0.0
      for channel in 0..<3 {
        for pixel in 0..<area {
          let weight = Double(weights[start + channel * area + pixel])
          folded[start + 3 * pixel + channel] = Float(weight * 2 / 255)
          sum += weight
        }
      }
      bias[output] = Float(Double(bias[output]) + sum / 255)
    }
    let device = patchWeight.device
    pixels = Linear(
      weight: try Tensor(folded, shape: [width, 3 * area], device: device)
        .named(patchWeight.name ?? "patch_embedding"),
      bias: try Tensor(bias, shape: [width], device: device))
  }

  /// Height and width of a patch.
  var patchSize: Int { patchWeight.shape[3] }

  private func encode(_ x: Tensor) throws(PI0Error) -> Tensor {
    var x = x
    for layer in layers { x = try layer(x) }
    return try postLayerNorm(x)
  }

  func embed(_ images: Tensor) throws(PI0Error) -> Tensor {
    let patches = try images.patchConvolution(weight: patchWeight, bias: patchBias)
    let check = try OperandCheck("vision tower", [("images", images)])
    try check.require(
      patches.shape[1] == positionEmbedding.shape[0],
      "an image makes \(patches.shape[1]) patches; the tower takes \(positionEmbedding.shape[0])")
    return try patches + positionEmbedding
  }
}

/// `x + attention(norm(x))`, then `x + mlp(norm(x))`.
struct SigLIPLayer: Sendable {
  let layerNorm1: LayerNorm  // layer_norm1
  let selfAttention: SigLIPAttention  // self_attn
  let layerNorm2: LayerNorm  // layer_norm2
  let mlp: SigLIPMLP  // mlp

  init(_ weights: Weights, _ size: PolicyConfiguration.Vision) {
    layerNorm1 = LayerNorm(weights.at("layer_norm1"), width: size.width)
    selfAttention = SigLIPAttention(weights.at("self_attn"), size)
    layerNorm2 = LayerNorm(weights.at("layer_norm2"), width: size.width)
    mlp = SigLIPMLP(weights.at("mlp"), size)
  }

  func callAsFunction(_ x: Tensor) throws(PI0Error) -> Tensor {
    let x = try selfAttention(layerNorm1(x), plus: Residual(x))
    return try mlp(layerNorm2(x), plus: Residual(x))
  }
}

struct SigLIPAttention: Sendable {
  let query: Linear  // q_proj
  let key: Linear  // k_proj
  let value: Linear  // v_proj
  let output: Linear  // out_proj
  let heads: Int

  init(_ weights: Weights, _ size: PolicyConfiguration.Vision) {
    query = Linear(weights.at("q_proj"), inputs: size.width, outputs: size.width)
    key = Linear(weights.at("k_proj"), inputs: size.width, outputs: size.width)
    value = Linear(weights.at("v_proj"), inputs: size.width, outputs: size.width)
    output = Linear(weights.at("out_proj"), inputs: size.width, outputs: size.width)
    heads = size.heads
  }

  /// Attention of `x` to itself, plus `residual`, where there is one.
  func callAsFunction(_ x: Tensor, plus residual: Residual? = nil) throws(PI0Error) -> Tensor {
    let attended = try Tensor.attention(
      query: query.toHeads(x, heads), key: key.toHeads(x, heads), value: value.toHeads(x, heads))
    return try output.fromHeads(attended, plus: residual)
  }
}

/// `fc2(gelu(fc1(x)))`, plus what it is given.
struct SigLIPMLP: Sendable {
  let fc1: Linear  // fc1
  let fc2: Linear  // fc2

  init(_ weights: Weights, _ size: PolicyConfiguration.Vision) {
    fc1 = Linear(weights.at("fc1"), inputs: size.width, outputs: size.mlpWidth)
    fc2 = Linear(weights.at("fc2"), inputs: size.mlpWidth, outputs: size.width)
  }

  func callAsFunction(_ x: Tensor, plus residual: Residual? = nil) throws(PI0Error) -> Tensor {
    try fc2(fc1(x, activation: .geluTanh), plus: residual)
  }
}
