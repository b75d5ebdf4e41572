import ArgumentParser
import Foundation
import PI0Kit

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Time parts of the policy at full size; on a card, report what its traces do.",
    discussion: """
      Build it in release: swift run -c release pi0 bench

      Example: pi0 bench --runs 200
      Example: pi0 bench --device emulator --profile out.json
      Example: pi0 bench --device emulator --tiles 72 --checkpoint pi0_base --plan --tokens 40
      """)

  @Option(
    help: ArgumentHelp(
      "Runs of each part, after a tenth as many to warm up; fewer where they take long.",
      valueName: "n"))
  var runs = 200

  @OptionGroup var device: DeviceOption

  @Option(
    help: ArgumentHelp("Threads of the cpu device; as many as fast cores.", valueName: "n"))
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "Time all parts of this policy too, which has pi0's full sizes.", valueName: "file"))
  var checkpoint: String?

  @Option(help: ArgumentHelp("The checkpoint's inputs, see Scripts/benchmark.", valueName: "file"))
  var inputs: String?

  @Flag(help: "Answer the requests of Scripts/benchmark, a JSON object a line.")
  var serve = false

  @Option(
    help: ArgumentHelp(
      "On the emulator: trace events of the suffix embedding, for ui.perfetto.dev or "
        + "chrome://tracing.", valueName: "file"))
  var profile: String?

  @Flag(
    help: ArgumentHelp(
      "On a card: what each command of an inference is, what it moves and takes at least; of the suffix "
        + "embedding without --checkpoint."))
  var plan = false

  @Option(help: ArgumentHelp("Cameras of the inference of --plan, 1 to 3.", valueName: "n"))
  var cameras = 3

  @Option(help: ArgumentHelp("Tokens of the prompt of actions.", valueName: "n"))
  var tokens = 12

  @Flag(
    help: ArgumentHelp(
      "With --plan: run it too, for the emulator's estimate. At full size that takes long."))
  var estimate = false

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  func validate() throws {
    guard (1...1_000_000).contains(runs) else {
      throw ValidationError("--runs must be 1 to 1000000.")
    }
    guard (threads ?? 1) > 0 else { throw ValidationError("--threads must be 1 or more.") }
    guard (1...3).contains(cameras) else { throw ValidationError("--cameras must be 1 to 3.") }
    guard tokens > 0 else { throw ValidationError("--tokens must be 1 or more.") }
  }

  /// Milliseconds of one part.
  struct Timing: Encodable {
    let part: String
    let median: Double
    let minimum: Double
    let maximum: Double
    /// In the fastest run, 10⁹ floating-point operations a second, and their share of what the
    /// processor can do at most; for matrix products.
    var gigaflops: Double?
    var shareOfPeak: Double?
  }

  private struct Results: Encodable {
    let timings: [Timing]
    /// What each trace of a card moves and computes.
    let traces: [TraceReport]
  }

  func run() throws {
    let start = ContinuousClock().now
    let device = try chosenDevice()
    let stages =
      try checkpoint.map {
        try BenchStages(checkpoint: $0, inputs: inputs, tokens: tokens, on: device)
      }
      ?? BenchStages(on: device)
    if serve { return try answer(with: stages, since: start) }
    if plan { return try printPlan(of: stages, on: device) }
    var timings = try stages.stages.map { stage in
      try measure("\(stage.title), \(device)") { _ = try stages.run(stage.name) }
    }
    if let profile {
      try device.profile { _ = try stages.run("suffix") }
        .write(toFile: profile, atomically: true, encoding: .utf8)
    }
    let traces = device.traceReports
    if traces.isEmpty {  // a card has no threads
      let processors = ProcessInfo.processInfo.activeProcessorCount
      for threads in threads.map({ [$0] }) ?? Set([1, processors]).sorted() {
        timings += try products(threads: threads)
      }
    }
    if json { return print(try encodeJSON(Results(timings: timings, traces: traces))) }
    var table = TextTable([
      ("part", .left), ("median ms", .right), ("min", .right), ("max", .right),
      ("GFLOP/s", .right), ("of peak", .right),
    ])
    for timing in timings {
      table.append(
        [timing.part]
          + [timing.median, timing.minimum, timing.maximum].map { String(format: "%.4f", $0) }
          + [
            timing.gigaflops.map { String(format: "%.1f", $0) } ?? "",
            timing.shareOfPeak.map { String(format: "%.0f %%", 100 * $0) } ?? "",
          ])
    }
    print(table.text, terminator: "")
    for trace in traces { print("\n\(trace.text)") }
  }

  private func printPlan(of stages: BenchStages, on device: Device) throws {
    var progress = ProgressLine()
    try stages.prepare(cameras: cameras, runs: estimate) { progress.show($0) }
    progress.finish()
    guard let report = device.traceReports.last else {
      throw ValidationError("--plan is for cards; choose --device emulator.")
    }
    let plan = BenchPlan(report, on: device)
    print(json ? try encodeJSON(plan) : plan.text, terminator: json ? "\n" : "")
  }

  private func chosenDevice() throws -> Device {
    let device = try device.device()
    return try threads.map { threads in
      guard device == .cpu else { throw ValidationError("--threads is for --device cpu.") }
      return .cpu(threads: threads)
    } ?? device
  }

  /// The largest products on the cpu device, and the processor's peak measured around them.
  private func products(threads: Int) throws -> [Timing] {
    let device = Device.cpu(threads: threads)
    return try ProductBenchmark.sizes.map { size in
      let product = try ProductBenchmark(size, on: device)
      var peak = ProductBenchmark.peak()
      var timing = try measure("\(size.name), \(device), threads: \(threads)", product.run)
      peak = Double(threads) * max(peak, ProductBenchmark.peak())
      let speed = size.operations / (timing.minimum / 1000)
      timing.gigaflops = speed / 1e9
      timing.shareOfPeak = speed / peak
      return timing
    }
  }

  private struct Request: Decodable {
    let stage: String
    let calls: Int?
    let output: String?
    let plan: String?
  }

  /// Carries out a part as often as each line of standard input says, and prints the seconds; on request,
  /// writes the result as raw float32, and what the card did as JSON. First the seconds that loading took.
  private func answer(with stages: BenchStages, since start: ContinuousClock.Instant) throws {
    let clock = ContinuousClock()
    func answer(_ name: String, _ seconds: Double) {
      FileHandle.standardOutput.write(Data("{\"\(name)\": \(seconds)}\n".utf8))
    }
    answer("load", (clock.now - start).seconds)
    while let line = readLine() {
      let request = try JSONDecoder().decode(Request.self, from: Data(line.utf8))
      var result: (() throws -> Tensor)?
      let seconds = try clock.measure {
        for _ in 0..<max(request.calls ?? 1, 1) { result = try stages.run(request.stage) }
      }.seconds
      if let output = request.output, let values = try result?().floats() {
        try values.withUnsafeBytes { Data($0) }.write(to: URL(fileURLWithPath: output))
      }
      if let plan = request.plan, let report = stages.device.traceReports.last {
        try encodeJSON(BenchPlan(report, on: stages.device))
          .write(toFile: plan, atomically: true, encoding: .utf8)
      }
      answer("seconds", seconds)
    }
  }

  /// What no part takes longer than, but for its first runs.
  private static let budget = Duration.seconds(3)

  private func measure(_ part: String, _ body: () throws -> Void) throws -> Timing {
    let clock = ContinuousClock()
    var end = clock.now + Self.budget / 4
    for run in 0..<(runs + 9) / 10 where run == 0 || clock.now < end { try body() }
    end = clock.now + Self.budget
    var times: [Double] = []
    for run in 0..<runs where run == 0 || clock.now < end {
      times.append(try clock.measure(body).seconds * 1000)
    }
    times.sort()
    return Timing(
      part: part, median: times[times.count / 2], minimum: times[0],
      maximum: times[times.count - 1])
  }
}
