import ArgumentParser
import Foundation
import PI0Kit

struct RunCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Compute a chunk of actions for an observation.",
    discussion: """
      The observation is a JSON file: {"images": {"base_0_rgb": "base.png"}, "state": [0.1, …],
      "tokens": [2, …]}. Pictures are PNG or JPEG files beside it; a camera that is not named is
      masked out. State and actions are normalised as in training.

      Example: pi0 run pi0_base observation.json --seed 7 --plot actions.svg
      """)

  @OptionGroup var checkpoint: CheckpointArgument

  @Argument(help: "A JSON file that names frames by camera, state and tokens.")
  var observation: String

  @Option(help: ArgumentHelp("Seed of the noise that is denoised.", valueName: "number"))
  var seed: UInt64 = 0

  @Option(
    help: ArgumentHelp("Denoising steps; the policy's own number unless given.", valueName: "n"))
  var steps: Int?

  @OptionGroup var device: DeviceOption

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  @Option(help: ArgumentHelp("Draw the actions into this SVG file.", valueName: "file"))
  var plot: String?

  func run() throws {
    let clock = ContinuousClock()
    let device = try device.device()
    let observation = try ObservationFile.read(self.observation)
    let start = clock.now
    let policy = try Policy(checkpoint: checkpoint.open(), on: device)
    let inputs = try observation.inputs(for: policy.configuration, on: device)
    let schedule = try steps.map { try policy.schedule(steps: $0) }
    var progress = ProgressLine()
    try policy.prepare(for: inputs, schedule: schedule) { progress.show($0) }
    let loaded = clock.now
    var partSeconds: [PolicyProgress.Part: Double] = [:]
    var last = loaded
    let actions = try policy.sampleActions(inputs, seed: seed, schedule: schedule) {
      progress.show($0)
      let now = clock.now
      partSeconds[$0.part, default: 0] += (now - last).seconds
      last = now
    }
    progress.finish()
    let chunk = try ActionChunk(
      actions, policy, seed: seed, steps: schedule?.times.count,
      loadSeconds: (loaded - start).seconds, inferenceSeconds: (clock.now - loaded).seconds,
      partSeconds: Dictionary(
        uniqueKeysWithValues: partSeconds.map { ($0.key.rawValue, $0.value) }))

    if let plot {
      try writeFile(
        plot,
        ActionPlot.svg(
          actions: chunk.actions, title: "\(chunk.variant) action chunk, seed \(seed)"))
    }
    if json {
      print(try encodeJSON(chunk))
    } else {
      print(chunk.table())
      if let plot { print("Plot: \(plot)") }
    }
  }
}

/// What `pi0 run` prints.
private struct ActionChunk: Encodable {
  let variant: String
  let device: String
  let seed: UInt64
  let steps: Int
  let horizon: Int
  let dimension: Int
  let loadSeconds: Double
  let inferenceSeconds: Double
  let partSeconds: [String: Double]
  let actions: [[Float]]

  init(
    _ actions: Tensor, _ policy: Policy, seed: UInt64, steps: Int?, loadSeconds: Double,
    inferenceSeconds: Double, partSeconds: [String: Double]
  ) throws {
    let configuration = policy.configuration
    variant = configuration.variant.rawValue
    device = policy.device.name
    self.seed = seed
    self.steps = steps ?? configuration.denoisingSteps
    horizon = configuration.actionHorizon
    dimension = configuration.actionDimension
    self.loadSeconds = loadSeconds
    self.inferenceSeconds = inferenceSeconds
    self.partSeconds = partSeconds
    let flat = try actions.floats()
    let width = dimension
    self.actions = stride(from: 0, to: flat.count, by: width).map { Array(flat[$0..<$0 + width]) }
  }

  /// A row an action, in blocks of columns that fit a terminal.
  func table() -> String {
    let columns = 8
    var text =
      "\(variant) on \(device): \(horizon) actions of \(dimension) dimensions, "
      + "\(steps) steps, seed \(seed)\n"
    for first in stride(from: 0, to: dimension, by: columns) {
      let block = first..<min(first + columns, dimension)
      var table = TextTable([("action", .right)] + block.map { ("[\($0)]", .right) })
      for (index, action) in actions.enumerated() {
        table.append(["\(index)"] + block.map { String(format: "%.4f", action[$0]) })
      }
      text += "\n\(table.text)"
    }
    let parts = [PolicyProgress.Part.vision, .language, .denoising].compactMap { part in
      partSeconds[part.rawValue].map { String(format: "\(part.rawValue) %.2f s", $0) }
    }
    return text
      + String(format: "\nLoaded in %.2f s, computed in %.2f s", loadSeconds, inferenceSeconds)
      + " (\(parts.joined(separator: ", ")))."
  }
}

extension Duration {
  var seconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
