import ArgumentParser
import Foundation
import PI0Kit

/// The command line: one verb a file.
@main
struct PI0Command: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pi0",
    abstract: "Run pi0 and pi0.5 robot policies.",
    discussion: "Example: pi0 run CHECKPOINT observation.json --plot actions.svg",
    subcommands: [
      RunCommand.self, ValidateCommand.self, InspectCommand.self, DevicesCommand.self,
      BenchCommand.self, DemoCommand.self, ReplayCommand.self, ServeCommand.self,
    ])

  /// Prints a failure as one line that says what to do, and exits with its code: 64 for a command
  /// that cannot be understood, 1 for one that failed.
  static func main() {
    do {
      var command = try parseAsRoot()
      try command.run()
    } catch {
      let code = exitCode(for: error)
      guard code != .success, !(error is ExitCode) else { exit(withError: error) }
      let hint = code == .validationFailure ? " (see \(helpCommand(for: error)))" : ""
      FileHandle.standardError.write(Data("pi0: \(message(for: error))\(hint)\n".utf8))
      exit(withError: code)
    }
  }

  /// `pi0 VERB --help` for the verb that was typed.
  private static func helpCommand(for error: any Error) -> String {
    let verbs = configuration.subcommands.compactMap { $0.configuration.commandName }
    let verb = CommandLine.arguments.dropFirst().first { verbs.contains($0) }
    return (["pi0", verb, "--help"] as [String?]).compactMap { $0 }.joined(separator: " ")
  }
}

/// Options that verbs share.
struct DeviceOption: ParsableArguments {
  @Option(
    name: .customLong("device"),
    help: ArgumentHelp(
      "Where to run: \(Device.names.joined(separator: ", ")).", valueName: "name"))
  var name = Device.reference.name

  @Option(
    help: ArgumentHelp(
      "How a card keeps weights: "
        + "\(CardWeightFormat.allCases.map(\.rawValue).joined(separator: ", ")).",
      valueName: "format"))
  var weights = CardWeightFormat.bfp8

  @Option(
    help: ArgumentHelp(
      "Tensix tiles of the emulator's card: 80, 72 as an n150, or 64.", valueName: "n"))
  var tiles: Int?

  func device() throws -> Device {
    guard let tiles else { return try Device(named: name, weights: weights) }
    guard name == "emulator" else { throw ValidationError("--tiles is for --device emulator.") }
    return try .emulator(weights: weights, tiles: tiles)
  }
}

extension CardWeightFormat: ExpressibleByArgument {}

/// Opens a checkpoint, with sizes of the caller's where there are some.
struct CheckpointArgument: ParsableArguments {
  @Argument(help: "A folder with model.safetensors, or the file itself.")
  var checkpoint: String

  @Option(
    help: ArgumentHelp(
      "A config.json with the policy's sizes; otherwise they come from the checkpoint.",
      valueName: "file"))
  var config: String?

  func open() throws -> Checkpoint {
    try Checkpoint(path: checkpoint, configuration: configuration())
  }

  /// The folder with what lies around the weights; nil where the weights themselves are named.
  func openFolder() throws -> PolicyFolder? {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: checkpoint, isDirectory: &isFolder),
      isFolder.boolValue
    else { return nil }
    return try PolicyFolder(contentsOf: checkpoint, configuration: configuration())
  }

  private func configuration() throws -> PolicyConfiguration? {
    try config.map { try PolicyConfiguration(json: readFile($0), from: $0) }
  }
}

/// The contents of a regular file of JSON, or an error that names it.
func readFile(_ path: String) throws(PI0Error) -> Data {
  try checkRegularFile(path, limit: 64 << 20)
  guard let contents = FileManager.default.contents(atPath: path) else {
    throw .file(path: path, reason: "cannot be read; check the path and its permissions")
  }
  return contents
}

/// Throws for a file that would never end, or not fit into memory: a pipe, a device, or a regular
/// file of more than `limit` bytes. What is not there, or a folder, is left to
/// who opens it.
func checkRegularFile(_ path: String, limit: Int) throws(PI0Error) {
  var status = stat()
  guard stat(path, &status) == 0 else { return }
  guard [S_IFREG, S_IFDIR].contains(status.st_mode & S_IFMT) else {
    throw .file(path: path, reason: "cannot be read: it is no regular file")
  }
  guard status.st_size <= limit else {
    throw .file(
      path: path, reason: "has \(status.st_size) bytes; such a file has at most \(limit)")
  }
}

/// Writes a file, or throws an error that names it.
func writeFile(_ path: String, _ text: String) throws(PI0Error) {
  do {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  } catch {
    throw .file(path: path, reason: "cannot be written; check that its folder exists")
  }
}

/// A value as JSON, keys sorted.
func encodeJSON(_ value: some Encodable) throws -> String {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
  encoder.nonConformingFloatEncodingStrategy = .convertToString(
    positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
  return String(decoding: try encoder.encode(value), as: UTF8.self)
}
