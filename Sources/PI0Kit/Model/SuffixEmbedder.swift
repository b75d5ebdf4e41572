/// State, noisy actions and time as tokens for the action expert.
///
/// pi0: `[state_proj(state) | out(silu(in([action_in_proj(x) | time])))]`, a token for the state
/// and one an action. pi0.5: `action_in_proj(x)`, and the condition
/// `silu(time_mlp_out(silu(time_mlp_in(time))))`.
///
/// Source: `embed_suffix` in openpi's `pi0_pytorch.py`.
public struct SuffixEmbedder: Sendable {
  let actionIn: Linear  // action_in_proj
  let head: Head
  let timeEmbedding: SinusoidalTimeEmbedding
  /// The same with fewer products; nil in pi0.5, and until ``fold()``.
  private(set) var folded: FoldedSuffix?
  private let traces = TraceCache("suffix embedding")
  private let conditionTraces = TraceCache("suffix condition")

  enum Head: Sendable {
    case pi0(
      stateProjection: Linear,  // state_proj
      timeIn: Linear,  // action_time_mlp_in [width, 2 * width]
      timeOut: Linear)  // action_time_mlp_out
    case pi05(
      timeIn: Linear,  // time_mlp_in
      timeOut: Linear)  // time_mlp_out
  }

  /// The embedder of a checkpoint, which may hold nothing but the suffix.
  ///
  /// - Throws: ``PI0Error/checkpoint(path:problems:)`` where its tensors do not fit.
  public init(checkpoint: Checkpoint, on device: Device = .reference) throws(PI0Error) {
    let weights = try Weights(checkpoint, on: device)
    let size = try checkpoint.suffixSize()
    self.init(
      weights, variant: size.variant, width: size.width, actionDimension: size.actionDimension)
    try weights.finish(wholeCheckpoint: false)
    if device.backend.computesFolded { try fold() }
  }

  /// Carries out, once the weights are known to be sound, the products of weights.
  mutating func fold() throws(PI0Error) { folded = try FoldedSuffix(self) }

  init(
    _ weights: Weights, variant: PolicyConfiguration.Variant, width: Int, actionDimension: Int
  ) {
    func linear(_ key: String, _ inputs: Int) -> Linear {
      Linear(weights.at(key), inputs: inputs, outputs: width)
    }
    actionIn = linear("action_in_proj", actionDimension)
    head =
      switch variant {
      case .pi0:
        .pi0(
          stateProjection: linear("state_proj", actionDimension),
          timeIn: linear("action_time_mlp_in", 2 * width),
          timeOut: linear("action_time_mlp_out", width))
      case .pi05:
        .pi05(timeIn: linear("time_mlp_in", width), timeOut: linear("time_mlp_out", width))
      }
    timeEmbedding = SinusoidalTimeEmbedding(width: width)
  }

  /// The suffix of a batch.
  ///
  /// - Parameters:
  ///   - state: `[batch, actionDimension]`, normalised and padded. pi0.5 does not read it.
  ///   - noisyActions: `[batch, horizon, actionDimension]`.
  ///   - timestep: float32 `[batch]`; 1 is noise, 0 are actions.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func callAsFunction(
    state: Tensor, noisyActions: Tensor, timestep: Tensor
  ) throws(PI0Error) -> TokenEmbedding {
    let check = try OperandCheck(
      "suffix embedding",
      [("state", state), ("noisyActions", noisyActions), ("timestep", timestep)])
    try check.require(
      noisyActions.rank == 3 && timestep.shape == [noisyActions.shape[0]],
      "noisyActions must be [batch, horizon, actionDimension], timestep [batch]")
    let (batch, horizon) = (noisyActions.shape[0], noisyActions.shape[1])
    let device = noisyActions.device
    let embeddings: Tensor
    switch head {
    case .pi0(let stateProjection, let timeIn, let timeOut):
      try check.require(
        state.rank == 2 && state.shape[0] == batch, "state must be [batch, actionDimension]")
      if let folded, batch == 1, device.backend.computesFolded {
        embeddings = try folded(
          stateToken: folded.stateToken(state), noisyActions: noisyActions,
          timeRow: folded.timeRow(timestep))
        break
      }
      embeddings = try device.traced(
        traces, [state, noisyActions, timeEmbedding(timestep)]
      ) { (inputs) throws(PI0Error) -> Tensor in
        let (state, noisyActions, time) = (inputs[0], inputs[1], inputs[2])
        let times = try time.reshaped([batch, 1, -1]).repeated([1, horizon, 1])
        let mixed = try timeIn(
          .concat([actionIn(noisyActions), times], axis: 2), activation: .silu)
        let stateToken = try stateProjection(state).reshaped([batch, 1, -1])
        return try .concat([stateToken, timeOut(mixed)], axis: 1)
      }
    case .pi05:
      embeddings = try device.traced(traces, [noisyActions]) { (inputs) throws(PI0Error) in
        try actionIn(inputs[0])
      }
    }
    return TokenEmbedding(
      embeddings: embeddings,
      padding: try padding(horizon: horizon, device).repeated([batch, 1]),
      marks: try marks(horizon: horizon, device).repeated([batch, 1]),
      condition: try condition(timestep))
  }

  /// What pi0.5's norms are conditioned on, `[batch, width]`; nil in pi0.
  func condition(_ timestep: Tensor) throws(PI0Error) -> Tensor? {
    guard case .pi05(let timeIn, let timeOut) = head else { return nil }
    return try timestep.device.traced(
      conditionTraces, [timeEmbedding(timestep)]
    ) { (inputs) throws(PI0Error) in
      try timeOut(timeIn(inputs[0], activation: .silu), activation: .silu)
    }
  }

  /// Nothing is padded: bool `[1, tokens]`.
  func padding(horizon: Int, _ device: Device) throws(PI0Error) -> Tensor {
    let count = stateTokens + horizon
    return try Tensor(
      [Bool](repeating: true, count: count), shape: [1, count], device: device)
  }

  /// The state begins a block, and so does the first action: bool `[1, tokens]`.
  func marks(horizon: Int, _ device: Device) throws(PI0Error) -> Tensor {
    let count = stateTokens + horizon
    return try Tensor(
      (0..<count).map { $0 <= stateTokens }, shape: [1, count], device: device)
  }

  /// Tokens before the first action's.
  private var stateTokens: Int {
    switch head {
    case .pi0: 1
    case .pi05: 0
    }
  }
}
