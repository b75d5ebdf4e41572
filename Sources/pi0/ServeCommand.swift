import ArgumentParser
import Dispatch
import Foundation
import Logging
import PI0Kit
import PI0Server
import PI0Tokenizer

struct ServeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve a policy to openpi's client.",
    discussion: """
      Messages are MessagePack over WebSocket, as openpi's server has them. By HTTP there are a page
      that shows what the server does, /metrics for Prometheus, and /healthz. SIGTERM or SIGINT
      finishes the running inference, and closes.

      Example: pi0 serve --checkpoint pi0_aloha --preset aloha --tokenizer tokenizer.model
      """)

  @Option(
    help: ArgumentHelp("The policy's folder, as openpi or lerobot wrote it.", valueName: "dir"))
  var checkpoint: String

  @Option(
    help: ArgumentHelp(
      "The robot that a policy of openpi's was trained for: "
        + "\(RobotPreset.names.joined(separator: ", ")).", valueName: "name"))
  var preset: String?

  @Option(
    help: ArgumentHelp(
      "The SentencePiece model of the prompts, such as PaliGemma's tokenizer.model. Without one, "
        + "clients send token ids.", valueName: "file"))
  var tokenizer: String?

  @Flag(
    help: """
      Serve the bare model: normalised state and actions, the model's camera names. For a folder \
      without statistics.
      """)
  var modelUnits = false

  @Option(help: ArgumentHelp("The address to listen at.", valueName: "address"))
  var host = "127.0.0.1"

  @Option(help: ArgumentHelp("The port to listen at; 0 for any that is free.", valueName: "port"))
  var port = 8000

  @Option(
    help: ArgumentHelp(
      "A file of keys, one a line, of which a client must have one.",
      valueName: "file"))
  var apiKeyFile: String?

  @Option(help: ArgumentHelp("A certificate in PEM form, to encrypt.", valueName: "file"))
  var tlsCert: String?

  @Option(help: ArgumentHelp("The private key of the certificate.", valueName: "file"))
  var tlsKey: String?

  @OptionGroup var device: DeviceOption

  func validate() throws {
    guard (0...65_535).contains(port) else { throw ValidationError("--port must be 0 to 65535.") }
    guard (tlsCert == nil) == (tlsKey == nil) else {
      throw ValidationError("--tls-cert and --tls-key belong together.")
    }
    guard !modelUnits || (preset == nil && tokenizer == nil) else {
      throw ValidationError("--model-units leaves no place for --preset and --tokenizer.")
    }
  }

  func run() throws {
    LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
    let logger = Logger(label: "pi0")
    var configuration = ServerConfiguration()
    configuration.host = host
    configuration.port = port
    configuration.apiKeys = try apiKeyFile.map { try APIKeys(contentsOf: $0) }
    if let tlsCert, let tlsKey {
      configuration.tls = ServerConfiguration.TLSFiles(certificate: tlsCert, key: tlsKey)
    }
    let policy = try policy()
    try warmUp(policy.policy.policy, logger)

    let server = try PolicyServer(serving: policy, configuration: configuration, logger: logger)
    let scheme = tlsCert == nil ? "http" : "https"
    let place = "\(host.contains(":") ? "[\(host)]" : host):\(server.port)"
    FileHandle.standardOutput.write(Data("Serving at \(scheme)://\(place)\n".utf8))
    logger.info("\(Self.waitForSignal()): finishing the running inference")
    server.stop()
    logger.info("stopped")
  }

  private func policy() throws -> ServedRobotPolicy {
    let device = try device.device()
    let folder = try PolicyFolder(contentsOf: checkpoint)
    if modelUnits {
      return ServedRobotPolicy(
        try RobotPolicy(policy: Policy(checkpoint: folder.checkpoint, on: device), transforms: []))
    }
    let variant = try folder.checkpoint.requiredConfiguration().variant
    let preset = try preset.map { try RobotPreset.named($0, variant: variant) }
    let tokenizer = try tokenizer.map { try SentencePieceTokenizer(path: $0) }
    let policy = try RobotPolicy(folder, preset: preset, tokenizer: tokenizer, on: device)
    return ServedRobotPolicy(policy, keys: preset?.keys ?? ObservationKeys())
  }

  /// One inference before anybody connects: the first is slower, since weights are prepared in it.
  private func warmUp(_ policy: Policy, _ logger: Logger) throws {
    let size = policy.configuration.vision.imageSize
    let black = try RGBImage(
      width: size, height: size, pixels: [UInt8](repeating: 0, count: 3 * size * size))
    let observation = Observation(
      images: Dictionary(uniqueKeysWithValues: policy.configuration.cameras.map { ($0, black) }),
      state: [], tokens: [])
    let start = ContinuousClock.now
    let inputs = try observation.inputs(for: policy.configuration, on: policy.device)
    _ = try policy.sampleActions(inputs, seed: 0)
    let seconds = (ContinuousClock.now - start).seconds
    logger.info("warm after \(String(format: "%.2f", seconds)) s on \(policy.device)")
  }

  /// Returns the name of the first signal that asks to end. The next one ends the process at once.
  private static func waitForSignal() -> String {
    let name = DispatchSemaphore(value: 0)
    nonisolated(unsafe) var received = ""
    let sources = [(SIGTERM, "SIGTERM"), (SIGINT, "SIGINT")].map { number, text in
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
      source.setEventHandler {
        signal(SIGTERM, SIG_DFL)
        signal(SIGINT, SIG_DFL)
        received = text
        name.signal()
      }
      source.activate()
      return source
    }
    name.wait()
    for source in sources { source.cancel() }
    return received
  }
}
