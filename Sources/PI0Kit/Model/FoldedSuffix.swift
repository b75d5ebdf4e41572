/// pi0's suffix embedding for one sample, without computing again what does not change: the state's
/// token is one for all steps, and the time's half of action_time_mlp_in is one row for all actions.
///
/// `in · [a | t] + b = in_a · a + (in_t · t + b)`: equal to ``SuffixEmbedder`` up to rounding.
struct FoldedSuffix: Sendable {
  private let actionIn: Linear
  private let stateProjection: Linear
  private let actionHalf: Tensor  // action_time_mlp_in.weight[:, :width]
  private let timeHalf: Linear  // action_time_mlp_in.weight[:, width:] and its bias
  private let timeOut: Linear
  private let timeEmbedding: SinusoidalTimeEmbedding
  private let device: Device
  private let traces = TraceCache("suffix embedding of a step")

  /// Nil for pi0.5, whose time conditions the norms instead.
  init?(_ embedder: SuffixEmbedder) throws(PI0Error) {
    guard case .pi0(let stateProjection, let timeIn, let timeOut) = embedder.head else {
      return nil
    }
    let weight = try timeIn.weight.moved(to: .reference)
    let width = weight.shape[0]
    device = timeIn.weight.device
    actionIn = embedder.actionIn
    self.stateProjection = stateProjection
    actionHalf = try weight.sliced(axis: 1, 0..<width).moved(to: device)
    timeHalf = Linear(
      weight: try weight.sliced(axis: 1, width..<2 * width),
      bias: try timeIn.bias?.moved(to: .reference))
    self.timeOut = timeOut
    timeEmbedding = embedder.timeEmbedding
  }

  /// `in_t · time + b`, `[width]`, for a time `[1]`. Computed at load, on the CPU.
  func timeRow(_ time: Tensor) throws(PI0Error) -> Tensor {
    try timeHalf(timeEmbedding(time.moved(to: .reference))).reshaped([-1]).moved(to: device)
  }

  /// `[1, 1, width]` for a state `[1, actionDimension]`.
  func stateToken(_ state: Tensor) throws(PI0Error) -> Tensor {
    try stateProjection(state).reshaped([1, 1, -1])
  }

  /// The tokens `[1, 1 + horizon, width]`.
  func callAsFunction(
    stateToken: Tensor, noisyActions: Tensor, timeRow: Tensor
  ) throws(PI0Error) -> Tensor {
    try noisyActions.device.traced(
      traces, [stateToken, noisyActions, timeRow]
    ) { (inputs) throws(PI0Error) -> Tensor in
      let (stateToken, noisyActions, timeRow) = (inputs[0], inputs[1], inputs[2])
      let mixed = try actionIn(noisyActions).linear(
        weight: actionHalf, bias: timeRow, activation: .silu)
      return try .concat([stateToken, timeOut(mixed)], axis: 1)
    }
  }
}
