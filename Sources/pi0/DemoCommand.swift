import ArgumentParser
import Foundation
import PI0Kit

struct DemoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Let a small trained policy move a robot arm, in closed loop.",
    discussion: """
      A planar arm of two joints, seen by a camera, reaches the target that the prompt names: "reach
      the red target". The robot is simulated, the policy is a pi0 with 0.4 million parameters that
      comes with the package.

      By default the robot waits while the policy infers. With --asynchronous it moves at its own
      rate, 20 actions a second, and the next chunk is inferred meanwhile.

      Example: pi0 demo --episodes 200 --plot demo.svg
      """)

  @Option(help: ArgumentHelp("How many episodes.", valueName: "n"))
  var episodes = 20

  @Option(help: ArgumentHelp("Seed of the first episode; the next has the next.", valueName: "n"))
  var seed: UInt64 = 1000

  @Flag(help: "Move at the robot's rate while the policy infers.")
  var asynchronous = false

  @OptionGroup var device: DeviceOption

  @Option(help: ArgumentHelp("Draw paths and predictions into this SVG file.", valueName: "file"))
  var plot: String?

  @Option(help: ArgumentHelp("Keep the run in this file, for pi0 replay.", valueName: "file"))
  var record: String?

  @Option(help: ArgumentHelp("Another policy for this arm.", valueName: "folder"))
  var checkpoint: String?

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  func validate() throws {
    guard (1...1_000_000).contains(episodes) else {
      throw ValidationError("--episodes must be 1 to 1000000")
    }
  }

  func run() throws {
    let folder = try PolicyFolder(contentsOf: checkpoint ?? PackageFixtures.demoPolicy())
    let policy = try RobotPolicy(folder, on: device.device())
    let recorder = try record.map {
      try RunRecorder(path: $0, metadata: ["policy": folder.path, "run": "pi0 demo"])
    }
    _ = try ControlledPolicy(policy).warmUp(ArmTask(seed: seed).observation())
    let controlled = try ControlledPolicy(policy, recorder: recorder)

    var runner = try ArmRunner(
      controlled, executedSteps: policy.executedSteps, isAsynchronous: asynchronous)
    var progress = ProgressLine()
    var results: [ArmEpisode] = []
    for index in 0..<episodes {
      results.append(try runner.run(seed: seed &+ UInt64(index)))
      progress.show("episode \(index + 1)/\(episodes)", isLast: index + 1 == episodes)
    }
    progress.finish()
    try recorder?.finish()

    if let plot { try writeFile(plot, DemoPlot.svg(Array(results.prefix(DemoPlot.maximumCount)))) }
    let summary = DemoSummary(
      results, statistics: runner.statistics, device: policy.policy.device.name)
    print(json ? try encodeJSON(summary) : summary.text)
    if let plot, !json { print("Plot: \(plot)") }
  }
}

/// What `pi0 demo` prints.
private struct DemoSummary: Encodable {
  let device: String
  let episodes: Int
  let successes: Int
  let successRate: Double
  let failedSeeds: [UInt64]
  let meanSeconds: Double?
  let chunks: Int
  let missedTicks: Int
  let lateChunks: Int
  let latencyMilliseconds: [String: Double]

  init(_ results: [ArmEpisode], statistics: ControlStatistics, device: String) {
    let reached = results.filter(\.isReached)
    self.device = device
    episodes = results.count
    successes = reached.count
    successRate = Double(reached.count) / Double(results.count)
    failedSeeds = results.filter { !$0.isReached }.map(\.seed)
    let ticks = reached.reduce(0) { $0 + $1.ticks }
    meanSeconds =
      reached.isEmpty
      ? nil : Double(ticks) / Double(reached.count) / ArmTask.ticksPerSecond
    chunks = statistics.chunks
    missedTicks = statistics.missedTicks
    lateChunks = statistics.lateChunks
    latencyMilliseconds = statistics.latency.milliseconds
  }

  var text: String {
    var lines = [
      String(
        format: "%d of %d targets reached (%.1f %%) on %@", successes, episodes,
        successRate * 100, device)
    ]
    if let meanSeconds {
      lines[0] += String(format: ", after %.1f s of the robot's time on average", meanSeconds)
    }
    let figures = LatencyHistogram.figures.compactMap { figure in
      latencyMilliseconds[figure.name].map { String(format: "%@ %.1f", figure.name, $0) }
    }
    lines.append("\(chunks) chunks, ms each: \(figures.joined(separator: ", "))")
    if missedTicks > 0 {
      lines.append("\(missedTicks) ticks had no action; \(lateChunks) chunks were late")
    }
    if !failedSeeds.isEmpty {
      lines.append("Not reached: seeds \(failedSeeds.map(String.init).joined(separator: ", "))")
    }
    return lines.joined(separator: "\n")
  }
}
