/// Durations in memory of a fixed size: percentiles within 1 % of the truth, the maximum exact.
///
/// Buckets are as wide as a 64th of the power of two that they are in, from 1 ns up.
public struct LatencyHistogram: Sendable {
  /// Durations recorded.
  public private(set) var count = 0
  /// The longest of them.
  public private(set) var maximum = Duration.zero

  private static let subdivisionBits = 6
  private var buckets = [Int](repeating: 0, count: (64 - subdivisionBits) << subdivisionBits)

  /// A histogram of nothing.
  public init() {}

  /// Adds a duration; a negative one counts as none.
  public mutating func record(_ duration: Duration) {
    let (seconds, attoseconds) = min(max(duration, .zero), .seconds(1 << 32)).components
    let nanoseconds = UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    buckets[Self.bucket(of: nanoseconds)] += 1
    count += 1
    maximum = max(maximum, duration)
  }

  /// The duration that a share of all, between 0 and 1, does not exceed: 0.95 for p95. Nil where
  /// there is none.
  public func percentile(_ share: Double) -> Duration? {
    guard count > 0 else { return nil }
    let rank = max(1, Int((Double(count) * min(max(share, 0), 1)).rounded(.up)))
    var seen = 0
    for (index, entries) in buckets.enumerated() {
      seen += entries
      if seen >= rank { return min(Self.middle(of: index), maximum) }
    }
    return maximum
  }

  // The first 64 buckets hold one nanosecond each; after those, each power of two has 64.
  private static func bucket(of nanoseconds: UInt64) -> Int {
    let shift = max(0, 63 - nanoseconds.leadingZeroBitCount - subdivisionBits)
    return shift << subdivisionBits + Int(nanoseconds >> UInt64(shift))
  }

  private static func middle(of bucket: Int) -> Duration {
    let shift = max(0, bucket >> subdivisionBits - 1)
    let low = (bucket - shift << subdivisionBits) << shift
    return .nanoseconds(low + (1 << shift) / 2)
  }
}

/// Small counts in memory of a fixed size.
public struct StepHistogram: Sendable {
  /// Counts recorded.
  public private(set) var count = 0
  /// The largest of them.
  public private(set) var maximum = 0

  private var buckets = [Int](repeating: 0, count: 1024)  // the last one: and more

  /// A histogram of nothing.
  public init() {}

  /// Adds a count; a negative one counts as none.
  public mutating func record(_ steps: Int) {
    buckets[min(max(steps, 0), buckets.count - 1)] += 1
    count += 1
    maximum = max(maximum, steps)
  }

  /// The count that a share of all, between 0 and 1, does not exceed; nil where there is none.
  public func percentile(_ share: Double) -> Int? {
    guard count > 0 else { return nil }
    let rank = max(1, Int((Double(count) * min(max(share, 0), 1)).rounded(.up)))
    var seen = 0
    for (steps, entries) in buckets.dropLast().enumerated() {
      seen += entries
      if seen >= rank { return steps }
    }
    return maximum
  }
}
