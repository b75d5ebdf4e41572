import CMicroKernels
import Glibc
import Synchronization

/// Threads that share the chunks of one job at a time; the caller is one of them.
///
/// Chunks are claimed one by one, so that a thread whose core is taken away costs its share and no
/// more. Threads wait for the next job spinning, for about as long as lies between two operations,
/// and then sleep.
final class ThreadPool: Sendable {
  /// Threads that work on a job, the caller included.
  let count: Int
  private let shared = SharedJob()
  private let threads: [pthread_t]
  private let turn = Mutex(())

  /// The most threads of a pool: more than any processor has cores, and few enough to start.
  static let maximumCount = 512

  /// - Parameters:
  ///   - count: of threads, the caller included; 1 to ``maximumCount``.
  ///   - cores: that each but the caller stays on, where there are as many. Which of them is the
  ///     system's choice: a thread bound to a single one could not leave it to the caller, or to
  ///     another process.
  init(count: Int, cores: [Int] = Processors.cores()) {
    var threads: [pthread_t] = []
    let count = min(max(count, 1), Self.maximumCount)
    for index in 1..<count {
      let worker = Worker(job: shared, index: index, cores: cores.count >= count ? cores : [])
      guard let thread = worker.start() else { break }
      threads.append(thread)
    }
    self.threads = threads
    self.count = threads.count + 1
  }

  deinit {
    shared.end()
    for thread in threads { pthread_join(thread, nil) }
  }

  /// Calls `body` with every chunk in `0..<chunks` and the index of the thread, below `count`, that
  /// carries it out. Returns when all are done. Must not be called from `body`.
  func parallel(_ chunks: Int, _ body: (_ chunk: Int, _ thread: Int) -> Void) {
    if chunks <= 1 || count == 1 || chunks > SharedJob.maximumChunks {
      for chunk in 0..<max(chunks, 0) { body(chunk, 0) }
      return
    }
    turn.withLock { _ in
      withoutActuallyEscaping(body) { shared.run(chunks, $0) }
    }
  }
}

/// A job that threads claim chunks of.
private final class SharedJob: @unchecked Sendable {
  // Unchecked for `chunks` and `body`: they are written while no chunk can be claimed, and read
  // only by threads that have claimed one.
  static let maximumChunks = Int(UInt32.max)

  /// The number of the job in the upper half, the chunks that nobody has claimed in the lower.
  private let ticket = Atomic<UInt64>(0)
  private let finished = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let isEnding = Atomic<Bool>(false)
  private var chunks = 0
  private var body: ((Int, Int) -> Void)?
  private let sleep = SleepingPlace()

  func run(_ chunks: Int, _ body: @escaping (Int, Int) -> Void) {
    self.chunks = chunks
    self.body = body
    finished.store(0, ordering: .relaxed)
    let job = (ticket.load(ordering: .relaxed) >> 32) &+ 1
    ticket.store(job << 32 | UInt64(chunks), ordering: .sequentiallyConsistent)
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 { sleep.wakeAll() }

    while let chunk = claim() { carryOut(chunk, thread: 0) }
    var spins = 0
    while finished.load(ordering: .acquiring) < chunks {
      spins += 1
      // A thread without a core needs this one's more than the waiting does.
      if spins < 2000 { mk_pause() } else { sched_yield() }
    }
    self.body = nil
  }

  /// The index of a chunk that nobody else has.
  private func claim() -> Int? {
    var seen = ticket.load(ordering: .acquiring)
    while seen & 0xFFFF_FFFF > 0 {
      let (exchanged, original) = ticket.weakCompareExchange(
        expected: seen, desired: seen - 1, ordering: .acquiring)
      if exchanged { return chunks - Int(seen & 0xFFFF_FFFF) }
      seen = original
    }
    return nil
  }

  private func carryOut(_ chunk: Int, thread: Int) {
    call(chunk, thread)
    finished.add(1, ordering: .releasing)
  }

  /// Not inlined: the body must be let go of before the chunk counts as finished.
  @inline(never)
  private func call(_ chunk: Int, _ thread: Int) { body?(chunk, thread) }

  /// What threads other than the caller's do until the pool ends.
  func work(thread: Int) {
    var idle = 0
    while true {
      if let chunk = claim() {
        carryOut(chunk, thread: thread)
        idle = 0
      } else if isEnding.load(ordering: .acquiring) {
        return
      } else if idle < 5000 {
        idle += 1
        mk_pause()
      } else {
        sleepers.add(1, ordering: .sequentiallyConsistent)
        sleep.wait { !hasWork }
        sleepers.subtract(1, ordering: .sequentiallyConsistent)
        idle = 0
      }
    }
  }

  private var hasWork: Bool {
    ticket.load(ordering: .sequentiallyConsistent) & 0xFFFF_FFFF > 0
      || isEnding.load(ordering: .sequentiallyConsistent)
  }

  func end() {
    isEnding.store(true, ordering: .sequentiallyConsistent)
    sleep.wakeAll()
  }
}

/// A condition variable.
private final class SleepingPlace: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func wait(while condition: () -> Bool) {
    pthread_mutex_lock(mutex)
    while condition() { pthread_cond_wait(self.condition, mutex) }
    pthread_mutex_unlock(mutex)
  }

  func wakeAll() {
    pthread_mutex_lock(mutex)
    pthread_cond_broadcast(condition)
    pthread_mutex_unlock(mutex)
  }
}

/// One thread of a pool.
private final class Worker: Sendable {
  private let job: SharedJob
  private let index: Int
  private let cores: [Int]

  init(job: SharedJob, index: Int, cores: [Int]) {
    self.job = job
    self.index = index
    self.cores = cores
  }

  func start() -> pthread_t? {
    var thread = pthread_t()
    let context = Unmanaged.passRetained(self)
    let status = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let worker = Unmanaged<Worker>.fromOpaque(context).takeRetainedValue()
        if !worker.cores.isEmpty { mk_stay_on(worker.cores, worker.cores.count) }
        worker.job.work(thread: worker.index)
        return nil
      }, context.toOpaque())
    if status != 0 {
      context.release()
      return nil
    }
    return thread
  }
}
