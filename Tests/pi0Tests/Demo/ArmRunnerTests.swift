import PI0Kit
import XCTest

@testable import pi0

/// The policy that comes with the package, in closed loop.
final class ArmRunnerTests: XCTestCase {
  private func policy() throws -> RobotPolicy {
    try RobotPolicy(PolicyFolder(contentsOf: PackageFixtures.demoPolicy()), on: .cpu)
  }

  /// PyTorch reaches all of the first 200; here, of the first 40, at least as many as are asked for.
  func testReachesTargets() throws {
    let policy = try policy()
    var runner = try ArmRunner(
      ControlledPolicy(policy), executedSteps: policy.executedSteps, isAsynchronous: false)
    let episodes = try (1000..<1040).map { try runner.run(seed: $0) }
    XCTAssertGreaterThanOrEqual(episodes.filter(\.isReached).count, 36)
    XCTAssertEqual(runner.statistics.missedTicks, 0)
    XCTAssertEqual(runner.statistics.ticks, episodes.reduce(0) { $0 + $1.ticks })
    for episode in episodes where episode.isReached {
      // Reached is what the robot's joints say.
      let tip = ArmTask.positions(episode.path[episode.ticks]).tip
      let goal = episode.targets[episode.wanted.rawValue]
      XCTAssertLessThanOrEqual(tip.distance(to: goal), ArmTask.tolerance)
    }
    let plot = DemoPlot.svg(Array(episodes.prefix(8)))
    XCTAssertEqual(plot.components(separatedBy: "<g transform").count, 9)
  }

  func testRunsAtTheRobotsRate() throws {
    let policy = try policy()
    var runner = try ArmRunner(
      ControlledPolicy(policy), executedSteps: policy.executedSteps, isAsynchronous: true)
    let episode = try runner.run(seed: 1000)
    XCTAssertGreaterThan(runner.statistics.chunks, 0)
    XCTAssertLessThanOrEqual(episode.ticks, ArmTask.maximumTicks)
  }
}
