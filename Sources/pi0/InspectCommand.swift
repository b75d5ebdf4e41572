import ArgumentParser
import Foundation
import PI0Kit

struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Tell what a checkpoint is, and what is wrong with it.",
    discussion: """
      Of a folder of openpi's or lerobot's it tells too what lies between the robot and the model:
      what was found, is missing, and had to be assumed. Exits with 1 if the checkpoint does not
      hold a whole policy, or a robot would get wrong actions.

      Example: pi0 inspect pi0_aloha --preset aloha
      """)

  @OptionGroup var checkpoint: CheckpointArgument

  @Option(
    help: ArgumentHelp(
      "The robot that a policy of openpi's was trained for: "
        + "\(RobotPreset.names.joined(separator: ", ")).", valueName: "name"))
  var preset: String?

  @Flag(help: "Print JSON instead of text.")
  var json = false

  func run() throws {
    let folder = try checkpoint.openFolder()
    let checkpoint = try folder?.checkpoint ?? checkpoint.open()
    var report = CheckpointReport(checkpoint)
    if let folder { report.robot = try RobotReport(folder, preset: preset) }
    print(json ? try encodeJSON(report) : report.text())
    if !report.problems.isEmpty || report.robot?.isUsable == false { throw ExitCode.failure }
  }
}

/// What lies between a robot and the model.
private struct RobotReport: Encodable {
  let origin: String?
  let notes: [String]
  let cameras: [String]?
  let stateDimension: Int?
  let actionDimension: Int?
  /// False where the folder is somebody's and yet gives wrong actions, or none.
  let isUsable: Bool

  init(_ folder: PolicyFolder, preset name: String?) throws {
    origin = folder.origin?.rawValue
    var notes = folder.notes.map(\.description)
    var interface: RobotInterface?
    let needsPreset = folder.origin == .openpi && name == nil
    if folder.problems.isEmpty && !needsPreset {
      let configuration = try folder.checkpoint.requiredConfiguration()
      let preset = try name.map { try RobotPreset.named($0, variant: configuration.variant) }
      do throws(PI0Error) {
        let transforms = try folder.transforms(preset: preset)
        let modelSide = RobotInterface(
          cameras: configuration.cameras, actionDimension: configuration.actionDimension)
        interface = transforms.reversed().reduce(modelSide) { $1.robotSide(of: $0) }
      } catch {
        notes.append("problem: \(error)")
      }
    }
    self.notes = notes
    cameras = interface?.cameras
    stateDimension = interface?.stateDimension
    actionDimension = interface?.actionDimension
    isUsable = folder.origin == nil || interface != nil || (needsPreset && folder.problems.isEmpty)
  }

  func lines() -> [String] {
    var lines = ["Between robot and model, \(origin.map { "as \($0) trained it" } ?? "nothing")"]
    lines += notes.map { "  \($0)" }
    if let cameras, let actionDimension {
      lines += [
        "  robot: cameras \(cameras.joined(separator: ", ")); state of "
          + (stateDimension.map { "\($0) values" } ?? "any length")
          + "; actions of \(actionDimension) values"
      ]
    }
    return lines
  }
}

/// What `pi0 inspect` prints.
private struct CheckpointReport: Encodable {
  struct Part: Encodable {
    let name: String
    let tensors: Int
    let parameters: Int
  }

  let path: String
  let files: [String]
  let bytes: Int
  let naming: String
  let elementTypes: [String]
  let variant: String?
  let sizesFrom: String
  let sizes: [String]
  let parts: [Part]
  let parameters: Int
  let problems: [String]
  /// For folders alone.
  var robot: RobotReport?

  init(_ checkpoint: Checkpoint) {
    let archive = checkpoint.archive
    path = checkpoint.path
    files = archive.files.map(\.path)
    bytes = archive.byteCount
    naming = checkpoint.naming.rawValue
    let entries = archive.names.compactMap { archive.entry($0) }
    elementTypes = Set(entries.map(\.type.rawValue)).sorted()
    variant = checkpoint.configuration?.variant.rawValue
    sizesFrom =
      switch checkpoint.configurationSource {
      case .caller: "the caller"
      case .metadata: "the file's metadata"
      case .configFile: "config.json"
      case .shapes: "the tensors' shapes; what these do not tell is as published"
      }
    sizes = checkpoint.configuration.map(Self.describe) ?? []
    parts = Self.parts(checkpoint)
    parameters = parts.reduce(0) { $0 + $1.parameters }
    problems = Self.problems(checkpoint)
  }

  private static func describe(_ c: PolicyConfiguration) -> [String] {
    func gemma(_ name: String, _ g: PolicyConfiguration.Gemma) -> String {
      "\(name): width \(g.width), \(g.depth) layers, MLP \(g.mlpWidth), \(g.heads) heads, "
        + "\(g.kvHeads) kv, \(g.headWidth) wide"
    }
    return [
      "vision: width \(c.vision.width), \(c.vision.depth) layers, MLP \(c.vision.mlpWidth), "
        + "\(c.vision.heads) heads, \(c.vision.imageSize) px in patches of \(c.vision.patchSize)",
      gemma("language", c.language), gemma("expert", c.expert),
      "vocabulary: \(c.vocabularySize)", "cameras: \(c.cameras.joined(separator: ", "))",
      "actions: \(c.actionHorizon) of \(c.actionDimension) dimensions, "
        + "\(c.denoisingSteps) denoising steps",
      "prompt: \(c.promptLength) tokens",
    ]
  }

  /// Tensors and parameters by part of the policy, the unused apart.
  private static func parts(_ checkpoint: Checkpoint) -> [Part] {
    let prefixes = [
      ("vision tower", "paligemma_with_expert.paligemma.model.vision_tower."),
      ("projector", "paligemma_with_expert.paligemma.model.multi_modal_projector."),
      ("token table", "paligemma_with_expert.paligemma.model.language_model.embed_tokens."),
      ("token table", "paligemma_with_expert.paligemma.lm_head."),
      ("language model", "paligemma_with_expert.paligemma.model.language_model."),
      ("unused output head", "paligemma_with_expert.gemma_expert.lm_head."),
      ("action expert", "paligemma_with_expert.gemma_expert."),
      ("other", "paligemma_with_expert."),
      ("normalisation statistics", "normalize_"),
      ("normalisation statistics", "unnormalize_"),
      ("action, state and time projections", ""),
    ]
    var order: [String] = []
    var totals: [String: (tensors: Int, parameters: Int)] = [:]
    for (name, _) in prefixes where !order.contains(name) { order.append(name) }
    for key in checkpoint.keys {
      guard let name = prefixes.first(where: { key.hasPrefix($0.1) })?.0 else { continue }
      let count = (checkpoint.shape(of: key) ?? []).reduce(1, *)
      let total = totals[name] ?? (0, 0)
      totals[name] = (total.tensors + 1, total.parameters + count)
    }
    return order.compactMap { name in
      totals[name].map { Part(name: name, tensors: $0.tensors, parameters: $0.parameters) }
    }
  }

  private static func problems(_ checkpoint: Checkpoint) -> [String] {
    do throws(PI0Error) {
      _ = try Policy(checkpoint: checkpoint)
      return []
    } catch {
      if case .checkpoint(_, let problems) = error { return problems.map(\.description) }
      return ["\(error)"]
    }
  }

  func text() -> String {
    let formatter = NumberFormatter()
    formatter.numberStyle = .decimal
    formatter.locale = Locale(identifier: "en_US")
    func grouped(_ number: Int) -> String { formatter.string(from: number as NSNumber) ?? "" }
    var lines = [
      "\(path): \(variant ?? "no whole policy"), \(naming) key names, "
        + elementTypes.joined(separator: " and "),
      String(
        format: "%d tensors in %d file(s), %.3f GB", parts.reduce(0) { $0 + $1.tensors },
        files.count, Double(bytes) / 1e9),
    ]
    if !sizes.isEmpty { lines += ["", "Sizes, from \(sizesFrom)"] + sizes.map { "  \($0)" } }
    if let robot { lines += [""] + robot.lines() }
    var table = TextTable([("part", .left), ("tensors", .right), ("parameters", .right)])
    for part in parts {
      table.append([part.name, grouped(part.tensors), grouped(part.parameters)])
    }
    lines += ["", table.text, "Parameters: \(grouped(parameters))"]
    lines += problems.isEmpty ? ["No problems."] : ["", "Problems: \(problems.count)"]
    return (lines + problems.map { "  \($0)" }).joined(separator: "\n")
  }
}
