import FoundationEssentials

/// A trained policy on disk: safetensors under openpi's or lerobot's key names, and its sizes.
///
/// Opening maps the files and reads their headers; no tensor is copied until something needs it.
public struct Checkpoint: Sendable {
  /// Whose key names the file uses.
  public enum Naming: String, Sendable {
    /// Keys as in openpi.
    case openpi
    /// The same with a leading `model.`.
    case lerobot
  }

  /// Where the sizes come from.
  public enum ConfigurationSource: Sendable, Equatable {
    /// The caller gave them.
    case caller
    /// The `config` entry of the file's metadata.
    case metadata
    /// `config.json` beside the weights.
    case configFile
    /// The tensors' shapes. What these do not tell is as published.
    case shapes
  }

  /// The path that the checkpoint was opened with.
  public let path: String
  /// The file or files.
  public let archive: SafetensorsArchive
  /// Whose key names the file uses.
  public let naming: Naming
  /// Where the sizes come from.
  public let configurationSource: ConfigurationSource
  /// Every key in openpi's form, sorted.
  public let keys: [String]

  private let nameOfKey: [String: String]
  private var configurationResult: Result<PolicyConfiguration, PI0Error>

  /// Opens a checkpoint.
  ///
  /// - Parameters:
  ///   - path: a `.safetensors` file, the index of a sharded one, or a folder with either and
  ///     perhaps a `config.json` of lerobot or openpi.
  ///   - configuration: the policy's sizes; otherwise from the metadata, `config.json` or shapes.
  /// - Throws: ``PI0Error/file(path:reason:)`` for a file that cannot be read or is malformed, and
  ///   ``PI0Error/configuration(_:)`` for a configuration that cannot be understood.
  public init(path: String, configuration: PolicyConfiguration? = nil) throws(PI0Error) {
    self.path = path
    archive = try SafetensorsArchive(path: path)
    var nameOfKey: [String: String] = [:]
    for name in archive.names {
      let key = Self.key(of: name)
      if let other = nameOfKey.updateValue(name, forKey: key) {
        throw .file(path: path, reason: "holds \(key) twice, as \(other) and as \(name)")
      }
    }
    self.nameOfKey = nameOfKey
    keys = nameOfKey.keys.sorted()
    naming = archive.names.contains { $0.hasPrefix(Self.lerobotPrefix) } ? .lerobot : .openpi

    let shapes = TensorShapes(nameOfKey.compactMapValues { [archive] in archive.entry($0)?.shape })
    if let configuration {
      configurationSource = .caller
      configurationResult = .success(configuration)
    } else if let json = archive.metadata["config"] {
      configurationSource = .metadata
      configurationResult = .success(
        try PolicyConfiguration(
          json: Data(json.utf8), from: "\(path), metadata \"config\"", shapes: shapes,
          steps: archive.metadata["num_steps"].flatMap(Int.init)))
    } else if let file = try Self.configFile(beside: archive.path) {
      configurationSource = .configFile
      configurationResult = .success(
        try PolicyConfiguration(json: file.contents, from: file.path, shapes: shapes))
    } else {
      configurationSource = .shapes
      configurationResult = Result { () throws(PI0Error) in
        try PolicyConfiguration(shapes: shapes)
      }
    }
  }

  /// The policy's sizes, or nil where the checkpoint holds only a part of a policy.
  public var configuration: PolicyConfiguration? { try? configurationResult.get() }

  /// The policy's sizes.
  ///
  /// - Throws: ``PI0Error/configuration(_:)`` where they could not be determined or contradict.
  public func requiredConfiguration() throws(PI0Error) -> PolicyConfiguration {
    let configuration = try configurationResult.get()
    try configuration.validate()
    return configuration
  }

  /// The same checkpoint with what `change` makes of its sizes, where they are known.
  func changingConfiguration(_ change: (inout PolicyConfiguration) -> Void) -> Checkpoint {
    var result = self
    result.configurationResult = configurationResult.map { configuration in
      var configuration = configuration
      change(&configuration)
      return configuration
    }
    return result
  }

  /// The shape of the tensor at a key in openpi's form; nil where there is none.
  public func shape(of key: String) -> [Int]? {
    nameOfKey[key].flatMap { archive.entry($0)?.shape }
  }

  /// The tensor at a key in openpi's form: a view of the mapped file.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where there is none, or of an unusable type.
  public func tensor(_ key: String, on device: Device = .reference) throws(PI0Error) -> Tensor {
    try archive.tensor(nameOfKey[key] ?? key, on: device)
  }

  /// Variant, expert width and action dimension, which the suffix alone tells.
  func suffixSize() throws(PI0Error)
    -> (variant: PolicyConfiguration.Variant, width: Int, actionDimension: Int)
  {
    guard let shape = shape(of: "action_in_proj.weight"), shape.count == 2 else {
      throw .checkpoint(
        path: path, problems: [.missing("action_in_proj.weight", expected: [-1, -1])])
    }
    for size in shape where !(1...PolicyConfiguration.maximumSize).contains(size) {
      throw .configuration(
        "\(path): action_in_proj.weight is \(shape); its dimensions must be 1 to 2^24")
    }
    let variant: PolicyConfiguration.Variant = nameOfKey["time_mlp_in.weight"] == nil ? .pi0 : .pi05
    return (variant, shape[0], shape[1])
  }

  // MARK: - Names

  private static let lerobotPrefix = "model."

  private static func key(of name: String) -> String {
    name.hasPrefix(lerobotPrefix) ? String(name.dropFirst(lerobotPrefix.count)) : name
  }

  /// Tensors that real checkpoints carry and the policy does not use: the expert's output head, and
  /// the normalisation statistics that older lerobot files keep among the weights.
  static func isUnused(_ key: String) -> Bool {
    key == "paligemma_with_expert.gemma_expert.lm_head.weight"
      || ["normalize_inputs.", "normalize_targets.", "unnormalize_outputs."]
        .contains { key.hasPrefix($0) }
  }

  /// `config.json` in the folder that holds the weights.
  private static func configFile(
    beside path: String
  ) throws(PI0Error) -> (path: String, contents: Data)? {
    var folder = path
    if path.hasSuffix(".safetensors") || path.hasSuffix(".json") {
      folder =
        path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]) : "."
    }
    let file = folder + "/config.json"
    guard FileManager.default.fileExists(atPath: file) else { return nil }
    return (file, try MappedFile(path: file).json())
  }
}
