/// The shapes of a checkpoint's tensors by key.
struct TensorShapes {
  private let shapes: [String: [Int]]

  init(_ shapes: [String: [Int]]) { self.shapes = shapes }

  /// The dimension of a tensor along an axis.
  func dimension(_ key: String, _ axis: Int) throws(PI0Error) -> Int {
    guard let shape = shapes[key], shape.indices.contains(axis) else {
      throw .configuration(
        "the policy's sizes are unknown: there is no configuration, and no \(key) to tell them")
    }
    return shape[axis]
  }

  /// The same of the first tensor that there is.
  func dimension(anyOf keys: [String], _ axis: Int) throws(PI0Error) -> Int {
    try dimension(keys.first { shapes[$0] != nil } ?? keys.joined(separator: " or "), axis)
  }

  /// How many layers have keys that begin with `prefix`, a number and a dot.
  func layerCount(_ prefix: String) -> Int {
    let indices = shapes.keys.compactMap { key -> Int? in
      guard key.hasPrefix(prefix) else { return nil }
      return Int(key.dropFirst(prefix.count).prefix { $0 != "." })
    }
    return Set(indices).count
  }

  /// Only pi0.5 has an MLP for the time alone.
  var variant: PolicyConfiguration.Variant { shapes["time_mlp_in.weight"] == nil ? .pi0 : .pi05 }
}

extension PolicyConfiguration {
  /// The sizes that a checkpoint's tensors tell. Heads of attention are taken to be as wide as in
  /// the published policies (256 and 72), the horizon and the prompt as long.
  init(shapes: TensorShapes) throws(PI0Error) {
    self = shapes.variant == .pi0 ? .pi0 : .pi05
    let paligemma = "paligemma_with_expert.paligemma.model."
    let siglip = paligemma + "vision_tower.vision_model."
    vision.width = try shapes.dimension(siglip + "embeddings.patch_embedding.weight", 0)
    vision.patchSize = try shapes.dimension(siglip + "embeddings.patch_embedding.weight", 3)
    let patches = try shapes.dimension(siglip + "embeddings.position_embedding.weight", 0)
    let side = Int(Double(max(patches, 0)).squareRoot().rounded())
    let (imageSize, overflow) = side.multipliedReportingOverflow(by: vision.patchSize)
    vision.imageSize = overflow ? 0 : imageSize
    vision.depth = shapes.layerCount(siglip + "encoder.layers.")
    vision.mlpWidth = try shapes.dimension(siglip + "encoder.layers.0.mlp.fc1.weight", 0)
    vision.heads = try Self.heads(vision.width, of: 72, "vision tower")
    language = try Self.gemma(shapes, paligemma + "language_model.layers.")
    expert = try Self.gemma(shapes, "paligemma_with_expert.gemma_expert.model.layers.")
    let table = "paligemma_with_expert.paligemma."
    vocabularySize = try shapes.dimension(
      anyOf: [table + "model.language_model.embed_tokens.weight", table + "lm_head.weight"], 0)
    actionDimension = try shapes.dimension("action_in_proj.weight", 1)
  }

  private static func gemma(_ shapes: TensorShapes, _ layers: String) throws(PI0Error) -> Gemma {
    let query = layers + "0.self_attn.q_proj.weight"
    let name = "transformer \(layers)"
    return Gemma(
      width: try shapes.dimension(query, 1), depth: shapes.layerCount(layers),
      mlpWidth: try shapes.dimension(layers + "0.mlp.gate_proj.weight", 0),
      heads: try heads(shapes.dimension(query, 0), of: 256, name),
      kvHeads: try heads(shapes.dimension(layers + "0.self_attn.k_proj.weight", 0), of: 256, name),
      headWidth: 256)
  }

  private static func heads(
    _ width: Int, of headWidth: Int, _ tower: String
  ) throws(PI0Error) -> Int {
    guard width > 0, width % headWidth == 0 else {
      throw .configuration(
        "the number of heads is unknown: \(width) features of the \(tower) are no multiple of "
          + "\(headWidth); give a configuration, or write one to the metadata as \"config\"")
    }
    return width / headWidth
  }
}
