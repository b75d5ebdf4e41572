import FoundationEssentials

/// A policy as it was trained: weights, and what its training put between robot and model.
///
///     let folder = try PolicyFolder(contentsOf: "pi0_towel")
///     for note in folder.notes { print(note) }
///
/// Two kinds are known:
///
/// - openpi: `model.safetensors` and `assets/ID/norm_stats.json`. Names, units and relative actions
///   are code there, so that a ``RobotPreset`` must say them.
/// - lerobot: `config.json`, `model.safetensors`, `policy_preprocessor.json` and
///   `policy_postprocessor.json` with their state files; or, from before those existed, the
///   statistics among the weights.
///
/// Opening reports what is wrong as notes; ``RobotPolicy`` refuses a folder with a problem.
public struct PolicyFolder: Sendable {
  /// Whose folder it is.
  public enum Origin: String, Sendable {
    /// openpi's.
    case openpi
    /// lerobot's.
    case lerobot
  }

  /// Something worth knowing about a folder.
  public struct Note: Sendable, Equatable, CustomStringConvertible {
    /// What kind of thing.
    public enum Kind: String, Sendable {
      /// There, and used.
      case found
      /// Not there, and perhaps not needed.
      case missing
      /// Said by no file.
      case assumed
      /// Actions would be wrong.
      case problem
    }

    /// What kind of thing.
    public let kind: Kind
    /// What was seen.
    public let text: String

    /// Kind and text.
    public var description: String { "\(kind.rawValue): \(text)" }
  }

  /// The path that the folder was opened with.
  public let path: String
  /// Whose folder it is; nil where nothing but weights is there.
  public let origin: Origin?
  /// The weights and sizes.
  public let checkpoint: Checkpoint
  /// What was found, what is missing, what was assumed, and what is wrong.
  public let notes: [Note]

  private let openpi: OpenpiAssets?
  private let lerobot: LerobotProcessors?

  /// Opens a folder.
  ///
  /// - Parameters:
  ///   - path: the folder.
  ///   - asset: which of openpi's `assets` has the statistics; needed where there are several.
  ///   - configuration: the policy's sizes; otherwise those of the checkpoint.
  /// - Throws: ``PI0Error/file(path:reason:)`` for a file that cannot be read or is malformed, and
  ///   ``PI0Error/configuration(_:)`` for a configuration that cannot be understood.
  public init(
    contentsOf path: String, asset: String? = nil, configuration: PolicyConfiguration? = nil
  ) throws(PI0Error) {
    var notes = Notes()
    let checkpoint = try Checkpoint(path: path, configuration: configuration)
    self.path = path
    if let folder = try LerobotFolder(path) {
      origin = .lerobot
      openpi = nil
      self.checkpoint = checkpoint.changingConfiguration(folder.complete)
      lerobot = try LerobotProcessors(folder, checkpoint: self.checkpoint, notes: &notes)
    } else {
      lerobot = nil
      self.checkpoint = checkpoint
      openpi = try OpenpiAssets(path, asset: asset, notes: &notes)
      origin = openpi == nil ? nil : .openpi
      if openpi == nil {
        notes.add(
          .missing, "policy_preprocessor.json and policy_postprocessor.json, which lerobot writes")
        notes.add(.problem, "there are no statistics to normalise state and actions by")
      }
    }
    if self.checkpoint.configuration == nil {
      notes.add(.problem, "the policy's sizes are unknown: the checkpoint is no whole policy")
    }
    self.notes = notes.all
  }

  /// What is wrong; a ``RobotPolicy`` can be made where that is nothing.
  public var problems: [String] { notes.filter { $0.kind == .problem }.map(\.text) }

  /// How the policy's images were brought to its size in training.
  public var resizing: ImageResizing { origin == .lerobot ? .torchFloats : .pillow }

  /// Actions of a chunk that are meant to be executed before the next inference; nil where nothing
  /// says so.
  public var executedSteps: Int? { lerobot?.executedSteps }

  /// What lies between the robot and the model.
  ///
  /// - Parameters:
  ///   - preset: of the robot; openpi's folders need one, lerobot's take none.
  ///   - tokenizer: for sentences; without one, prompts must be token ids.
  ///   - truncatesPrompts: see ``TokenizePrompt/truncates``.
  /// - Throws: ``PI0Error/configuration(_:)`` that lists everything that would make wrong actions.
  public func transforms(
    preset: RobotPreset? = nil, tokenizer: (any PromptTokenizer)? = nil,
    truncatesPrompts: Bool = false
  ) throws(PI0Error) -> [any Transform] {
    guard problems.isEmpty else {
      throw .configuration(
        "\(path): the policy would give wrong actions: " + problems.joined(separator: "; "))
    }
    let configuration = try checkpoint.requiredConfiguration()
    if let tokenizer { try Self.check(tokenizer, configuration) }
    let tokenize = { (ending: String, length: Int) -> [any Transform] in
      guard let tokenizer else { return [] }
      return [
        TokenizePrompt(
          tokenizer, ending: ending, maximumLength: length, truncates: truncatesPrompts)
      ]
    }
    if let lerobot {
      guard preset == nil else {
        throw .configuration(
          "\(path): a folder of lerobot's says itself what its robot needs; leave the preset away")
      }
      return try lerobot.transforms(tokenize: tokenize)
    }
    guard let preset else {
      throw .configuration(
        "\(path): a folder of openpi's does not say which robot it was trained for: choose a "
          + "preset, of which there are \(RobotPreset.names.joined(separator: ", "))")
    }
    return try openpi?.transforms(preset: preset, configuration, tokenize: tokenize) ?? []
  }

  /// Throws where a tokenizer is another model's: its ids would be other words.
  private static func check(
    _ tokenizer: any PromptTokenizer, _ configuration: PolicyConfiguration
  ) throws(PI0Error) {
    // Tables are padded to multiples of at most 128.
    let table = configuration.vocabularySize
    guard (max(table - 127, 0)...table).contains(tokenizer.vocabularySize) else {
      throw .configuration(
        "the tokenizer has \(tokenizer.vocabularySize) ids, the policy's table \(table): it is "
          + "another model's")
    }
  }
}

/// Notes in the making.
struct Notes {
  private(set) var all: [PolicyFolder.Note] = []

  mutating func add(_ kind: PolicyFolder.Note.Kind, _ text: String) {
    all.append(PolicyFolder.Note(kind: kind, text: text))
  }

  /// Notes what a computation throws as a problem.
  mutating func collect<Result>(_ compute: () throws(PI0Error) -> Result) -> Result? {
    do throws(PI0Error) {
      return try compute()
    } catch {
      add(.problem, "\(error)")
      return nil
    }
  }
}

extension Decodable {
  /// The value in a file of JSON; nil where there is no such file.
  static func read(_ path: String) throws(PI0Error) -> Self? {
    guard FileManager.default.fileExists(atPath: path) else { return nil }
    let json = try MappedFile(path: path).json()
    do {
      return try JSONDecoder().decode(Self.self, from: json)
    } catch let error as DecodingError {
      throw .file(path: path, reason: PolicyConfiguration.describe(error))
    } catch {
      throw .file(path: path, reason: "\(error)")
    }
  }
}
