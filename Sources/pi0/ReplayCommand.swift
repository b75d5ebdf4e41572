import ArgumentParser
import Foundation
import PI0Kit

struct ReplayCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "replay",
    abstract: "Compute a recorded run again, and compare.",
    discussion: """
      A recording holds observations, noise, actions and times of every inference. Exits with 1 if
      the actions differ by more than the tolerance.

      Example: pi0 replay run.safetensors --device cpu
      """)

  @Argument(help: "A run, as pi0 demo --record writes it.")
  var recording: String

  @Option(
    help: ArgumentHelp(
      "The policy's folder; the one that the run names unless given.",
      valueName: "folder"))
  var checkpoint: String?

  @OptionGroup var device: DeviceOption

  @Option(
    help: ArgumentHelp("The largest relative RMS difference of the actions.", valueName: "number"))
  var tolerance = 1e-5

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func run() throws {
    let recording = try RunRecording(path: self.recording)
    guard let folder = checkpoint ?? recording.metadata["policy"] else {
      throw ValidationError("the run does not name its policy: name its folder with --checkpoint")
    }
    let policy = try RobotPolicy(PolicyFolder(contentsOf: folder), on: device.device())
    var progress = ProgressLine()
    var (recorded, computed): ([Float], [Float]) = ([], [])
    var (before, now) = (LatencyHistogram(), LatencyHistogram())
    let clock = ContinuousClock()
    for index in 0..<recording.count {
      let (observation, inference) = try recording.inference(index)
      let start = clock.now
      let chunk = try policy.infer(
        observation, noise: inference.noise.moved(to: policy.policy.device))
      now.record(clock.now - start)
      before.record(inference.timings.computing)
      recorded += inference.chunk.values.map(Float.init)
      computed += chunk.values.map(Float.init)
      progress.show(
        "inference \(index + 1)/\(recording.count)", isLast: index + 1 == recording.count)
    }
    progress.finish()
    let report = ReplayReport(
      comparison: try Comparison(actual: computed, expected: recorded),
      inferences: recording.count, tolerance: tolerance,
      recordedMilliseconds: before.milliseconds, computedMilliseconds: now.milliseconds)
    print(json ? try encodeJSON(report) : report.text)
    if !report.isEqual { throw ExitCode.failure }
  }
}

/// What `pi0 replay` prints.
private struct ReplayReport: Encodable {
  let comparison: Comparison
  let inferences: Int
  let tolerance: Double
  let recordedMilliseconds: [String: Double]
  let computedMilliseconds: [String: Double]

  var isEqual: Bool { comparison.relativeRMS <= tolerance }

  var text: String {
    var table = TextTable(
      [("ms an inference", .left)] + LatencyHistogram.figures.map { ($0.name, .right) })
    for (name, figures) in [("recorded", recordedMilliseconds), ("now", computedMilliseconds)] {
      table.append(
        [name]
          + LatencyHistogram.figures.map { figure in
            figures[figure.name].map { String(format: "%.2f", $0) } ?? "-"
          })
    }
    return String(
      format: "%d inferences: relative RMS %.1e (at most %.0e), maximum difference %.1e: %@\n\n%@",
      inferences, comparison.relativeRMS, tolerance, comparison.maximumError,
      isEqual ? "equal" : "NOT EQUAL", table.text)
  }
}

extension LatencyHistogram {
  static let figures: [(name: String, share: Double)] = [
    ("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("maximum", 1),
  ]

  /// The usual percentiles by name.
  var milliseconds: [String: Double] {
    var result: [String: Double] = [:]
    for (name, share) in Self.figures {
      result[name] = percentile(share).map { $0.seconds * 1e3 }
    }
    return result
  }
}
