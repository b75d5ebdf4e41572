import Glibc

/// A value behind a lock, and a place to wait for it to change.
final class Monitor<Value>: @unchecked Sendable {
  // Unchecked: `value` is touched under the lock only.
  private var value: Value
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init(_ value: sending Value) {
    self.value = value
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Reads or changes the value, and wakes those who wait.
  func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    pthread_mutex_lock(mutex)
    defer {
      pthread_cond_broadcast(condition)
      pthread_mutex_unlock(mutex)
    }
    return body(&value)
  }

  /// What `body` returns, once that is not nil; nil after `timeout`. Without a timeout it waits for
  /// as long as it takes.
  func wait<Result>(
    atMost timeout: Duration? = nil, for body: (inout Value) -> Result?
  ) -> Result? {
    var deadline = timespec()
    if let timeout {
      clock_gettime(CLOCK_MONOTONIC, &deadline)
      deadline = deadline.later(by: timeout)
    }
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&value) { return result }
      if timeout == nil {
        pthread_cond_wait(condition, mutex)
      } else if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT {
        return body(&value)
      }
    }
  }
}

extension timespec {
  /// This moment and a duration, at most some centuries.
  func later(by duration: Duration) -> timespec {
    let limit = Duration.seconds(1 << 33)
    let (seconds, attoseconds) = min(max(duration, .zero), limit).components
    let nanoseconds = tv_nsec + Int(attoseconds / 1_000_000_000)
    return timespec(
      tv_sec: tv_sec + Int(seconds) + nanoseconds / 1_000_000_000,
      tv_nsec: nanoseconds % 1_000_000_000)
  }
}
