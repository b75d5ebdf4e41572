import Foundation
import PI0Kit

/// Files that come with the package, found from where the program or the user is.
enum PackageFixtures {
  private static let golden = "Tests/Fixtures/golden"

  /// The golden sets: above the program (`.build/release/pi0`) or above the current folder.
  static func goldenFolder() throws(PI0Error) -> String {
    let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let starts = [
      program.deletingLastPathComponent().path, FileManager.default.currentDirectoryPath,
    ]
    for start in starts {
      var folder = URL(fileURLWithPath: start)
      while true {
        let candidate = folder.appendingPathComponent(golden).path
        if FileManager.default.fileExists(atPath: candidate) { return candidate }
        let parent = folder.deletingLastPathComponent()
        if parent.path == folder.path { break }
        folder = parent
      }
    }
    throw .file(
      path: golden, reason: "is not above this program; name a folder with --fixtures")
  }
}
