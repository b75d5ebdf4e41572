/// A Gemma transformer over token embeddings: the language model and, smaller and in pi0.5 with
/// adaptive norms, the action expert.
///
/// Source: `GemmaModel` in openpi's `models_pytorch/transformers_replace/models/gemma`, which
/// unlike Hugging Face's does not scale its input by sqrt(width).
struct Gemma: Sendable {
  let layers: [GemmaLayer]  // layers.{i}
  let norm: RMSNorm  // norm

  init(_ weights: Weights, _ size: PolicyConfiguration.Gemma, adaptive: Bool) {
    layers = (0..<size.depth).map {
      GemmaLayer(weights.at("layers.\($0)"), size, adaptive: adaptive)
    }
    norm = RMSNorm(weights.at("norm"), width: size.width, adaptive: adaptive)
  }

  /// Scale, shift and gate of every norm, `[batch, 3 * width]` each; nil in plain norms.
  struct Modulation: Sendable {
    let layers: [GemmaLayer.Modulation]
    let norm: Tensor?
  }

  func modulation(condition: Tensor?) throws(PI0Error) -> Modulation {
    var perLayer: [GemmaLayer.Modulation] = []
    for layer in layers { perLayer.append(try layer.modulation(condition: condition)) }
    return Modulation(layers: perLayer, norm: try norm.modulation(condition))
  }

  /// The keys and values of every layer for tokens `x`. The last layer computes nothing else,
  /// since nothing else of it is used.
  func keysAndValues(
    _ x: Tensor, rotary: RotaryEmbedding.Table, mask: AttentionBias?,
    onLayer: (Int) -> Void = { _ in }
  ) throws(PI0Error) -> KeyValueCache {
    var cache = KeyValueCache(layers: [])
    var x = x
    for (index, layer) in layers.enumerated() {
      let (normalized, _) = try layer.inputLayerNorm(x, modulation: nil)
      let entry = try layer.selfAttention.keyAndValue(normalized, rotary: rotary)
      if index < layers.count - 1 {
        let attended = try layer.selfAttention(
          normalized, rotary: rotary, keysAndValues: [entry], mask: mask,
          plus: Residual(x))
        x = try layer.feedForward(attended, modulation: nil)
      }
      cache.layers.append(entry)
      onLayer(index + 1)
    }
    return cache
  }

  /// The normalised output for tokens `x` that follow the tokens in `cache`.
  func callAsFunction(
    _ x: Tensor, rotary: RotaryEmbedding.Table, mask: AttentionBias?, after cache: KeyValueCache,
    modulation: Modulation
  ) throws(PI0Error) -> Tensor {
    var x = x
    for (index, layer) in layers.enumerated() {
      x = try layer(
        x, rotary: rotary, mask: mask, after: cache.layers[index],
        modulation: modulation.layers[index])
    }
    return try norm(x, modulation: modulation.norm).normalized
  }
}

/// `x + attention(norm(x)) * gate`, then `x + mlp(norm(x)) * gate`; plain norms have no gate.
struct GemmaLayer: Sendable {
  let inputLayerNorm: RMSNorm  // input_layernorm
  let selfAttention: GemmaAttention  // self_attn
  let postAttentionLayerNorm: RMSNorm  // post_attention_layernorm
  let mlp: GatedMLP  // mlp

  init(_ weights: Weights, _ size: PolicyConfiguration.Gemma, adaptive: Bool) {
    inputLayerNorm = RMSNorm(
      weights.at("input_layernorm"), width: size.width, adaptive: adaptive)
    selfAttention = GemmaAttention(weights.at("self_attn"), size)
    postAttentionLayerNorm = RMSNorm(
      weights.at("post_attention_layernorm"), width: size.width, adaptive: adaptive)
    mlp = GatedMLP(weights.at("mlp"), size)
  }

  struct Modulation: Sendable {
    let input: Tensor?
    let postAttention: Tensor?
  }

  func modulation(condition: Tensor?) throws(PI0Error) -> Modulation {
    Modulation(
      input: try inputLayerNorm.modulation(condition),
      postAttention: try postAttentionLayerNorm.modulation(condition))
  }

  func callAsFunction(
    _ x: Tensor, rotary: RotaryEmbedding.Table, mask: AttentionBias?,
    after past: KeyValueCache.Layer?,
    modulation: Modulation
  ) throws(PI0Error) -> Tensor {
    let (normalized, gate) = try inputLayerNorm(x, modulation: modulation.input)
    let attended = try selfAttention(
      normalized, rotary: rotary, after: past, mask: mask, plus: Residual(x, gate: gate))
    return try feedForward(attended, modulation: modulation.postAttention)
  }

  /// The second half of the layer.
  func feedForward(_ x: Tensor, modulation: Tensor?) throws(PI0Error) -> Tensor {
    let (normalized, gate) = try postAttentionLayerNorm(x, modulation: modulation)
    return try mlp(normalized, plus: Residual(x, gate: gate))
  }
}

struct GemmaAttention: Sendable {
  let query: Linear  // q_proj
  let key: Linear  // k_proj
  let value: Linear  // v_proj
  let output: Linear  // o_proj
  let heads: Int
  let kvHeads: Int

  init(_ weights: Weights, _ size: PolicyConfiguration.Gemma) {
    let inner = size.heads * size.headWidth
    let kvInner = size.kvHeads * size.headWidth
    query = Linear(weights.at("q_proj"), inputs: size.width, outputs: inner, bias: false)
    key = Linear(weights.at("k_proj"), inputs: size.width, outputs: kvInner, bias: false)
    value = Linear(weights.at("v_proj"), inputs: size.width, outputs: kvInner, bias: false)
    output = Linear(weights.at("o_proj"), inputs: inner, outputs: size.width, bias: false)
    heads = size.heads
    kvHeads = size.kvHeads
  }

  /// The rotated keys and the values of tokens `x`, `[batch, kvHeads, tokens, width]`.
  func keyAndValue(
    _ x: Tensor, rotary: RotaryEmbedding.Table
  ) throws(PI0Error) -> KeyValueCache.Layer {
    // Both products first: they have the same input.
    let key = try key.toHeads(x, kvHeads), value = try value.toHeads(x, kvHeads)
    return KeyValueCache.Layer(
      key: try key.rotated(cosine: rotary.cosine, sine: rotary.sine), value: value)
  }

  /// Attention of `x` to the keys of `past` and its own; added to `residual`, where there is one.
  func callAsFunction(
    _ x: Tensor, rotary: RotaryEmbedding.Table, after past: KeyValueCache.Layer?,
    mask: AttentionBias?, plus residual: Residual? = nil
  ) throws(PI0Error) -> Tensor {
    let own = KeyValueCache.Layer(
      key: try key.toHeads(x, kvHeads), value: try value.toHeads(x, kvHeads))
    return try output.fromHeads(
      .attention(
        query: query.toHeads(x, heads), segments: (past.map { [$0] } ?? []) + [own],
        rotary: rotary, bias: mask), plus: residual)
  }

  /// Attention of `x` to the keys; added to `residual`, where there is one.
  func callAsFunction(
    _ x: Tensor, rotary: RotaryEmbedding.Table, keysAndValues: [KeyValueCache.Layer],
    mask: AttentionBias?, plus residual: Residual? = nil
  ) throws(PI0Error) -> Tensor {
    let query = try query.toHeads(x, heads).rotated(cosine: rotary.cosine, sine: rotary.sine)
    return try output.fromHeads(
      .attention(query: query, segments: keysAndValues, bias: mask), plus: residual)
  }
}

/// `down(gelu(gate(x)) * up(x))`; added to what it is given.
struct GatedMLP: Sendable {
  let gate: Linear  // gate_proj
  let up: Linear  // up_proj
  let down: Linear  // down_proj

  init(_ weights: Weights, _ size: PolicyConfiguration.Gemma) {
    gate = Linear(
      weights.at("gate_proj"), inputs: size.width, outputs: size.mlpWidth, bias: false)
    up = Linear(weights.at("up_proj"), inputs: size.width, outputs: size.mlpWidth, bias: false)
    down = Linear(
      weights.at("down_proj"), inputs: size.mlpWidth, outputs: size.width, bias: false)
  }

  func callAsFunction(_ x: Tensor, plus residual: Residual? = nil) throws(PI0Error) -> Tensor {
    try down(
      x.gatedLinear(gate: gate.weight, up: up.weight, activation: .geluTanh), plus: residual)
  }
}
