import Glibc

/// Large memory that is zero, and takes no room until it is touched.
enum Zeroed {
  static func allocate<T: BitwiseCopyable>(_ count: Int) -> UnsafeMutablePointer<T> {
    let mapped = mmap(
      nil, count * MemoryLayout<T>.stride, PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let mapped, mapped != UnsafeMutableRawPointer(bitPattern: -1) else {
      // No address space is left. Swift's own allocations end the process, too.
      abort()
    }
    return mapped.bindMemory(to: T.self, capacity: count)
  }

  static func deallocate<T: BitwiseCopyable>(_ memory: UnsafeMutablePointer<T>, _ count: Int) {
    munmap(memory, count * MemoryLayout<T>.stride)
  }
}
