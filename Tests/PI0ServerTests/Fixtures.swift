import Foundation
import PI0Kit
import Synchronization
import XCTest

@testable import PI0Server

/// The files under Tests/Fixtures.
enum Fixtures {
  static let folder = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")

  static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  /// The example policy, without transforms.
  static func policy() throws -> RobotPolicy {
    try RobotPolicy(
      policy: Policy(checkpoint: Checkpoint(path: path("example/checkpoint")), on: .cpu),
      transforms: [])
  }
}

extension NumpyArray {
  /// A grey picture.
  static func picture(height: Int, width: Int, value: UInt8 = 90) throws -> NumpyArray {
    try NumpyArray(
      .uint8, shape: [height, width, 3],
      bytes: [UInt8](repeating: value, count: 3 * height * width)[...])
  }
}

/// A policy that gives the state back, and that can be held up.
final class EchoPolicy: ServedPolicy {
  let keys = ObservationKeys()
  let metadata: [String: MessagePackValue] = ["name": .string("echo")]
  /// Signalled whenever an inference begins.
  let begun = DispatchSemaphore(value: 0)
  /// Where given, each inference waits for it.
  let gate: DispatchSemaphore?
  /// The first value of each state, in the order of inferences.
  let order = Mutex<[Double]>([])
  private let repetitions: Int

  /// Chunks have `repetitions` times the state.
  init(gate: DispatchSemaphore? = nil, repetitions: Int = 1) {
    self.gate = gate
    self.repetitions = repetitions
  }

  func actions(
    for observation: RobotObservation, noise: Tensor?
  ) throws(PI0Error) -> ActionChunk {
    order.withLock { $0.append(observation.state.first ?? .nan) }
    begun.signal()
    gate?.wait()
    if observation.state.first == -1 { throw .input("the state is -1") }
    return try ActionChunk(
      horizon: repetitions, dimension: observation.state.count,
      values: [[Double]](repeating: observation.state, count: repetitions).flatMap(\.self))
  }
}
