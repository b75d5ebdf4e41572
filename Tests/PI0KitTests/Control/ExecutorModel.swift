@testable import PI0Kit

/// What ``ChunkExecutor`` is to do, said the plain way: a table of what every tick's action would be,
/// rewritten whenever a chunk arrives.
struct ExecutorModel {
  struct Row: Equatable {
    var values: [Double]
    var observed: Int
  }

  let isSequential: Bool
  let executedSteps: Int
  let blendedSteps: Int
  /// The action of each tick to come.
  private(set) var plan: [Int: Row] = [:]
  /// The first tick of the current chunk's first step, and its last tick but one; nil before.
  private var chunk: (origin: Int, horizon: Int)?

  init(isSequential: Bool, executedSteps: Int, blendedSteps: Int) {
    self.isSequential = isSequential
    self.executedSteps = executedSteps
    self.blendedSteps = blendedSteps
  }

  /// Whether an inference is to start at a tick where none is under way.
  func wantsInference(at tick: Int, lead: Int) -> Bool {
    guard let chunk else { return true }
    let end = min(executedSteps, chunk.horizon)
    return tick >= chunk.origin + end - (isSequential ? 0 : lead)
  }

  /// A chunk arrives at `tick`, before its action; its observation was made at `observed`.
  mutating func receive(_ rows: [[Double]], at tick: Int, observed: Int) {
    if isSequential {
      plan = [:]
      for (step, row) in rows.prefix(executedSteps).enumerated() {
        plan[tick + step] = Row(values: row, observed: observed)
      }
      chunk = (tick, rows.count)
      return
    }
    guard observed + rows.count > tick else { return }
    let old = plan.filter { $0.key >= tick }
    var new: [Int: Row] = [:]
    for (step, row) in rows.enumerated() where observed + step >= tick {
      new[observed + step] = Row(values: row, observed: observed)
    }
    let common = min(blendedSteps, old.keys.filter { new[$0] != nil }.count)
    for step in 0..<common {
      guard let before = old[tick + step], let after = new[tick + step] else { continue }
      let share = Double(step + 1) / Double(common + 1)
      new[tick + step]?.values = zip(before.values, after.values).map { $0 + ($1 - $0) * share }
    }
    plan = new
    chunk = (observed, rows.count)
  }

  /// The action of a tick; nil for the fallback.
  mutating func action(at tick: Int) -> Row? {
    plan.removeValue(forKey: tick)
  }
}
