import Foundation
import Synchronization
import XCTest

@testable import PI0Kit

final class ThreadPoolTests: XCTestCase {
  func testEveryChunkIsCarriedOutOnce() {
    for threads in 1...4 {
      let pool = ThreadPool(count: threads)
      for chunks in [0, 1, 2, 7, 1000] {
        let calls = (0..<max(chunks, 1)).map { _ in Counter() }
        pool.parallel(chunks) { chunk, thread in
          XCTAssertTrue((0..<pool.count).contains(thread))
          calls[chunk].value.add(1, ordering: .relaxed)
        }
        XCTAssertTrue(
          calls.prefix(chunks).allSatisfy { $0.value.load(ordering: .relaxed) == 1 },
          "\(threads) threads, \(chunks) chunks")
      }
    }
  }

  /// Jobs so short that threads come late, and pauses in which they fall asleep.
  func testManyShortJobs() {
    let pool = ThreadPool(count: 3)
    let sum = Counter()
    for job in 0..<20_000 {
      pool.parallel(3) { chunk, _ in sum.value.add(chunk, ordering: .relaxed) }
      if job % 2_000 == 0 { usleep(2_000) }
    }
    XCTAssertEqual(sum.value.load(ordering: .relaxed), 60_000)
  }

  func testSeveralCallers() {
    let pool = ThreadPool(count: 2)
    let sum = Counter()
    DispatchQueue.concurrentPerform(iterations: 4) { _ in
      for _ in 0..<500 {
        pool.parallel(5) { _, _ in sum.value.add(1, ordering: .relaxed) }
      }
    }
    XCTAssertEqual(sum.value.load(ordering: .relaxed), 10_000)
  }

  private final class Counter: Sendable {
    let value = Atomic<Int>(0)
  }
}
