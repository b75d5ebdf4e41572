import Foundation
import XCTest

@testable import PI0Kit

/// lerobot's folders that are damaged, incomplete or beyond what is known: each must be refused.
final class PolicyFolderTests: XCTestCase {
  private static let before = "policy_preprocessor.json"
  private static let after = "policy_postprocessor.json"
  private static let state = "policy_preprocessor_step_6_normalizer_processor.safetensors"

  /// A copy of lerobot's pi0 folder.
  private func copy() throws -> TemporaryFolder {
    let folder = try TemporaryFolder(for: self)
    let source = RobotFixture.folder("lerobot-pi0")
    for name in try FileManager.default.contentsOfDirectory(atPath: source) {
      try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: folder.path(name))
    }
    return folder
  }

  private func replace(_ old: String, by new: String, in name: String, _ folder: TemporaryFolder)
    throws
  {
    let text = try String(contentsOfFile: folder.path(name), encoding: .utf8)
    XCTAssertTrue(text.contains(old), "\(name) has no \(old)")
    try folder.write(name, Data(text.replacingOccurrences(of: old, with: new).utf8))
  }

  /// Fails unless the folder has a problem with all of `parts` in it, for which the policy is
  /// refused.
  private func assertRefused(
    _ folder: TemporaryFolder, _ parts: String..., line: UInt = #line
  ) throws {
    let opened = try PolicyFolder(contentsOf: folder.path)
    let problems = opened.problems.joined(separator: "\n")
    for part in parts {
      XCTAssertTrue(problems.contains(part), problems.isEmpty ? "none" : problems, line: line)
    }
    assertThrows("would give wrong actions", line: line) { try RobotPolicy(opened) }
  }

  func testNotes() throws {
    let folder = try PolicyFolder(contentsOf: RobotFixture.folder("lerobot-pi05"))
    XCTAssertEqual(folder.origin, .lerobot)
    XCTAssertEqual(folder.problems, [])
    XCTAssertEqual(folder.executedSteps, 6)
    XCTAssertEqual(folder.resizing, .torchFloats)
    XCTAssertEqual(folder.checkpoint.configuration?.cameras, ["top", "wrist"])
    XCTAssertEqual(folder.checkpoint.configuration?.times, .exact)
    let text = folder.notes.map(\.description)
    XCTAssertTrue(text.contains { $0.hasPrefix("found: observation.state: 8 values, QUANTILES") })
    XCTAssertTrue(text.contains { $0.hasPrefix("found: action: 6 values, QUANTILES") })
    let policy = try RobotPolicy(folder)
    XCTAssertEqual(
      policy.interface,
      RobotInterface(cameras: ["front", "top", "wrist"], stateDimension: 8, actionDimension: 6))
    assertThrows("leave the preset away") { try RobotPolicy(folder, preset: .droid()) }
  }

  func testMissingFiles() throws {
    for name in [Self.before, Self.after] {
      let folder = try copy()
      try FileManager.default.removeItem(atPath: folder.path(name))
      try assertRefused(folder, "\(name) is missing")
    }
    // Without either, statistics would have to be among the weights.
    let neither = try copy()
    for name in [Self.before, Self.after] {
      try FileManager.default.removeItem(atPath: neither.path(name))
    }
    try assertRefused(neither, "no statistics mean and std")
    let stateless = try copy()
    try FileManager.default.removeItem(atPath: stateless.path(Self.state))
    try assertRefused(stateless, Self.state)
    let configless = try copy()
    try FileManager.default.removeItem(atPath: configless.path("config.json"))
    assertThrows("config.json", "is missing") { try PolicyFolder(contentsOf: configless.path) }
  }

  func testStateFilesElsewhere() throws {
    for name in ["../\(Self.state)", "/etc/passwd", "..", ""] {
      let folder = try copy()
      try replace(
        "\"\(Self.state)\"", by: "\"\(name)\"".replacingOccurrences(of: "/", with: "\\/"),
        in: Self.before, folder)
      try assertRefused(folder, "must lie beside it")
    }
    let unnamed = try copy()
    try replace("\"state_file\"", by: "\"no_file\"", in: Self.before, unnamed)
    try assertRefused(unnamed, "names no file with statistics", "before it was trained")
  }

  func testStatisticsThatDoNotFit() throws {
    func write(_ statistics: [String: [Float]], _ folder: TemporaryFolder) throws {
      try folder.write(
        Self.state,
        SafetensorsWriter.file(
          statistics.map { .init($0.key, "F32", [$0.value.count], elements: $0.value) }))
    }
    let ones = [Float](repeating: 1, count: 7)
    for (statistics, problem) in [
      ([:], "found none"),
      (["action.mean": ones, "action.std": ones], "observation.state: there are no statistics"),
      (["observation.state.mean": ones], "found mean"),
      (
        ["observation.state.mean": ones + [1], "observation.state.std": ones + [1]],
        "statistics for 8 values, config.json says 7"
      ),
      (
        ["observation.state.mean": ones, "observation.state.std": Array(ones.dropLast()) + [.nan]],
        "std[6] is nan"
      ),
    ] as [([String: [Float]], String)] {
      let folder = try copy()
      try write(statistics, folder)
      try assertRefused(folder, problem)
    }
  }

  func testWhatIsNotKnown() throws {
    let edits: [(old: String, new: String, file: String, problem: String)] = [
      ("\"MEAN_STD\"", "\"LOG\"", Self.before, "no normalisation \"LOG\""),
      ("\"MEAN_STD\"", "\"LOG\"", Self.after, "no normalisation \"LOG\""),
      ("device_processor", "smoothing_processor", Self.after, "\"smoothing_processor\""),
      ("to_batch_processor", "crop_processor", Self.before, "\"crop_processor\""),
      ("pi0_new_line_processor", "to_batch_processor", Self.before, "0 forms of the prompt"),
      ("unnormalizer_processor\"", "device_processor\"", Self.after, "stay normalised"),
      ("\"enabled\": false", "\"enabled\": true", Self.before, "relative in only one"),
      ("\"enabled\": false", "\"enabled\": true", Self.after, "relative in only one"),
      (
        "\"rename_map\": {}",
        "\"rename_map\": {\"observation.images.a\": \"observation.images.b\"}",
        Self.before, "renames \"observation.images.a\""
      ),
      ("\"type\": \"pi0\"", "\"type\": \"pi05\"", "config.json", "type \"pi05\", the weights"),
      ("\"observation.state\"", "\"observation.joints\"", "config.json", "no feature"),
      ("\"action\"", "\"act\"", "config.json", "no feature \"action\""),
    ]
    for edit in edits {
      let folder = try copy()
      try replace(edit.old, by: edit.new, in: edit.file, folder)
      try assertRefused(folder, edit.problem)
    }
    let relative = try copy()
    for file in [Self.before, Self.after] {
      try replace("\"enabled\": false", by: "\"enabled\": true", in: file, relative)
    }
    try assertRefused(relative, "differ on relative actions")

    let damaged = try copy()
    try damaged.write(Self.before, Data("{\"steps\": [}".utf8))
    assertThrows(Self.before, "no valid JSON") { try PolicyFolder(contentsOf: damaged.path) }
    let foreign = try copy()
    try replace("\"type\": \"pi0\"", by: "\"type\": \"act\"", in: "config.json", foreign)
    try assertRefused(foreign, "of type \"act\"")
  }
}
