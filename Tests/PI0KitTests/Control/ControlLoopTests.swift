import Foundation
import Logging
import XCTest

@testable import PI0Kit

final class ControlLoopTests: XCTestCase {
  private let observation = RobotObservation(images: [:], state: [1, 2])

  /// The actions of a waiting robot are the chunks' first steps, one chunk after the other.
  func testWaitingRobotGetsEveryAction() throws {
    let policy = FakePolicy()
    var loop = ControlLoop(
      InferenceMailbox(try ControlledPolicy(policy)),
      executor: try ChunkExecutor(.sequential, executedSteps: policy.executedSteps),
      budget: .seconds(60), seed: { UInt64($0) })
    for number in 0..<20 {
      let tick = try loop.tick { () throws(PI0Error) in observation }
      let noise = try policy.noise(seed: UInt64(number / 2)).floats()
      let expected = noise[number % 2 * 2..<number % 2 * 2 + 2].map { Double($0) + 1 }
      XCTAssertEqual(tick.command, .action(ArraySlice(expected)), "tick \(number)")
      XCTAssertEqual(tick.arrival?.delay, number % 2 == 0 ? 0 : nil)
      XCTAssertEqual(tick.staleness, number % 2)
    }
    XCTAssertEqual(loop.statistics.ticks, 20)
    XCTAssertEqual(loop.statistics.missedTicks, 0)
    XCTAssertEqual(loop.statistics.chunks, 10)
    XCTAssertEqual(loop.statistics.latency.count, 10)
  }

  /// A tick waits as long as its budget, and no longer, while the policy computes.
  func testTickKeepsItsBudget() throws {
    let policy = FakePolicy(isHeld: true)
    var loop = ControlLoop(
      InferenceMailbox(try ControlledPolicy(policy)),
      executor: try ChunkExecutor(.sequential, executedSteps: 2), budget: .milliseconds(20))
    let start = ContinuousClock.now
    let tick = try loop.tick { () throws(PI0Error) in observation }
    let time = start.duration(to: .now)
    XCTAssertTrue(tick.isMissed)
    XCTAssertEqual(tick.command, .hold)
    XCTAssertGreaterThanOrEqual(time, .milliseconds(20))
    XCTAssertLessThan(time, .seconds(5))  // of ten for which the policy computes
    policy.release()
    var late: ControlTick
    repeat { late = try loop.tick { () throws(PI0Error) in observation } } while late.isMissed
    XCTAssertGreaterThanOrEqual(late.arrival?.missed ?? 0, 1)
    XCTAssertEqual(loop.statistics.lateChunks, 1)
    XCTAssertEqual(loop.statistics.missedTicks, late.arrival?.missed)
  }

  func testFailuresAreReportedAndAskedAgain() throws {
    var loop = ControlLoop(
      InferenceMailbox(try ControlledPolicy(FakePolicy())),
      executor: try ChunkExecutor(.sequential, executedSteps: 2), budget: .seconds(60))
    let bad = RobotObservation(images: [:], state: [])
    let tick = try loop.tick { () throws(PI0Error) in bad }
    XCTAssertEqual(tick.failure, .input("no state"))
    XCTAssertTrue(tick.isMissed)
    XCTAssertFalse(try loop.tick { () throws(PI0Error) in observation }.isMissed)
    XCTAssertEqual(loop.statistics.failures, 1)
  }

  /// Whoever gives a logger hears of what goes wrong, and of nothing else.
  func testLogger() throws {
    let log = LogLines()
    var logger = Logger(label: "loop") { _ in log }
    logger.logLevel = .trace
    var loop = ControlLoop(
      InferenceMailbox(try ControlledPolicy(FakePolicy())),
      executor: try ChunkExecutor(.sequential, executedSteps: 2), budget: .seconds(60),
      logger: logger)
    let bad = RobotObservation(images: [:], state: [])
    _ = try loop.tick { () throws(PI0Error) in bad }
    XCTAssertEqual(log.levels, [.error, .warning])
    for _ in 0..<9 { _ = try loop.tick { () throws(PI0Error) in observation } }
    XCTAssertEqual(log.levels.count, log.levels.filter { $0 != .trace }.count)
    let before = log.levels.count
    try loop.run(ticksPerSecond: 1000) { () throws(PI0Error) in
      observation
    } act: { (tick: ControlTick) throws(PI0Error) in
      tick.number < 20
    }
    XCTAssertEqual(log.levels.dropFirst(before).last, .info)
    XCTAssertTrue(log.last.contains("latency p50 / p95 / p99"), log.last)
  }

  func testResetForgetsTheChunk() throws {
    let policy = FakePolicy()
    var loop = ControlLoop(
      InferenceMailbox(try ControlledPolicy(policy)),
      executor: try ChunkExecutor(.sequential, executedSteps: 2), budget: .seconds(60))
    _ = try loop.tick { () throws(PI0Error) in observation }
    loop.reset()
    let tick = try loop.tick { () throws(PI0Error) in observation }
    XCTAssertEqual(tick.staleness, 0, "of a new chunk")
    XCTAssertEqual(policy.count, 2)
  }

  /// Every period has one tick, or is counted as skipped.
  func testKeepsTheRate() throws {
    var loop = ControlLoop(
      InferenceMailbox(try ControlledPolicy(FakePolicy())),
      executor: try ChunkExecutor(.asynchronous(.measured), executedSteps: 2), budget: .zero)
    let start = ContinuousClock.now
    var calls = 0
    try loop.run(ticksPerSecond: 200) { () throws(PI0Error) in
      observation
    } act: { (tick: ControlTick) throws(PI0Error) in
      calls += 1
      if calls == 10 { Thread.sleep(forTimeInterval: 0.052) }
      return tick.number < 100
    }
    let periods = start.duration(to: .now) / .milliseconds(5)
    XCTAssertEqual(loop.statistics.ticks, calls + loop.statistics.skippedTicks)
    XCTAssertGreaterThanOrEqual(loop.statistics.skippedTicks, 9)
    XCTAssertGreaterThanOrEqual(periods, Double(loop.statistics.ticks - 1))
  }

  /// A million ticks with the tiny checkpoint, every inference computed, delays at random: nothing
  /// grows. `PI0KIT_TICKS` says how many; fewer unless it does.
  func testMemoryDoesNotGrow() throws {
    let ticks =
      ProcessInfo.processInfo.environment["PI0KIT_TICKS"].flatMap(Int.init) ?? 2_000
    let policy = try RobotPolicy(
      policy: Policy(
        checkpoint: Checkpoint(path: Fixtures.path("golden/pi0.weights.safetensors")), on: .cpu),
      transforms: [])
    let size = policy.policy.configuration.vision.imageSize
    let frame = try RGBImage(
      width: size, height: size, pixels: (0..<size * size * 3).map { UInt8($0 % 251) })
    let observation = RobotObservation(
      images: ["base_0_rgb": frame], state: [0.5, -0.5], prompt: .tokens([2, 5, 7]))
    var loop = ControlLoop(
      SimulatedService(policy: policy, delays: 0...14),
      executor: try ChunkExecutor(
        .asynchronous(.measured), executedSteps: policy.horizon, blendedSteps: 3),
      budget: .zero, seed: { UInt64($0) })
    var before = 0
    for number in 0..<ticks {
      _ = try loop.tick { () throws(PI0Error) in observation }
      if number == ticks / 10 { before = try residentBytes() }
    }
    XCTAssertEqual(loop.statistics.ticks, ticks)
    XCTAssertEqual(loop.statistics.failures, 0)
    XCTAssertGreaterThan(loop.statistics.missedTicks, 0)
    XCTAssertLessThan(try residentBytes() - before, 1 << 20)
  }

  /// The memory that the process has in use.
  private func residentBytes() throws -> Int {
    let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(
      separator: " ")
    return try XCTUnwrap(Int(pages[1])) * sysconf(Int32(_SC_PAGESIZE))
  }
}

/// Computes at once and answers after some ticks: every question for an outcome is a tick.
private struct SimulatedService: InferenceService {
  let policy: any ChunkPolicy
  let delays: ClosedRange<Int>
  private var random = SplitMix64(seed: 11)
  private var pending: (due: Int, outcome: InferenceOutcome)?

  init(policy: any ChunkPolicy, delays: ClosedRange<Int>) {
    self.policy = policy
    self.delays = delays
  }

  mutating func request(_ observation: RobotObservation, seed: UInt64) {
    let outcome: InferenceOutcome
    do throws(PI0Error) {
      let noise = try policy.noise(seed: seed)
      let chunk = try policy.infer(observation, noise: noise) { _ in }
      outcome = .finished(Inference(chunk: chunk, noise: noise, timings: InferenceTimings()))
    } catch {
      outcome = .failed(error)
    }
    pending = (.random(in: delays, using: &random), outcome)
  }

  mutating func outcome(waiting timeout: Duration) -> InferenceOutcome? {
    guard let (due, outcome) = pending else { return nil }
    pending = due <= 1 ? nil : (due - 1, outcome)
    return due <= 1 ? outcome : nil
  }

  mutating func reset() { pending = nil }
}

/// Keeps what is logged.
private final class LogLines: LogHandler, @unchecked Sendable {
  // Unchecked: a test logs from one thread.
  private(set) var levels: [Logger.Level] = []
  private(set) var last = ""
  var metadata: Logger.Metadata = [:]
  var logLevel = Logger.Level.trace

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    levels.append(event.level)
    last = event.message.description
  }
}
