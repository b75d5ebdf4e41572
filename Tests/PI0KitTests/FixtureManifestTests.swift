import Foundation
import XCTest

/// The fixtures are those that the manifest describes.
final class FixtureManifestTests: XCTestCase {
  private struct Manifest: Decodable {
    struct File: Decodable {
      let sha256: String
      let bytes: Int
    }

    let command: String
    let versions: [String: String]
    let files: [String: File]
  }

  func testEveryFileIsAsTheManifestSays() throws {
    let manifest = try JSONDecoder().decode(
      Manifest.self, from: Data(contentsOf: Fixtures.folder.appendingPathComponent("MANIFEST.json"))
    )
    XCTAssertNotNil(manifest.versions["torch"])
    let hashes = try sha256(manifest.files.keys.sorted())
    for (name, file) in manifest.files {
      XCTAssertEqual(
        hashes[name], file.sha256, "\(name) is stale; make it again: \(manifest.command)")
    }
    let unlisted = try FileManager.default.subpathsOfDirectory(atPath: Fixtures.folder.path)
      .filter { path in
        let type = try? FileManager.default.attributesOfItem(atPath: Fixtures.path(path))[.type]
        return type as? FileAttributeType == .typeRegular && !path.hasSuffix(".md")
          && path != "MANIFEST.json" && manifest.files[path] == nil
          // These are Scripts/record-emulator-vectors's, and are compared as a whole.
          && !path.hasPrefix("emulator/")
      }
    XCTAssertEqual(unlisted, [], "no manifest entry; run \(manifest.command)")
  }

  /// The hashes by `sha256sum`, which every Linux has.
  private func sha256(_ names: [String]) throws -> [String: String] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["sha256sum", "--"] + names
    process.currentDirectoryURL = Fixtures.folder
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    let lines = String(decoding: output, as: UTF8.self).split(separator: "\n")
    return Dictionary(
      lines.compactMap { line in
        let parts = line.split(separator: " ", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        return (String(parts[1].drop { $0 == " " || $0 == "*" }), String(parts[0]))
      }, uniquingKeysWith: { first, _ in first })
  }
}
