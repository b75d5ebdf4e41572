/// pi0's suffix embedding for one sample with all products of weights carried out at load, and
/// without computing again what does not change: the state's token is one for all steps, and the
/// time's half of action_time_mlp_in is one row for all actions.
///
/// `in · [A x + a | t] + b = (in_a A) x + (in_t t + in_a a + b)`: equal to ``SuffixEmbedder``'s
/// definition up to rounding.
struct FoldedSuffix: Sendable {
  private let stateProjection: Linear
  private let actions: Tensor  // action_time_mlp_in.weight[:, :width] · action_in_proj.weight
  private let time: Linear  // action_time_mlp_in.weight[:, width:], and all that is constant
  private let timeOut: Linear
  private let timeEmbedding: SinusoidalTimeEmbedding
  private let device: Device
  private let traces = TraceCache("suffix embedding of a step")

  /// Nil for pi0.5, whose time conditions the norms instead.
  init?(_ embedder: SuffixEmbedder) throws(PI0Error) {
    guard case .pi0(let stateProjection, let timeIn, let timeOut) = embedder.head else {
      return nil
    }
    device = timeIn.weight.device
    let host = device.backend.records ? Device.cpu : device
    func onHost(_ tensor: Tensor?) throws(PI0Error) -> Tensor? {
      try tensor?.moved(to: host).converted(to: .float32)
    }
    let weight = try timeIn.weight.moved(to: host)
    let width = weight.shape[0]
    let actionHalf = try weight.sliced(axis: 1, 0..<width).converted(to: .float32)
    let actionIn = embedder.actionIn
    actions = try actionHalf.matmul(
      actionIn.weight.moved(to: host).converted(to: .float32)
    ).moved(to: device).named("action_in_proj.action_time_mlp_in")
    var bias = try onHost(timeIn.bias)
    if let actionBias = try onHost(actionIn.bias) {
      bias = try actionBias.linear(weight: actionHalf, bias: bias)
    }
    time = Linear(weight: try weight.sliced(axis: 1, width..<2 * width), bias: bias)
    self.stateProjection = stateProjection
    self.timeOut = timeOut
    timeEmbedding = embedder.timeEmbedding
  }

  /// `in_t t + in_a a + b`, `[width]`, for a time `[1]`.
  func timeRow(_ time: Tensor) throws(PI0Error) -> Tensor {
    let host = self.time.weight.device
    return try self.time(timeEmbedding(time.moved(to: host))).reshaped([-1]).moved(to: device)
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
      let mixed = try noisyActions.linear(weight: actions, bias: timeRow, activation: .silu)
      return try .concat([stateToken, timeOut(mixed)], axis: 1)
    }
  }
}
