import Foundation
import Synchronization
import XCTest

@testable import PI0Kit

final class ControlledPolicyTests: XCTestCase {
  private let observation = RobotObservation(images: [:], state: [1, 2])

  func testInfersWithTheNoiseOfTheSeed() async throws {
    let controlled = try ControlledPolicy(FakePolicy())
    let inference = try await controlled.infer(observation, seed: 5)
    let noise = try FakePolicy().noise(seed: 5)
    XCTAssertEqual(try inference.noise.floats(), try noise.floats())
    XCTAssertEqual(inference.chunk.values, try noise.floats().map { Double($0) + 1 })
    XCTAssertGreaterThan(inference.timings.computing, .zero)
  }

  func testOneAtATimeInOrder() async throws {
    let policy = FakePolicy()
    let controlled = try ControlledPolicy(policy)
    let states = try await withThrowingTaskGroup(of: Double.self) { group in
      for index in 0..<50 {
        let observation = RobotObservation(images: [:], state: [Double(index), 0])
        group.addTask { try await controlled.infer(observation).chunk.values[0] }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    XCTAssertEqual(states.count, 50)
    XCTAssertEqual(policy.count, 50)
    XCTAssertEqual(policy.mostAtOnce, 1)
  }

  func testNewerObservationReplacesTheWaitingOne() throws {
    let policy = FakePolicy(isHeld: true)
    let controlled = try ControlledPolicy(policy)
    let outcomes = Mutex<[String]>([])
    let ended = (0..<4).map { expectation(description: "\($0)") }
    for index in 0..<4 {
      controlled.request(
        RobotObservation(images: [:], state: [Double(index), 0]), replacesWaiting: true
      ) { outcome in
        outcomes.withLock { $0.append("\(index) \(outcome.name)") }
        ended[index].fulfill()
      }
      if index == 0 { policy.waitUntilItComputes() }
    }
    XCTAssertEqual(outcomes.withLock { $0 }, ["1 replaced", "2 replaced"])
    policy.release()
    wait(for: ended, timeout: 10)
    XCTAssertEqual(outcomes.withLock { $0.suffix(2) }, ["0 finished", "3 finished"])
  }

  func testResetDiscardsWhatIsWaitingAndWhatIsComputed() throws {
    let policy = FakePolicy(isHeld: true)
    let controlled = try ControlledPolicy(policy)
    let outcomes = Mutex<[String]>([])
    let ended = (0..<3).map { expectation(description: "\($0)") }
    func request(_ index: Int) {
      controlled.request(observation) { outcome in
        outcomes.withLock { $0.append("\(index) \(outcome.name)") }
        ended[index].fulfill()
      }
    }
    request(0)
    policy.waitUntilItComputes()
    request(1)
    controlled.reset()
    request(2)
    policy.release()
    wait(for: ended, timeout: 10)
    XCTAssertEqual(
      outcomes.withLock { $0 }, ["1 discarded", "0 discarded", "2 finished"])
  }

  func testRequestDoesNotWait() throws {
    let policy = FakePolicy(isHeld: true)
    let controlled = try ControlledPolicy(policy)
    let mailbox = InferenceMailbox(controlled)
    mailbox.request(observation, seed: 1)
    policy.waitUntilItComputes()
    // It computes, and will until it is released: here nobody waits for it.
    XCTAssertNil(mailbox.outcome(waiting: .zero))
    XCTAssertNil(mailbox.outcome(waiting: .milliseconds(5)))
    policy.release()
    XCTAssertEqual(mailbox.outcome(waiting: .seconds(10))?.name, "finished")
    XCTAssertNil(mailbox.outcome(waiting: .zero), "an outcome is taken once")
  }

  func testErrorsArriveAndTheNextInferenceRuns() async throws {
    let controlled = try ControlledPolicy(FakePolicy())
    do {
      _ = try await controlled.infer(RobotObservation(images: [:], state: []))
      XCTFail("no error")
    } catch {
      XCTAssertEqual(error, .input("no state"))
    }
    _ = try await controlled.infer(observation)
  }

  func testEndsItsThread() throws {
    let policy = FakePolicy(isHeld: true)
    var controlled: ControlledPolicy? = try ControlledPolicy(policy)
    let ended = [expectation(description: "computed"), expectation(description: "waiting")]
    for end in ended {
      controlled?.request(observation) {
        XCTAssertEqual($0.name, "discarded")
        end.fulfill()
      }
    }
    policy.waitUntilItComputes()
    DispatchQueue.global().asyncAfter(deadline: .now() + 0.02) { policy.release() }
    controlled = nil  // waits for the thread
    wait(for: ended, timeout: 0)
  }

  func testWarmUp() throws {
    let policy = FakePolicy()
    let timings = try ControlledPolicy(policy).warmUp(observation, count: 3)
    XCTAssertEqual(timings.count, 3)
    XCTAssertEqual(policy.count, 3)
  }
}

extension InferenceOutcome {
  var name: String {
    switch self {
    case .finished: "finished"
    case .failed(let error): "failed: \(error)"
    case .replaced: "replaced"
    case .discarded: "discarded"
    }
  }
}

/// Chunks that tell the observation and the noise that they are of. While it is held, it computes.
final class FakePolicy: ChunkPolicy {
  private struct State {
    var isHeld: Bool
    var computing = 0
    var mostAtOnce = 0
    var count = 0
  }

  let interface = RobotInterface(cameras: [], actionDimension: 2)
  let horizon = 3
  let executedSteps = 2
  private let state: Monitor<State>

  init(isHeld: Bool = false) { state = Monitor(State(isHeld: isHeld)) }

  var count: Int { state.withLock { $0.count } }
  var mostAtOnce: Int { state.withLock { $0.mostAtOnce } }

  func release() { state.withLock { $0.isHeld = false } }
  func waitUntilItComputes() {
    _ = state.wait(atMost: .seconds(10)) { $0.computing > 0 ? true : nil }
  }

  func noise(seed: UInt64) throws(PI0Error) -> Tensor { try .normal([1, 3, 2], seed: seed) }

  func infer(
    _ observation: RobotObservation, noise: Tensor, onProgress: (PolicyProgress) -> Void
  ) throws(PI0Error) -> ActionChunk {
    guard let first = observation.state.first else { throw .input("no state") }
    state.withLock {
      $0.computing += 1
      $0.mostAtOnce = max($0.mostAtOnce, $0.computing)
    }
    _ = state.wait(atMost: .seconds(10)) { $0.isHeld ? nil : true }
    state.withLock {
      $0.computing -= 1
      $0.count += 1
    }
    return try ActionChunk(
      horizon: 3, dimension: 2, values: try noise.floats().map { Double($0) + first })
  }
}
