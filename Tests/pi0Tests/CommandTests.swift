import Foundation
import PI0Kit
import XCTest

@testable import pi0

/// The program as a user runs it: what it prints, where, and its exit code.
final class CommandTests: XCTestCase {
  private struct Outcome {
    let code: Int32
    let output: String
    let errors: String
  }

  private static let fixtures = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")

  private static func fixture(_ name: String) -> String {
    fixtures.appendingPathComponent(name).path
  }

  private let checkpoint = fixture("example/checkpoint")
  private let observation = fixture("example/observation.json")

  /// Runs the program built beside the tests.
  private func pi0(_ arguments: String..., in folder: String? = nil) throws -> Outcome {
    let tests = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let process = Process()
    process.executableURL = tests.deletingLastPathComponent().appendingPathComponent("pi0")
    process.arguments = arguments
    if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
    let (output, errors) = (try temporaryFile("out"), try temporaryFile("err"))
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    process.waitUntilExit()
    XCTAssertEqual(process.terminationReason, .exit)
    return Outcome(
      code: process.terminationStatus,
      output: try String(contentsOf: output, encoding: .utf8),
      errors: try String(contentsOf: errors, encoding: .utf8))
  }

  private func temporaryFile(_ name: String, _ contents: String = "") throws -> URL {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("pi0Tests-\(UUID().uuidString)-\(name)")
    try Data(contents.utf8).write(to: url)
    addTeardownBlock { try? FileManager.default.removeItem(at: url) }
    return url
  }

  /// The program failed with one line that says `text`.
  private func assertFails(
    _ outcome: Outcome, _ text: String, code: Int32 = 1, file: StaticString = #filePath,
    line: UInt = #line
  ) {
    XCTAssertEqual(outcome.code, code, file: file, line: line)
    XCTAssertTrue(outcome.errors.contains(text), outcome.errors, file: file, line: line)
    XCTAssertTrue(outcome.errors.hasPrefix("pi0: "), outcome.errors, file: file, line: line)
    XCTAssertEqual(
      outcome.errors.filter(\.isNewline).count, 1, outcome.errors, file: file, line: line)
    XCTAssertEqual(outcome.output, "", file: file, line: line)
  }

  // MARK: - run

  private struct Chunk: Decodable {
    let variant: String
    let seed: Int
    let steps: Int
    let actions: [[Float]]
  }

  private func chunk(_ outcome: Outcome) throws -> Chunk {
    XCTAssertEqual(outcome.code, 0, outcome.errors)
    return try JSONDecoder().decode(Chunk.self, from: Data(outcome.output.utf8))
  }

  func testRunPrintsTheLibrarysActions() throws {
    let plot = try temporaryFile("actions.svg")
    let printed = try chunk(
      pi0("run", checkpoint, observation, "--seed", "7", "--json", "--plot", plot.path))
    let policy = try Policy(checkpoint: Checkpoint(path: checkpoint))
    let inputs = try ObservationFile.read(observation).inputs(for: policy.configuration)
    let actions = try policy.sampleActions(inputs, seed: 7).floats()
    XCTAssertEqual(printed.variant, "pi0")
    XCTAssertEqual(printed.seed, 7)
    XCTAssertEqual(printed.steps, 10)
    XCTAssertEqual(printed.actions.count, 50)
    for (a, e) in zip(printed.actions.flatMap { $0 }, actions) { XCTAssertEqual(a, e) }
    let svg = try String(contentsOf: plot, encoding: .utf8)
    XCTAssertTrue(svg.hasPrefix("<svg") || svg.hasPrefix("<?xml"), String(svg.prefix(80)))
  }

  func testRunTakesStepsAndShowsProgressAndATable() throws {
    let outcome = try pi0("run", checkpoint, observation, "--steps", "3")
    XCTAssertEqual(outcome.code, 0)
    XCTAssertEqual(outcome.errors, "vision 2/2\nlanguage 2/2\ndenoising 3/3\n")
    XCTAssertTrue(outcome.output.contains("50 actions of 32 dimensions, 3 steps, seed 0"))
    let three = try chunk(pi0("run", checkpoint, observation, "--steps", "3", "--json"))
    let ten = try chunk(pi0("run", checkpoint, observation, "--json"))
    XCTAssertNotEqual(three.actions, ten.actions)
    let row = three.actions[49][..<8].map { String(format: "%.4f", $0) }
    let lines = outcome.output.split(separator: "\n")
    XCTAssertTrue(
      lines.contains { $0.split(separator: " ").map(String.init) == ["49"] + row },
      "no row \(row)")
  }

  func testRunNamesWhatIsWrong() throws {
    assertFails(try pi0("run"), "see pi0 run --help", code: 64)
    assertFails(try pi0("run", checkpoint, observation, "--seed", "x"), "--seed", code: 64)
    assertFails(try pi0("run", "/nowhere", observation), "/nowhere")
    assertFails(try pi0("run", checkpoint, "/nowhere.json"), "/nowhere.json: cannot be read")
    assertFails(try pi0("run", checkpoint, "/dev/zero"), "/dev/zero: cannot be read")
    assertFails(try pi0("run", checkpoint, observation, "--steps", "0"), "0 denoising steps")
    assertFails(try pi0("run", checkpoint, observation, "--device", "card"), "reference")
    assertFails(
      try pi0("run", checkpoint, observation, "--config", observation), "paligemma_variant")
    for (json, text) in [
      ("{", "no valid JSON"), ("{}", "\"images\" is missing"),
      (#"{"images": {}, "state": [], "tokens": []}"#, "no camera image"),
      (#"{"images": {}, "state": [], "tokens": ["a"]}"#, "wrong type"),
      (#"{"images": {}, "state": [], "tokens": [5000000000]}"#, "JSON"),
      (#"{"images": {"base_0_rgb": "nowhere.png"}, "state": [], "tokens": []}"#, "nowhere.png"),
      (#"{"images": {"base_0_rgb": "/proc/self/status"}, "state": [], "tokens": []}"#, "PNG"),
      (#"{"images": {"base_0_rgb": "/dev/zero"}, "state": [], "tokens": []}"#, "no regular file"),
    ] {
      let file = try temporaryFile("observation.json", json)
      assertFails(try pi0("run", checkpoint, file.path), text)
    }
  }

  // MARK: - validate

  func testValidateFindsThePackagesGoldenSets() throws {
    let outcome = try pi0("validate", in: FileManager.default.temporaryDirectory.path)
    XCTAssertEqual(outcome.code, 0, outcome.output + outcome.errors)
    XCTAssertTrue(outcome.output.contains("118 stages: 116 pass, 0 fail, 2 information"))
    XCTAssertTrue(outcome.output.contains("PCC"))
  }

  func testValidateFailsWhereAStageFallsShort() throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("pi0Tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    addTeardownBlock { try FileManager.default.removeItem(at: folder) }
    // The results of another policy.
    for (from, to) in [
      ("suffix_full.weights", "a.weights"), ("suffix_full.io", "a.io"),
      ("suffix_full.weights", "b.weights"), ("pi0.io", "b.io"),
    ] {
      try FileManager.default.copyItem(
        at: Self.fixtures.appendingPathComponent("golden/\(from).safetensors"),
        to: folder.appendingPathComponent("\(to).safetensors"))
    }
    let outcome = try pi0("validate", "--fixtures", folder.path, "--json")
    XCTAssertEqual(outcome.code, 1)
    let rows = try JSONDecoder().decode(
      [Validation.Row].self, from: Data(outcome.output.utf8))
    XCTAssertTrue(rows.filter { $0.set == "a" }.allSatisfy { $0.verdict == .pass })
    XCTAssertTrue(rows.contains { $0.set == "b" && $0.verdict == .fail })
    assertFails(try pi0("validate", "--fixtures", "/nowhere"), "/nowhere")
  }

  // MARK: - inspect, devices, bench

  func testInspectTellsWhatACheckpointIs() throws {
    let outcome = try pi0("inspect", Self.fixture("golden/pi05.weights.safetensors"))
    XCTAssertEqual(outcome.code, 0, outcome.output)
    for text in ["pi05", "openpi", "F32", "vision tower", "No problems."] {
      XCTAssertTrue(outcome.output.contains(text), outcome.output)
    }
  }

  func testInspectTellsWhatLiesBetweenRobotAndModel() throws {
    let lerobot = try pi0("inspect", Self.fixture("robots/lerobot-pi05"))
    XCTAssertEqual(lerobot.code, 0, lerobot.errors)
    for text in [
      "as lerobot trained it", "found: action: 6 values, QUANTILES", "cameras front, top, wrist",
      "state of 8 values; actions of 6 values",
    ] { XCTAssertTrue(lerobot.output.contains(text), lerobot.output) }
    let weights = try pi0("inspect", checkpoint)
    XCTAssertEqual(weights.code, 0)
    XCTAssertTrue(weights.output.contains("missing: policy_preprocessor.json"), weights.output)

    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("pi0Tests-\(UUID().uuidString)")
    addTeardownBlock { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(
      atPath: Self.fixture("robots/lerobot-pi0"), toPath: folder.path)
    try FileManager.default.removeItem(
      at: folder.appendingPathComponent("policy_postprocessor.json"))
    let damaged = try pi0("inspect", folder.path)
    XCTAssertEqual(damaged.code, 1)
    XCTAssertTrue(
      damaged.output.contains("problem: policy_postprocessor.json is missing"), damaged.output)
  }

  func testInspectTellsWhatIsWrong() throws {
    let suffix = try pi0("inspect", Self.fixture("golden/suffix_full.weights.safetensors"))
    XCTAssertEqual(suffix.code, 1)
    XCTAssertTrue(suffix.output.contains("Problems: 1"), suffix.output)
    XCTAssertTrue(suffix.output.contains("no whole policy"), suffix.output)
    let config = try temporaryFile(
      "config.json",
      #"{"paligemma_variant": "gemma_2b", "action_expert_variant": "gemma_300m"}"#)
    let wrong = try pi0("inspect", checkpoint, "--config", config.path, "--json")
    XCTAssertEqual(wrong.code, 1)
    XCTAssertTrue(wrong.output.contains("mis-shaped"), wrong.output)
    assertFails(try pi0("inspect", observation), "observation.json")
  }

  func testDevicesOfAMachineWithoutACard() throws {
    let outcome = try pi0("devices")
    XCTAssertEqual(outcome.code, 0, outcome.errors)
    if FileManager.default.fileExists(atPath: "/dev/tenstorrent") {
      XCTAssertTrue(outcome.output.contains("card 0"), outcome.output)
    } else {
      XCTAssertTrue(
        outcome.output.contains("This machine has no Tenstorrent card."), outcome.output)
    }
    XCTAssertTrue(outcome.output.contains("reference"), outcome.output)
  }

  func testBenchPrintsATimingAPart() throws {
    let outcome = try pi0("bench", "--runs", "2")
    XCTAssertEqual(outcome.code, 0, outcome.errors)
    XCTAssertTrue(outcome.output.contains("Euler update, 50 x 32"), outcome.output)
    XCTAssertTrue(outcome.output.contains("51 x 867"), outcome.output)
    assertFails(try pi0("bench", "--runs", "0"), "--runs", code: 64)
  }

  func testEveryVerbHasHelpWithAnExample() throws {
    let verbs = ["run", "validate", "inspect", "devices", "bench"]
    let all = try pi0("--help")
    XCTAssertEqual(all.code, 0)
    for verb in verbs {
      XCTAssertTrue(all.output.contains(verb), all.output)
      let help = try pi0(verb, "--help")
      XCTAssertEqual(help.code, 0)
      XCTAssertTrue(help.output.contains("Example: pi0 \(verb)"), help.output)
    }
    assertFails(try pi0("fly"), "pi0 --help", code: 64)
  }
}
