import Glibc

/// What a device must be able to compute.
///
/// The operations in `Operations/` check shapes and types and work out the result's; a backend
/// may rely on that. `shape` and `type` are those of the result.
protocol Backend: Sendable {
  // Matrix products
  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor
  /// The same, times a tensor of the result's shape.
  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, times factor: Tensor,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor
  /// The same without an activation, added to a tensor of the result's shape.
  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, plus residual: Residual, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor
  /// `activation(x · gateᵀ) * (x · upᵀ)`
  func gatedLinear(
    _ x: Tensor, gate: Tensor, up: Tensor, activation: Activation, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor
  /// `a` is `[..., m, k]`, `b` is `[..., k, n]`, their leading dimensions broadcast.
  func matmul(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error) -> Tensor
  func attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor?, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor
  /// The same with a mask of which each different row is there once.
  func attention(
    query: Tensor, key: Tensor, value: Tensor, bias: AttentionBias, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor
  /// The same over keys that stand one after the other, with a mask or without.
  func attention(
    query: Tensor, segments: [KeyValueCache.Layer], bias: AttentionBias?, scale: Float,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor
  /// The same where the query, and the last segment's keys, are turned by `rotary` first.
  func attention(
    query: Tensor, segments: [KeyValueCache.Layer], rotary: RotaryEmbedding.Table,
    bias: AttentionBias?, scale: Float, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor
  /// `linear` of `[batch, rows, inputs]` to heads: `shape` is `[batch, heads, rows, width]`.
  func linearToHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor
  /// `linear` of the heads' values side by side: `shape` is `[batch, rows, outputs]`.
  func linearFromHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor
  /// The same, added to a tensor of the result's shape.
  func linearFromHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, plus residual: Residual, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor
  func patchConvolution(
    _ image: Tensor, weight: Tensor, bias: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor

  /// `[batch, patches, patch * patch * 3]` of `pixel - 128` for bytes `[batch, height, width, 3]`.
  func pixelPatches(_ image: Tensor, patch: Int, shape: [Int]) throws(PI0Error) -> Tensor

  // Elementwise
  func add(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error) -> Tensor
  func multiply(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error)
    -> Tensor
  func activate(_ x: Tensor, _ activation: Activation) throws(PI0Error) -> Tensor
  /// `[sin a | cos a]` with `a = factor * frequencies`, in float64, then rounded.
  func sinesAndCosines(
    factor: Double, frequencies: [Double], into out: UnsafeMutableBufferPointer<Float>)

  // Along an axis
  func softmax(_ x: Tensor, axis: Int, mask: Tensor?, type: ElementType) throws(PI0Error) -> Tensor
  func layerNorm(
    _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor
  func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float, type: ElementType) throws(PI0Error)
    -> Tensor
  /// `x / rms(x) * (1 + scale) + shift` with `modulation` = scale | shift | gate, `[B or 1, 3w]`.
  func adaptiveRMSNorm(
    _ x: Tensor, modulation: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor
  func rotate(_ x: Tensor, cosine: Tensor, sine: Tensor) throws(PI0Error) -> Tensor

  // Moving elements
  func concat(_ tensors: [Tensor], axis: Int, shape: [Int]) throws(PI0Error) -> Tensor
  func slice(_ x: Tensor, axis: Int, range: Range<Int>, shape: [Int]) throws(PI0Error) -> Tensor
  func reshape(_ x: Tensor, shape: [Int]) throws(PI0Error) -> Tensor
  func permute(_ x: Tensor, order: [Int], shape: [Int]) throws(PI0Error) -> Tensor
  func repeat_(_ x: Tensor, counts: [Int], shape: [Int]) throws(PI0Error) -> Tensor
  /// Row `tokens[i]` of `table`, for each i.
  func lookUp(_ tokens: Tensor, in table: Tensor, shape: [Int]) throws(PI0Error) -> Tensor

  /// Whether ``traced(_:_:_:)`` records a function instead of calling it every time.
  var records: Bool { get }
  /// Whether pictures come to the device best as the bytes that they are.
  var takesPixels: Bool { get }
  /// Whether an embedder uses products of weights that were carried out at load. Elsewhere it
  /// computes what its definition says: `reference` to be compared with, a card as one trace.
  var computesFolded: Bool { get }
  /// How near an embedder's results come to PyTorch's in float32.
  var embedderTolerance: Tolerance { get }
  /// How near a whole policy's results come.
  var policyTolerance: Tolerance { get }

  // Whole functions
  /// Carries out `body` on `inputs` as one unit. A device may record the operations once, for
  /// inputs of the same shapes, and afterwards run the recording.
  func traced(
    _ cache: TraceCache, _ inputs: [Tensor], _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) -> [Tensor]
  /// Records what ``traced(_:_:_:)`` would, and brings everything to the device that it needs; nothing where that
  /// was done before, or `body` is called every time.
  ///
  /// - Parameter onProgress: called with bytes that are there, and of all that were to be brought.
  func prepare(
    _ cache: TraceCache, _ inputs: [Tensor], onProgress: (_ done: Int, _ total: Int) -> Void,
    _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error)
}

extension Backend {
  var records: Bool { false }
  var takesPixels: Bool { false }
  var computesFolded: Bool { false }
  var embedderTolerance: Tolerance { .float32 }
  var policyTolerance: Tolerance { .float32 }

  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, times factor: Tensor,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    try linear(
      x, weight: weight, bias: bias, activation: activation, shape: shape, type: type) * factor
  }

  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, plus residual: Residual, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    try residual(
      linear(x, weight: weight, bias: bias, activation: .none, shape: shape, type: type))
  }

  func gatedLinear(
    _ x: Tensor, gate: Tensor, up: Tensor, activation: Activation, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    try linear(
      x, weight: up, bias: nil, activation: .none,
      times: linear(
        x, weight: gate, bias: nil, activation: activation, shape: shape, type: type),
      shape: shape, type: type)
  }

  func attention(
    query: Tensor, key: Tensor, value: Tensor, bias: AttentionBias, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    try attention(
      query: query, key: key, value: value, mask: bias.matrix(), scale: scale, shape: shape,
      type: type)
  }

  func attention(
    query: Tensor, segments: [KeyValueCache.Layer], bias: AttentionBias?, scale: Float,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    var whole = segments[0]
    for segment in segments.dropFirst() { whole = try whole.appending(segment) }
    guard let bias else {
      return try attention(
        query: query, key: whole.key, value: whole.value, mask: nil, scale: scale, shape: shape,
        type: type)
    }
    return try attention(
      query: query, key: whole.key, value: whole.value, bias: bias, scale: scale, shape: shape,
      type: type)
  }

  func attention(
    query: Tensor, segments: [KeyValueCache.Layer], rotary: RotaryEmbedding.Table,
    bias: AttentionBias?, scale: Float, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    try attention(
      turning: query, segments, by: rotary, bias: bias, scale: scale, shape: shape, type: type)
  }

  /// The same, operation by operation.
  func attention(
    turning query: Tensor, _ segments: [KeyValueCache.Layer], by rotary: RotaryEmbedding.Table,
    bias: AttentionBias?, scale: Float, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    var segments = segments
    let last = segments.removeLast()
    segments.append(
      KeyValueCache.Layer(
        key: try rotate(last.key, cosine: rotary.cosine, sine: rotary.sine), value: last.value))
    return try attention(
      query: rotate(query, cosine: rotary.cosine, sine: rotary.sine), segments: segments,
      bias: bias, scale: scale, shape: shape, type: type)
  }

  func linearToHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (batch, heads, rows, width) = (shape[0], shape[1], shape[2], shape[3])
    return try linear(
      x, weight: weight, bias: bias, activation: .none, shape: [batch, rows, heads * width],
      type: type
    ).reshaped([batch, rows, heads, width]).permuted([0, 2, 1, 3])
  }

  func linearFromHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    let merged = try x.permuted([0, 2, 1, 3])
      .reshaped([shape[0], shape[1], x.shape[1] * x.shape[3]])
    return try linear(
      merged, weight: weight, bias: bias, activation: .none, shape: shape, type: type)
  }

  func linearFromHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, plus residual: Residual, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    try residual(linearFromHeads(x, weight: weight, bias: bias, shape: shape, type: type))
  }

  func sinesAndCosines(
    factor: Double, frequencies: [Double], into out: UnsafeMutableBufferPointer<Float>
  ) {
    for (i, frequency) in frequencies.enumerated() {
      out[i] = Float(sin(factor * frequency))
      out[frequencies.count + i] = Float(cos(factor * frequency))
    }
  }

  func traced(
    _ cache: TraceCache, _ inputs: [Tensor], _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) -> [Tensor] {
    try body(inputs)
  }

  func prepare(
    _ cache: TraceCache, _ inputs: [Tensor], onProgress: (_ done: Int, _ total: Int) -> Void,
    _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) {}
}
