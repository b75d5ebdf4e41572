import Foundation
import XCTest

@testable import PI0Kit

final class ChunkExecutorTests: XCTestCase {
  /// Ticks of the property test; 1,000,000 at 200 Hz are 83 minutes of a robot.
  private var ticks: Int {
    ProcessInfo.processInfo.environment["PI0KIT_TICKS"].flatMap(Int.init) ?? 100_000
  }

  private func chunk(_ rows: [[Double]]) throws -> ActionChunk {
    try ActionChunk(
      horizon: rows.count, dimension: rows.first?.count ?? 1, values: rows.flatMap { $0 })
  }

  /// A chunk of dimension 1 whose step `i` is `first + i`.
  private func chunk(from first: Double, count: Int) throws -> ActionChunk {
    try chunk((0..<count).map { [first + Double($0)] })
  }

  private func values(_ tick: ChunkExecutor.Tick) -> [Double]? {
    if case .action(let values) = tick.command { return Array(values) }
    return nil
  }

  // MARK: - Examples

  func testSequentialRunsOutThenInfers() throws {
    var executor = try ChunkExecutor(.sequential, executedSteps: 2)
    XCTAssertTrue(executor.wantsInference)
    executor.inferenceStarted()
    XCTAssertFalse(executor.wantsInference)
    XCTAssertEqual(executor.next().command, .hold)
    let arrival = try XCTUnwrap(try executor.receive(chunk(from: 10, count: 3)))
    XCTAssertEqual(
      arrival, .init(delay: 1, dropped: 0, blended: 0, missed: 1, isStale: false))
    XCTAssertEqual(values(executor.next()), [10])
    XCTAssertFalse(executor.wantsInference)
    let last = executor.next()
    XCTAssertEqual(values(last), [11])
    XCTAssertEqual(last.staleness, 2)
    XCTAssertTrue(executor.wantsInference)
    // The third step is not executed.
    XCTAssertTrue(executor.next().isMissed)
  }

  func testAsynchronousDropsWhatTimeHasPassed() throws {
    var executor = try ChunkExecutor(.asynchronous(.ticks(2)), executedSteps: 4)
    executor.inferenceStarted()
    _ = try executor.receive(chunk(from: 0, count: 6))
    XCTAssertEqual((0..<2).map { _ in values(executor.next()) }, [[0], [1]])
    XCTAssertTrue(executor.wantsInference)  // two ticks before the fourth
    executor.inferenceStarted()
    XCTAssertEqual((0..<3).map { _ in values(executor.next()) }, [[2], [3], [4]])
    let arrival = try executor.receive(chunk(from: 100, count: 6))
    XCTAssertEqual(arrival, .init(delay: 3, dropped: 3, blended: 0, missed: 0, isStale: false))
    let tick = executor.next()
    XCTAssertEqual(values(tick), [103])
    XCTAssertEqual(tick.staleness, 3)
  }

  func testBlendsLinearly() throws {
    var executor = try ChunkExecutor(
      .asynchronous(.ticks(9)), executedSteps: 9, blendedSteps: 3)
    executor.inferenceStarted()
    _ = try executor.receive(chunk((0..<6).map { _ in [0, 8] }))
    executor.inferenceStarted()
    _ = executor.next()
    let arrival = try executor.receive(chunk((0..<9).map { _ in [4, 0] }))
    XCTAssertEqual(arrival?.blended, 3)
    XCTAssertEqual(
      (0..<5).map { _ in values(executor.next()) }, [[1, 6], [2, 4], [3, 2], [4, 0], [4, 0]])
  }

  func testMeasuredLeadIsTheSlowestAndOne() throws {
    var executor = try ChunkExecutor(.asynchronous(.measured), executedSteps: 8)
    executor.inferenceStarted()
    for _ in 0..<3 { _ = executor.next() }
    _ = try executor.receive(chunk(from: 0, count: 8))  // after 3 ticks: a lead of 4
    while !executor.wantsInference { XCTAssertFalse(executor.next().isMissed) }
    XCTAssertEqual(executor.tick, 4)
  }

  func testStaleChunkIsReportedAndNotExecuted() throws {
    var executor = try ChunkExecutor(.asynchronous(.measured), executedSteps: 3)
    executor.inferenceStarted()
    for _ in 0..<3 { XCTAssertTrue(executor.next().isMissed) }
    let arrival = try executor.receive(chunk(from: 0, count: 3))
    XCTAssertEqual(arrival, .init(delay: 3, dropped: 3, blended: 0, missed: 3, isStale: true))
    XCTAssertTrue(executor.wantsInference)
    XCTAssertTrue(executor.next().isMissed)
  }

  func testFallbacks() throws {
    for (fallback, expected) in [
      (ChunkExecutor.Fallback.hold, ChunkExecutor.Command.hold), (.lastAction, .repeated([7])),
      (.stop, .stop),
    ] {
      var executor = try ChunkExecutor(.sequential, executedSteps: 1, fallback: fallback)
      XCTAssertEqual(executor.next().command, .hold, "nothing to repeat or stop yet")
      executor.inferenceStarted()
      _ = try executor.receive(chunk([[7]]))
      XCTAssertEqual(values(executor.next()), [7])
      XCTAssertEqual(executor.next().command, expected)
      executor.inferenceStarted()
      _ = try executor.receive(chunk([[8]]))
      // A stop lasts until a reset.
      XCTAssertEqual(values(executor.next()), fallback == .stop ? nil : [8])
      XCTAssertEqual(executor.wantsInference, fallback != .stop)
      executor.reset()
      XCTAssertTrue(executor.wantsInference)
      XCTAssertEqual(executor.next().command, .hold)
    }
  }

  func testSkippedTicksTakeTheirStepsAlong() throws {
    var executor = try ChunkExecutor(.asynchronous(.measured), executedSteps: 8)
    executor.inferenceStarted()
    _ = try executor.receive(chunk(from: 0, count: 8))
    executor.skip(5)
    XCTAssertEqual(values(executor.next()), [5])
  }

  func testFailureAndReset() throws {
    var executor = try ChunkExecutor(.sequential, executedSteps: 1)
    executor.inferenceStarted()
    executor.inferenceFailed()
    XCTAssertTrue(executor.wantsInference)
    executor.inferenceStarted()
    executor.reset()
    XCTAssertNil(try executor.receive(chunk([[1]])), "it belongs to what was before the reset")
    XCTAssertTrue(executor.next().isMissed)
  }

  func testRefusals() throws {
    XCTAssertThrowsError(try ChunkExecutor(.sequential, executedSteps: 0))
    XCTAssertThrowsError(try ChunkExecutor(.sequential, executedSteps: 1, blendedSteps: -1))
    XCTAssertThrowsError(try ChunkExecutor(.asynchronous(.ticks(-1)), executedSteps: 1))
    var executor = try ChunkExecutor(.sequential, executedSteps: 1)
    executor.inferenceStarted()
    _ = try executor.receive(chunk([[1]]))
    executor.inferenceStarted()
    XCTAssertThrowsError(try executor.receive(chunk([[1, 2]])))
  }

  // MARK: - Property

  /// Random delays, from none to several chunks long, failures, and all settings: every tick's
  /// action, its staleness, every missed tick and every arrival are those of the plain model.
  func testFollowsThePlainModel() throws {
    var random = SplitMix64(seed: 7)
    var done = 0
    var (missed, stale, blended, starts) = (0, 0, 0, 0)
    while done < ticks {
      let count = min(ticks - done, 5000)
      done += count
      let isSequential = Bool.random(using: &random)
      let lead = Int.random(in: 0...12, using: &random)
      let executedSteps = Int.random(in: 1...10, using: &random)
      let blendedSteps = Int.random(in: 0...5, using: &random)
      let slowest = Int.random(in: 0...14, using: &random)
      var executor = try ChunkExecutor(
        isSequential ? .sequential : .asynchronous(.ticks(lead)), executedSteps: executedSteps,
        blendedSteps: blendedSteps)
      var model = ExecutorModel(
        isSequential: isSequential, executedSteps: executedSteps, blendedSteps: blendedSteps)
      var inference: (due: Int, observed: Int)?
      var missedSinceChunk = 0

      for tick in 0..<count {
        if let (due, observed) = inference, due <= tick { try arrive(observed: observed) }
        XCTAssertEqual(
          executor.wantsInference, inference == nil && model.wantsInference(at: tick, lead: lead))
        if executor.wantsInference {
          starts += 1
          executor.inferenceStarted()
          inference = (tick + Int.random(in: 0...slowest, using: &random), tick)
          if let (due, observed) = inference, due == tick { try arrive(observed: observed) }
        }
        let expected = model.action(at: tick)
        XCTAssertEqual(executor.hasAction, expected != nil)
        let actual = executor.next()
        guard actual.number == tick, actual.isMissed == (expected == nil),
          values(actual) == expected?.values,
          actual.staleness == expected.map({ tick - $0.observed })
        else {
          return XCTFail("tick \(tick): \(actual) instead of \(String(describing: expected))")
        }
        if actual.isMissed { (missed, missedSinceChunk) = (missed + 1, missedSinceChunk + 1) }

        func arrive(observed: Int) throws {
          inference = nil
          if Int.random(in: 0..<50, using: &random) == 0 { return executor.inferenceFailed() }
          let horizon = Int.random(in: 1...12, using: &random)
          let rows = (0..<horizon).map { _ in
            [Double.random(in: -1...1, using: &random), Double.random(in: -1...1, using: &random)]
          }
          let before = model.plan.keys.filter { $0 >= tick }
          model.receive(rows, at: tick, observed: observed)
          let arrival = try XCTUnwrap(try executor.receive(chunk(rows)))
          XCTAssertEqual(arrival.delay, tick - observed)
          XCTAssertEqual(arrival.missed, missedSinceChunk)
          let isStale = !isSequential && tick - observed >= horizon
          XCTAssertEqual(arrival.isStale, isStale)
          XCTAssertEqual(
            arrival.dropped, isSequential ? 0 : min(tick - observed, horizon))
          let common = before.filter { $0 < observed + horizon }.count
          XCTAssertEqual(
            arrival.blended, isSequential || isStale ? 0 : min(blendedSteps, common))
          stale += isStale ? 1 : 0
          blended += arrival.blended
          missedSinceChunk = 0
        }
      }
    }
    // The random settings reached what they are to test.
    for number in [missed, stale, blended, starts] { XCTAssertGreaterThan(number, ticks / 1000) }
  }
}
