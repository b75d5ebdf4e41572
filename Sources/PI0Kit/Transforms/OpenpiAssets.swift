import FoundationEssentials

/// The statistics in an openpi folder: `assets/ID/norm_stats.json`. An ID may hold slashes.
struct OpenpiAssets {
  private struct File: Decodable {
    let norm_stats: [String: [String: [Double]?]]
  }

  private static let fileName = "norm_stats.json"
  /// Folders within folders that an ID may be.
  private static let deepest = 4

  private let path: String
  /// By openpi's names: state, actions; of each mean, std, q01, q99.
  private let statistics: [String: [String: [Double]]]

  /// Nil where the folder has no statistics.
  init?(_ folder: String, asset: String?, notes: inout Notes) throws(PI0Error) {
    let found = Self.assets(in: folder + "/assets", depth: Self.deepest).sorted()
    if found.isEmpty { notes.add(.missing, "assets/ID/\(Self.fileName), which openpi writes") }
    if let asset, !found.contains(asset) {
      throw .file(
        path: folder,
        reason: "has no assets/\(asset)/\(Self.fileName); its assets are "
          + (found.isEmpty ? "none" : found.joined(separator: ", ")))
    }
    guard let id = asset ?? found.first else { return nil }
    if asset == nil, found.count > 1 {
      notes.add(
        .problem,
        "there are statistics of several assets, name one: "
          + found.joined(separator: ", "))
    }
    path = "\(folder)/assets/\(id)/\(Self.fileName)"
    statistics = (try File.read(path)?.norm_stats ?? [:]).mapValues { $0.compactMapValues { $0 } }
    notes.add(.found, "statistics of openpi's, assets/\(id)/\(Self.fileName)")
    for name in ["state", "actions"] where statistics[name] == nil {
      notes.add(.problem, "assets/\(id)/\(Self.fileName) has no statistics called \(name)")
    }
    notes.add(.assumed, "the robot: openpi's folders name none, a preset must")
  }

  private static func assets(in folder: String, depth: Int) -> [String] {
    guard depth > 0,
      let names = try? FileManager.default.contentsOfDirectory(atPath: folder)
    else { return [] }
    return names.flatMap { name in
      let isAsset = FileManager.default.fileExists(atPath: "\(folder)/\(name)/\(fileName)")
      return (isAsset ? [name] : [])
        + assets(in: "\(folder)/\(name)", depth: depth - 1).map { "\(name)/\($0)" }
    }
  }

  func transforms(
    preset: RobotPreset, _ configuration: PolicyConfiguration,
    tokenize: (_ ending: String, _ length: Int) -> [any Transform]
  ) throws(PI0Error) -> [any Transform] {
    let mode: NormalizationMode = configuration.variant == .pi0 ? .meanStd : .quantiles
    func normalization(_ name: String) throws(PI0Error) -> VectorNormalization {
      try VectorNormalization(
        mode, statistics: statistics[name] ?? [:], convention: .openpi, name: "\(path), \(name)")
    }
    let state = try normalization("state")
    let actions = try normalization("actions")

    // What the preset needs of the model, were that unlimited.
    let unlimited = RobotInterface(cameras: configuration.cameras, actionDimension: .max)
    let needed = preset.transforms.reversed().reduce(unlimited) { $1.robotSide(of: $0) }
    let dimension = configuration.actionDimension
    for (name, statistics, needed) in [
      ("state", state.count, needed.stateDimension),
      ("actions", actions.count, needed.actionDimension == .max ? nil : needed.actionDimension),
    ] {
      guard statistics <= dimension else {
        throw .configuration(
          "\(path): statistics of \(name) are for \(statistics) values, the policy has "
            + "\(dimension)")
      }
      if let needed, needed > statistics {
        throw .configuration(
          "\(path): statistics of \(name) are for \(statistics) values, preset \(preset.name) has "
            + "\(needed): the policy was trained for another robot")
      }
    }
    guard !needed.cameras.isEmpty || configuration.cameras.isEmpty else {
      throw .configuration(
        "preset \(preset.name) has no camera of the policy's, which are "
          + configuration.cameras.joined(separator: ", "))
    }

    let statesInPrompt =
      configuration.variant == .pi05 && (preset.statesInPrompt ?? true)
    let prompt: any Transform = statesInPrompt ? StateInPrompt() : CleanPrompt()
    return preset.transforms + [Normalization(state: state, actions: actions), prompt]
      + tokenize(statesInPrompt ? "" : "\n", configuration.promptLength)
      + [KeepActions(actions.count)]
  }
}
