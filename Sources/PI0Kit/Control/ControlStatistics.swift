/// What a control loop did, in memory of a fixed size.
public struct ControlStatistics: Sendable {
  /// Ticks, those that were skipped included.
  public internal(set) var ticks = 0
  /// Ticks that had no action of a chunk and took the fallback: missed deadlines.
  public internal(set) var missedTicks = 0
  /// Ticks that nobody asked for, because the ticks before took longer than their time.
  public internal(set) var skippedTicks = 0
  /// Inferences that gave a chunk.
  public internal(set) var chunks = 0
  /// Chunks that came after ticks had been missed for lack of them.
  public internal(set) var lateChunks = 0
  /// Chunks of which nothing was executed, because all of their steps were for ticks gone by.
  public internal(set) var staleChunks = 0
  /// Inferences that failed.
  public internal(set) var failures = 0
  /// From a request to its chunk.
  public internal(set) var latency = LatencyHistogram()
  /// How long the loop took for a tick, its observation included.
  public internal(set) var tickTime = LatencyHistogram()
  /// How many ticks old the observation was that an action came from.
  public internal(set) var staleness = StepHistogram()

  /// Nothing yet.
  public init() {}
}

extension ControlStatistics: CustomStringConvertible {
  /// One line: ticks, what went wrong, latency and staleness.
  public var description: String {
    func three(_ p: (Double) -> String?) -> String {
      [0.5, 0.95, 0.99].map { p($0) ?? "-" }.joined(separator: " / ")
    }
    return """
      \(ticks) ticks, \(missedTicks) missed, \(skippedTicks) skipped; \(chunks) chunks, \(lateChunks) late, \
      \(staleChunks) stale, \(failures) failed; latency p50 / p95 / p99 \
      \(three { latency.percentile($0)?.description }), at most \(latency.maximum); staleness \
      \(three { staleness.percentile($0)?.description }) steps
      """
  }
}
