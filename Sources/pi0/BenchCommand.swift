import ArgumentParser
import Foundation
import PI0Kit

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Time parts of the policy at full size.",
    discussion: """
      Build it in release: swift run -c release pi0 bench

      Example: pi0 bench --runs 200
      """)

  @Option(
    help: ArgumentHelp("Runs of each part, after a tenth as many to warm up.", valueName: "n"))
  var runs = 200

  @OptionGroup var device: DeviceOption

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  func validate() throws {
    guard (1...1_000_000).contains(runs) else {
      throw ValidationError("--runs must be 1 to 1000000.")
    }
  }

  /// Milliseconds of one part.
  struct Timing: Encodable {
    let part: String
    let median: Double
    let minimum: Double
    let maximum: Double
  }

  func run() throws {
    let device = try device.device()
    let configuration = PolicyConfiguration.pi0
    let (horizon, dimension) = (configuration.actionHorizon, configuration.actionDimension)
    let (prefix, suffix) = (configuration.prefixLength, configuration.suffixLength)
    func present(_ count: Int) throws -> Tensor {
      try Tensor([Bool](repeating: true, count: count), shape: [1, count], device: device)
    }
    let (prefixPadding, padding) = (try present(prefix), try present(suffix))
    let prefixMarks = try Tensor(
      [Bool](repeating: false, count: prefix), shape: [1, prefix], device: device)
    let marks = try Tensor((0..<suffix).map { $0 < 2 }, shape: [1, suffix], device: device)
    let x = try Tensor.normal([1, horizon, dimension], seed: 1, device: device)
    let velocity = try Tensor.normal([1, horizon, dimension], seed: 2, device: device)
    let embedding = SinusoidalTimeEmbedding(width: configuration.expert.width)
    let time = try Tensor([0.5], shape: [1], device: device)

    let timings = [
      try measure("Euler update, \(horizon) x \(dimension)") {
        _ = try Policy.eulerStep(x, velocity: velocity, timeStep: -0.1)
      },
      try measure("suffix masks and positions, \(suffix) x \(prefix + suffix)") {
        let allowed = try AttentionMask.suffixAllowed(
          prefixPadding: prefixPadding, padding: padding, marks: marks)
        _ = try AttentionMask.bias(allowed)
        _ = try AttentionMask.positions(padding: padding, after: prefixPadding)
      },
      try measure("prefix masks and positions, \(prefix) x \(prefix)") {
        let allowed = try AttentionMask.allowed(padding: prefixPadding, marks: prefixMarks)
        _ = try AttentionMask.bias(allowed)
        _ = try AttentionMask.positions(padding: prefixPadding)
      },
      try measure("sinusoidal time embedding, \(configuration.expert.width)") {
        _ = try embedding(time)
      },
    ]
    if json { return print(try encodeJSON(timings)) }
    var table = TextTable([
      ("part", .left), ("median ms", .right), ("min", .right), ("max", .right),
    ])
    for timing in timings {
      table.append(
        [timing.part]
          + [timing.median, timing.minimum, timing.maximum].map { String(format: "%.4f", $0) })
    }
    print(table.text, terminator: "")
  }

  private func measure(_ part: String, _ body: () throws -> Void) throws -> Timing {
    let clock = ContinuousClock()
    for _ in 0..<(runs + 9) / 10 { try body() }
    var times: [Double] = []
    for _ in 0..<runs { times.append(try clock.measure(body).seconds * 1000) }
    times.sort()
    return Timing(
      part: part, median: times[runs / 2], minimum: times[0], maximum: times[runs - 1])
  }
}
