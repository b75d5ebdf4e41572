import Synchronization

/// The recordings that a backend keeps of one function, by the shapes of its inputs.
///
/// A layer that is run as one unit holds a cache of its own; its weights never change, so neither
/// does what was recorded.
final class TraceCache: Sendable {
  /// The function, for reports.
  let name: String
  private let recordings = Mutex<[String: any Sendable]>([:])

  init(_ name: String) { self.name = name }

  /// The recording for inputs of these shapes and types, made by `record` if there is none.
  func recording<Recording: Sendable>(
    for inputs: [Tensor], record: () throws(PI0Error) -> Recording
  ) throws(PI0Error) -> Recording {
    let key = inputs.map(\.description).joined(separator: " ")
    if let found = recordings.withLock({ $0[key] }) as? Recording { return found }
    let recording = try record()
    recordings.withLock { $0[key] = recording }
    return recording
  }
}

extension Device {
  /// Carries out `body` on `inputs` as one unit where the device can: on a card, one doorbell.
  /// The operations in `body` must depend on nothing but `inputs` and weights.
  func traced(
    _ cache: TraceCache, _ inputs: [Tensor], _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) -> [Tensor] {
    try backend.traced(cache, inputs, body)
  }

  /// The same for one result.
  func traced(
    _ cache: TraceCache, _ inputs: [Tensor], _ body: ([Tensor]) throws(PI0Error) -> Tensor
  ) throws(PI0Error) -> Tensor {
    let results = try traced(cache, inputs) { (inputs) throws(PI0Error) in [try body(inputs)] }
    guard let result = results.first else {
      throw .device("\(name) returned no result for a trace")
    }
    return result
  }

  /// Does what ``traced(_:_:_:)`` would do once for inputs like these, without computing.
  func prepare(
    _ cache: TraceCache, _ inputs: [Tensor], onProgress: (_ done: Int, _ total: Int) -> Void,
    _ body: ([Tensor]) throws(PI0Error) -> Tensor
  ) throws(PI0Error) {
    try backend.prepare(cache, inputs, onProgress: onProgress) { (inputs) throws(PI0Error) in
      [try body(inputs)]
    }
  }
}
