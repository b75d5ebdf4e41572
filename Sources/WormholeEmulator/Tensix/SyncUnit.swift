/// Semaphores and mutexes of a tile (tt-isa-documentation, TensixCoprocessor/SyncUnit.md), and when
/// each was posted, taken and released.
final class SyncUnit {
  private struct Semaphore {
    var value: UInt32 = 0
    var maximum: UInt32 = 0
    var posts = 0
    var gets = 0
    /// Of the last 16 posts and gets.
    var postClocks = [UInt64](repeating: 0, count: 16)
    var getClocks = [UInt64](repeating: 0, count: 16)
  }

  private struct Mutex {
    var holder: Int?
    var released: UInt64 = 0
  }

  private var semaphores = [Semaphore](repeating: Semaphore(), count: 8)
  private var mutexes = [Mutex](repeating: Mutex(), count: 8)

  /// What SEMWAIT waits for.
  enum Condition: UInt32 {
    case whileZero = 1
    case whileFull = 2
  }

  // MARK: - Semaphores

  /// The one semaphore that the instruction's eight selecting bits name.
  static func semaphore(of instruction: UInt32) throws(Violation) -> Int {
    let selected = instruction >> 2 & 0xFF
    guard selected.nonzeroBitCount == 1 else {
      throw Violation(
        "semaphores 0x\(String(selected, radix: 16)) are selected together",
        remedy: "select one an instruction")
    }
    return selected.trailingZeroBitCount
  }

  func value(_ semaphore: Int) throws(Violation) -> UInt32 {
    try check(semaphore)
    return semaphores[semaphore].value
  }

  func initialise(_ semaphore: Int, value: UInt32, maximum: UInt32, clock: UInt64)
    throws(Violation)
  {
    try check(semaphore)
    guard value <= maximum else {
      throw Violation(
        "semaphore \(semaphore) starts at \(value), above its maximum \(maximum)",
        remedy: "start at most at the maximum")
    }
    semaphores[semaphore] = Semaphore(value: value, maximum: maximum)
    semaphores[semaphore].posts = Int(value)
    for index in 0..<16 {
      semaphores[semaphore].postClocks[index] = clock
      semaphores[semaphore].getClocks[index] = clock
    }
  }

  /// `maximum` is the semaphore's own to an instruction, 15 to a core.
  func post(_ semaphore: Int, byCore: Bool = false, clock: UInt64) throws(Violation) {
    try check(semaphore)
    let state = semaphores[semaphore]
    guard state.value < (byCore ? 15 : state.maximum) else {
      throw Violation(
        "semaphore \(semaphore) is posted beyond its maximum \(byCore ? 15 : state.maximum)",
        remedy: "wait while it is full before posting, or start it with a larger maximum")
    }
    semaphores[semaphore].postClocks[state.posts & 15] = clock
    semaphores[semaphore].posts += 1
    semaphores[semaphore].value += 1
  }

  func get(_ semaphore: Int, clock: UInt64) throws(Violation) {
    try check(semaphore)
    let state = semaphores[semaphore]
    guard state.value > 0 else {
      throw Violation(
        "semaphore \(semaphore) is taken while it is 0",
        remedy: "wait while it is zero before taking it")
    }
    semaphores[semaphore].getClocks[state.gets & 15] = clock
    semaphores[semaphore].gets += 1
    semaphores[semaphore].value -= 1
  }

  /// When the condition ended; nil where it holds.
  func ends(_ condition: Condition, of semaphore: Int) throws(Violation) -> UInt64? {
    try check(semaphore)
    let state = semaphores[semaphore]
    switch condition {
    case .whileZero:
      guard state.value > 0 else { return nil }
      return state.postClocks[state.gets & 15]
    case .whileFull:
      guard state.value < state.maximum else { return nil }
      let get = state.posts - Int(state.maximum)
      return get < 0 ? 0 : state.getClocks[get & 15]
    }
  }

  private func check(_ semaphore: Int) throws(Violation) {
    guard semaphores.indices.contains(semaphore) else {
      throw Violation("semaphore \(semaphore)", remedy: "there are 8")
    }
  }

  // MARK: - Mutexes

  /// When the mutex was free; nil where another thread holds it.
  func acquire(_ mutex: Int, thread: Int) throws(Violation) -> UInt64? {
    try checkMutex(mutex)
    guard let holder = mutexes[mutex].holder else {
      mutexes[mutex].holder = thread
      return mutexes[mutex].released
    }
    guard holder != thread else {
      throw Violation(
        "mutex \(mutex) is acquired by the thread that holds it", remedy: "release it first")
    }
    return nil
  }

  func release(_ mutex: Int, thread: Int, clock: UInt64) throws(Violation) {
    try checkMutex(mutex)
    guard mutexes[mutex].holder == thread else {
      throw Violation(
        "mutex \(mutex) is released by a thread that does not hold it",
        remedy: "acquire it first")
    }
    mutexes[mutex] = Mutex(holder: nil, released: clock)
  }

  private func checkMutex(_ mutex: Int) throws(Violation) {
    guard mutex == 0 else {
      throw Violation(
        "mutex \(mutex)", remedy: "use mutex 0: the official simulator models no other")
    }
  }

  func describe(semaphore: Int) -> String {
    guard semaphores.indices.contains(semaphore) else { return "semaphore \(semaphore)" }
    let state = semaphores[semaphore]
    return "semaphore \(semaphore) (\(state.value) of \(state.maximum))"
  }
}
