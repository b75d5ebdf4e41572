import Glibc
import Wormhole

/// Zeros that take memory where they are written alone.
final class LazyMemory {
  let start: UnsafeMutableRawPointer
  let count: Int

  init(_ count: Int) throws(CardError) {
    self.count = count
    let start = mmap(
      nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let start, start != MAP_FAILED else {
      throw CardError(
        card: "emulator", call: "mmap",
        seen: "\(count) bytes: \(String(cString: strerror(errno)))",
        remedy: "let the process have more address space (ulimit -v), or open fewer cards")
    }
    self.start = start
  }

  deinit { munmap(start, count) }
}
