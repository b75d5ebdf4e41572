import NIOCore
import PI0Kit

/// The answer to an observation.
///
/// | key | what |
/// |---|---|
/// | `actions` | float64 `[horizon, dimension]`, in the robot's units |
/// | `server_timing` | `infer_ms`: the inference; `wait_ms`: waiting for its turn before; `prev_total_ms`: of this client's request before, from the last byte received to the last one sent |
enum PolicyAnswer {
  static func message(
    _ chunk: ActionChunk, timing: InferenceQueue.Timing, previousTotal: TimeAmount?
  ) -> MessagePackValue {
    var times: [String: MessagePackValue] = [
      "infer_ms": .number(1e3 * timing.inference.seconds),
      "wait_ms": .number(1e3 * timing.waiting.seconds),
    ]
    if let previousTotal {
      times["prev_total_ms"] = .number(1e-6 * Double(previousTotal.nanoseconds))
    }
    var entries: [String: MessagePackValue] = ["server_timing": .map(times)]
    // A chunk holds as many values as its shape says, so that this cannot fail.
    if let actions = try? NumpyArray(chunk.values, shape: [chunk.horizon, chunk.dimension]) {
      entries["actions"] = .array(actions)
    }
    return .map(entries)
  }
}
