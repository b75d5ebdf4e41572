import Foundation
import PI0Kit
import XCTest

@testable import pi0

/// The task against its Python twin, with which the policy was trained.
final class ArmTaskTests: XCTestCase {
  private struct Fixture: Decodable {
    struct Episode: Decodable {
      let seed: UInt64
      let targets: [[Double]]
      let wanted: String
      let tokens: [Int32]
      let steps: [Step]
    }
    struct Step: Decodable {
      let joints, tip, command: [Double]
      let picture: String
    }
    let episodes: [Episode]
    let noise: [Double]
  }

  private func fixture() throws -> Fixture {
    let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/demo/task.json")
    return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: path))
  }

  func testEpisodesMovesAndPicturesAreThoseOfPython() throws {
    for episode in try fixture().episodes {
      var arm = ArmTask(seed: episode.seed)
      XCTAssertEqual("\(arm.wanted)", episode.wanted)
      XCTAssertEqual(ArmTask.prompt(arm.wanted), episode.tokens)
      for (target, expected) in zip(arm.targets, episode.targets) {
        XCTAssertEqual(target.x, expected[0], accuracy: 1e-12)
        XCTAssertEqual(target.y, expected[1], accuracy: 1e-12)
      }
      for step in episode.steps {
        for (joint, expected) in zip(arm.joints, step.joints) {
          XCTAssertEqual(joint, expected, accuracy: 1e-12)
        }
        XCTAssertEqual(arm.tip.x, step.tip[0], accuracy: 1e-12)
        XCTAssertEqual(arm.tip.y, step.tip[1], accuracy: 1e-12)
        let picture = try ArmCamera.picture(joints: arm.joints, targets: arm.targets)
        XCTAssertEqual(hash(picture.pixels), step.picture, "episode \(episode.seed)")
        arm.move(to: step.command)
      }
    }
  }

  /// FNV-1a of 64 bits.
  private func hash(_ bytes: [UInt8]) -> String {
    let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    return String(hash, radix: 16)
  }

  func testNoiseIsThatOfPython() throws {
    let seed = ArmTask.noiseSeed(episode: 1000, chunk: 3)
    let noise = try Tensor.normal([8, 2], seed: seed).floats()
    for (value, expected) in zip(noise, try fixture().noise) {
      XCTAssertEqual(Double(value), expected, accuracy: 1e-6)
    }
  }

  func testReachedWhenHeldAtTheWantedTarget() {
    let target = ArmTask.Point(x: 0.3, y: 0.3)
    let joints = [0.14, 1.5]
    var arm = ArmTask(
      joints: joints, targets: [target, ArmTask.positions(joints).tip], wanted: .blue)
    for _ in 0..<ArmTask.hold {
      XCTAssertFalse(arm.isReached)
      arm.move(to: joints)
    }
    XCTAssertTrue(arm.isReached)
    arm.move(to: [2, 1.5])
    XCTAssertFalse(arm.isReached, "it has left")
  }
}
