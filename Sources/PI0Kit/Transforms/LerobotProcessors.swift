/// What lerobot's processors do between robot and model, read from a folder.
struct LerobotProcessors {
  /// `policy_preprocessor.json` or `policy_postprocessor.json`.
  private struct File: Decodable {
    let steps: [Step]
  }

  /// One step with what any of the known ones is told. A step that is not registered has a class
  /// instead of a name.
  private struct Step: Decodable {
    struct Settings: Decodable {
      // Normalisation.
      let features: [String: LerobotFeature]?
      let norm_map: [String: String]?
      let eps: Double?
      let normalize_observation_keys: [String]?
      // Renaming.
      let rename_map: [String: String]?
      // Relative actions.
      let enabled: Bool?
      let exclude_joints, action_names: [String]?
      // Prompt.
      let max_length: Int?
      let include_state_in_prompt: Bool?
      // Moving to a device.
      let float_dtype: String?
    }

    let registry_name: String?
    let `class`: String?
    let config: Settings?
    let state_file: String?

    var name: String { registry_name ?? `class` ?? "" }
  }

  /// A step of ours, of which one waits for the caller's tokenizer.
  private enum Stage {
    case transform(any Transform)
    case tokenize(length: Int)
  }

  /// What a statistic is called, and its values, by feature.
  private typealias Statistics = [String: [String: [Double]]]

  private static let state = "observation.state"
  private static let action = "action"

  let executedSteps: Int?
  private var stages: [Stage] = []

  func transforms(
    tokenize: (_ ending: String, _ length: Int) -> [any Transform]
  ) throws(PI0Error) -> [any Transform] {
    stages.flatMap { stage in
      switch stage {
      case .transform(let transform): [transform]
      case .tokenize(let length): tokenize("", length)
      }
    }
  }

  init(
    _ folder: LerobotFolder, checkpoint: Checkpoint, notes: inout Notes
  ) throws(PI0Error) {
    executedSteps = folder.config.n_action_steps
    let variant = checkpoint.configuration?.variant ?? .pi0
    if let type = folder.config.type, type != variant.rawValue {
      notes.add(.problem, "config.json is of type \(type.quoted), the weights are \(variant)'s")
    }
    let builder = notes.collect { () throws(PI0Error) in
      try Builder(folder, checkpoint, variant)
    }
    guard var builder else { return }
    let before = try File.read("\(folder.path)/\(LerobotFolder.preprocessor)")
    let after = try File.read("\(folder.path)/\(LerobotFolder.postprocessor)")
    let stages = notes.collect { () throws(PI0Error) in
      switch (before, after) {
      case (let before?, let after?): try builder.read(before.steps, after.steps)
      case (nil, nil): try builder.readWeights()
      case (nil, _?): throw .configuration("\(LerobotFolder.preprocessor) is missing")
      case (_?, nil): throw .configuration("\(LerobotFolder.postprocessor) is missing")
      }
    }
    builder.notes.all.forEach { notes.add($0.kind, $0.text) }
    self.stages = stages ?? []
  }

  /// Puts the stages together.
  private struct Builder {
    var notes = Notes()
    private let folder: LerobotFolder
    private let checkpoint: Checkpoint
    private let variant: PolicyConfiguration.Variant
    private let cameras: [String]
    private let promptLength: Int
    private let stateDimension: Int
    private let actionDimension: Int

    init(
      _ folder: LerobotFolder, _ checkpoint: Checkpoint, _ variant: PolicyConfiguration.Variant
    ) throws(PI0Error) {
      self.folder = folder
      self.checkpoint = checkpoint
      self.variant = variant
      let configuration = try checkpoint.requiredConfiguration()
      cameras = configuration.cameras
      promptLength = configuration.promptLength
      stateDimension = try folder.dimension(state, of: folder.config.input_features)
      actionDimension = try folder.dimension(action, of: folder.config.output_features)
      for (name, count) in [("state", stateDimension), ("action", actionDimension)]
      where count > configuration.actionDimension {
        throw .configuration(
          "config.json: the \(name) has \(count) values, the policy takes "
            + "\(configuration.actionDimension)")
      }
    }

    // MARK: - Processors

    /// The steps around the model. Those of the way out undo what the way in does, last first.
    mutating func read(_ before: [Step], _ after: [Step]) throws(PI0Error) -> [Stage] {
      notes.add(.found, "\(LerobotFolder.preprocessor), \(LerobotFolder.postprocessor)")
      let inverse = try readInverse(after)
      var stages: [Stage] = [.transform(ExpectState(stateDimension))]
      var relative = false
      var (normalizers, prompts, tokenizers) = (0, 0, 0)
      var renames: [String: String] = [:]
      for step in before {
        let settings = step.config
        switch step.name {
        case "to_batch_processor": break
        case "device_processor": noteType(settings?.float_dtype)
        case "rename_observations_processor":
          renames.merge(settings?.rename_map ?? [:]) { _, new in new }
        case "relative_actions_processor":
          guard settings?.enabled == true else { break }
          guard normalizers == 0 else {
            throw unknownOrder("actions become relative after the normalisation")
          }
          relative = true
          stages.append(.transform(DeltaActions(mask: mask(settings))))
        case "normalizer_processor":
          normalizers += 1
          stages.append(
            .transform(
              Normalization(state: try stateNormalization(step), actions: inverse.actions)))
        case "pi0_new_line_processor":
          prompts += 1
          stages.append(.transform(EndPromptWithLineFeed()))
        case "pi05_prepare_state_tokenizer_processor_step":
          guard settings?.include_state_in_prompt ?? true else {
            throw .configuration("a prompt without the state is not known of lerobot's pi05")
          }
          guard normalizers == 1 else {
            throw unknownOrder("the state enters the prompt before the normalisation")
          }
          prompts += 1
          stages.append(.transform(StateInPrompt()))
        case "tokenizer_processor":
          tokenizers += 1
          stages.append(.tokenize(length: min(settings?.max_length ?? promptLength, promptLength)))
        default: throw unknown(step, in: LerobotFolder.preprocessor)
        }
      }
      guard normalizers == 1, prompts == 1, tokenizers == 1 else {
        throw unknownOrder(
          "there are \(normalizers) normalisations, \(prompts) forms of the prompt and "
            + "\(tokenizers) tokenizers instead of one each")
      }
      guard relative == inverse.isRelative else {
        throw .configuration(
          "actions are relative in only one of \(LerobotFolder.preprocessor) and "
            + LerobotFolder.postprocessor)
      }
      if relative != (folder.config.use_relative_actions ?? relative) {
        throw .configuration("config.json and the processors differ on relative actions")
      }
      stages.insert(.transform(try renaming(renames)), at: 1)
      return stages + [.transform(KeepActions(actionDimension))]
    }

    private mutating func readInverse(
      _ steps: [Step]
    ) throws(PI0Error) -> (actions: VectorNormalization, isRelative: Bool) {
      var actions: VectorNormalization?
      var isRelative = false
      for step in steps {
        switch step.name {
        case "device_processor": noteType(step.config?.float_dtype)
        case "unnormalizer_processor":
          guard actions == nil, !isRelative else {
            throw unknownOrder("the normalisation of the actions is taken off twice, or too late")
          }
          actions = try normalization(
            step, type: "ACTION", key: action, count: actionDimension, LerobotFolder.postprocessor)
        case "absolute_actions_processor": isRelative = step.config?.enabled ?? false
        default: throw unknown(step, in: LerobotFolder.postprocessor)
        }
      }
      guard let actions else {
        throw .configuration(
          "\(LerobotFolder.postprocessor) has no unnormalizer_processor, so that actions would "
            + "stay normalised")
      }
      return (actions, isRelative)
    }

    private mutating func stateNormalization(
      _ step: Step
    ) throws(PI0Error) -> VectorNormalization {
      let settings = step.config
      let modeOfImages = settings?.norm_map?["VISUAL"] ?? NormalizationMode.identity.rawValue
      let statistics = try statistics(step, LerobotFolder.preprocessor)
      let images = (settings?.features ?? [:]).filter { $0.value.type == "VISUAL" }.keys
      if modeOfImages != NormalizationMode.identity.rawValue,
        let image = images.sorted().first(where: { statistics[$0] != nil })
      {
        throw .configuration(
          "\(image) is normalised by \(modeOfImages); pi0's images are in -1...1 always")
      }
      if let keys = settings?.normalize_observation_keys, !keys.contains(state) {
        notes.add(.found, "the state is not normalised")
        return try VectorNormalization(
          .identity, statistics: [:], convention: .lerobot, name: state)
      }
      return try normalization(
        step, type: "STATE", key: state, count: stateDimension, LerobotFolder.preprocessor)
    }

    private mutating func normalization(
      _ step: Step, type: String, key: String, count: Int, _ file: String
    ) throws(PI0Error) -> VectorNormalization {
      let name = step.config?.norm_map?[type]
      if name == nil { notes.add(.assumed, "\(key) is not normalised: \(file) says nothing") }
      return try normalization(
        mode: name ?? NormalizationMode.identity.rawValue, epsilon: step.config?.eps ?? 1e-8,
        statistics: statistics(step, file)[key] ?? [:], key: key, count: count, source: file)
    }

    private mutating func normalization(
      mode name: String, epsilon: Double, statistics: [String: [Double]], key: String,
      count: Int, source: String
    ) throws(PI0Error) -> VectorNormalization {
      guard let mode = NormalizationMode(rawValue: name) else {
        throw .configuration(
          "\(source): there is no normalisation \(name.quoted) of \(key); known are "
            + NormalizationMode.allCases.map(\.rawValue).joined(separator: ", "))
      }
      guard epsilon.isFinite, epsilon >= 0 else {
        throw .configuration("\(source): epsilon is \(epsilon)")
      }
      let result = try VectorNormalization(
        mode, statistics: statistics, convention: .lerobot(epsilon: epsilon),
        name: "\(source), \(key)")
      guard mode == .identity || result.count == count else {
        throw .configuration(
          "\(source): \(key) has statistics for \(result.count) values, config.json says \(count)")
      }
      notes.add(.found, "\(key): \(count) values, \(mode.rawValue), by \(source)")
      return result
    }

    /// The tensors of a step's state file, `FEATURE.STATISTIC`.
    private func statistics(_ step: Step, _ file: String) throws(PI0Error) -> Statistics {
      guard let name = step.state_file else {
        throw .configuration(
          "\(file) names no file with statistics for its \(step.name): the policy was saved before "
            + "it was trained on a robot's data")
      }
      guard !name.isEmpty, name != "..", !name.utf8.contains(UInt8(ascii: "/")) else {
        throw .configuration("\(file) names the state file \(name.quoted): it must lie beside it")
      }
      let state = try SafetensorsFile(path: "\(folder.path)/\(name)")
      var statistics: Statistics = [:]
      for (name, entry) in state.entries where entry.type != .bool && entry.shape.count <= 1 {
        guard let dot = name.lastIndex(of: ".") else { continue }
        statistics[String(name[..<dot]), default: [:]][
          String(name[name.index(after: dot)...])] = try state.numbers(name)
      }
      // Of images only that they have some matters.
      for (name, entry) in state.entries where entry.shape.count > 1 {
        guard let dot = name.lastIndex(of: ".") else { continue }
        statistics[String(name[..<dot]), default: [:]][
          String(name[name.index(after: dot)...])] = []
      }
      return statistics
    }

    /// Which actions are relative: those whose names hold none of the excluded ones.
    private func mask(_ settings: Step.Settings?) -> [Bool] {
      let excluded = (settings?.exclude_joints ?? []).filter { !$0.isEmpty }.map { $0.lowercased() }
      let names = (settings?.action_names ?? []).map { $0.lowercased() }
      return (0..<actionDimension).map { index in
        !(index < names.count && excluded.contains { names[index].contains($0) })
      }
    }

    private func renaming(_ map: [String: String]) throws(PI0Error) -> RenameCameras {
      func short(_ name: String) -> String {
        name.split(separator: ".").last.map(String.init) ?? name
      }
      var names = Dictionary(uniqueKeysWithValues: cameras.map { ($0, $0) })
      for (old, new) in map where old.hasPrefix("observation.image") {
        guard cameras.contains(short(new)) else {
          throw .configuration(
            "\(LerobotFolder.preprocessor) renames \(old.quoted) to \(new.quoted), but the policy's "
              + "cameras are \(cameras.joined(separator: ", "))")
        }
        names[short(old)] = short(new)
      }
      return RenameCameras(names)
    }

    private mutating func noteType(_ type: String?) {
      guard let type, !["float32", "float"].contains(type) else { return }
      notes.add(.assumed, "float32, where a device_processor says \(type)")
    }

    private func unknown(_ step: Step, in file: String) -> PI0Error {
      .configuration(
        "\(file) has a step \(step.name.quoted), which is not known: compose the transforms yourself"
      )
    }

    private func unknownOrder(_ seen: String) -> PI0Error {
      .configuration("the processors' steps are in no known order: \(seen)")
    }

    // MARK: - Statistics among the weights

    /// What lerobot did before it had processors, with the statistics in buffers of the weights.
    mutating func readWeights() throws(PI0Error) -> [Stage] {
      notes.add(
        .missing, "\(LerobotFolder.preprocessor), \(LerobotFolder.postprocessor): an older folder")
      let mapping = folder.config.normalization_mapping
      if mapping == nil { notes.add(.assumed, "normalisation by mean and std") }
      func mode(_ type: String) -> String {
        mapping.map { $0[type] ?? NormalizationMode.identity.rawValue }
          ?? NormalizationMode.meanStd.rawValue
      }
      if mode("VISUAL") != NormalizationMode.identity.rawValue, mapping != nil {
        throw .configuration(
          "config.json: images are normalised by \(mode("VISUAL")); pi0's are in -1...1 always")
      }
      let state = try normalization(
        mode: mode("STATE"), epsilon: 1e-8,
        statistics: buffers("normalize_inputs.buffer_observation_state."), key: state,
        count: stateDimension, source: "the weights' buffers")
      let actions = try normalization(
        mode: mode("ACTION"), epsilon: 1e-8,
        statistics: buffers("unnormalize_outputs.buffer_action."), key: action,
        count: actionDimension, source: "the weights' buffers")
      notes.add(.assumed, "frames are resized and prompts formed as lerobot does today")
      return [
        .transform(ExpectState(stateDimension)), .transform(try renaming([:])),
        .transform(Normalization(state: state, actions: actions)),
        .transform(variant == .pi0 ? EndPromptWithLineFeed() : StateInPrompt()),
        .tokenize(length: promptLength), .transform(KeepActions(actionDimension)),
      ]
    }

    private func buffers(_ prefix: String) throws(PI0Error) -> [String: [Double]] {
      var found: [String: [Double]] = [:]
      for key in checkpoint.keys where key.hasPrefix(prefix) {
        guard checkpoint.shape(of: key)?.count == 1 else { continue }
        found[String(key.dropFirst(prefix.count))] =
          try checkpoint.tensor(key).floats().map(Double.init)
      }
      return found
    }
  }
}

extension SafetensorsFile {
  /// The elements of a tensor of numbers.
  fileprivate func numbers(_ name: String) throws(PI0Error) -> [Double] {
    try tensor(name).numbers().map(Double.init)
  }
}
