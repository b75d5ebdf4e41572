import FoundationEssentials

/// A feature as lerobot's files describe it.
struct LerobotFeature: Decodable {
  let type: String?
  let shape: [Int]?
}

/// What lerobot's `config.json` says beside the towers' sizes.
struct LerobotFolder {
  struct Config: Decodable {
    let type: String?
    let input_features: [String: LerobotFeature]?
    let output_features: [String: LerobotFeature]?
    let normalization_mapping: [String: String]?
    let chunk_size, n_action_steps, num_inference_steps, tokenizer_max_length: Int?
    let use_relative_actions: Bool?
  }

  static let preprocessor = "policy_preprocessor.json"
  static let postprocessor = "policy_postprocessor.json"

  let path: String
  let config: Config
  /// Cameras in the order of `config.json`.
  private let cameras: [String]

  /// Nil where nothing in the folder is lerobot's.
  init?(_ path: String) throws(PI0Error) {
    let file = path + "/config.json"
    let config = try Config.read(file)
    let hasProcessors = [Self.preprocessor, Self.postprocessor].contains {
      FileManager.default.fileExists(atPath: "\(path)/\($0)")
    }
    guard config?.type != nil || config?.input_features != nil || hasProcessors else { return nil }
    guard let config else {
      throw .file(
        path: file, reason: "is missing, while lerobot's processors are there: copy it too")
    }
    self.path = path
    self.config = config
    cameras = PolicyConfiguration.cameras(
      config.input_features ?? [:], json: try MappedFile(path: file).json())
  }

  /// What `config.json` says goes before what the weights' metadata does.
  func complete(_ configuration: inout PolicyConfiguration) {
    if !cameras.isEmpty { configuration.cameras = cameras }
    configuration.times = .exact
    configuration.actionHorizon = config.chunk_size ?? configuration.actionHorizon
    configuration.denoisingSteps = config.num_inference_steps ?? configuration.denoisingSteps
    configuration.promptLength = config.tokenizer_max_length ?? configuration.promptLength
  }

  /// Values of a vector feature.
  func dimension(
    _ key: String, of features: [String: LerobotFeature]?
  ) throws(PI0Error) -> Int {
    guard let feature = features?[key] else {
      throw .configuration("config.json has no feature \(key.quoted)")
    }
    guard let shape = feature.shape, shape.count == 1, shape[0] > 0 else {
      throw .configuration(
        "config.json: feature \(key.quoted) has shape \(feature.shape ?? []) instead of a length")
    }
    return shape[0]
  }
}
