import Foundation
import PI0Kit

/// Files that come with the package, found from where the program or the user is.
enum PackageFixtures {
  /// The golden sets.
  static func goldenFolder() throws(PI0Error) -> String {
    try folder("Tests/Fixtures/golden", option: "--fixtures")
  }

  /// The policy of `pi0 demo`.
  static func demoPolicy() throws(PI0Error) -> String {
    try folder("Demo/policy", option: "--checkpoint")
  }

  /// A folder above the program (`.build/release/pi0`) or above the current folder.
  private static func folder(_ path: String, option: String) throws(PI0Error) -> String {
    let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let starts = [
      program.deletingLastPathComponent().path, FileManager.default.currentDirectoryPath,
    ]
    for start in starts {
      var folder = URL(fileURLWithPath: start)
      while true {
        let candidate = folder.appendingPathComponent(path).path
        if FileManager.default.fileExists(atPath: candidate) { return candidate }
        let parent = folder.deletingLastPathComponent()
        if parent.path == folder.path { break }
        folder = parent
      }
    }
    throw .file(path: path, reason: "is not above this program; name a folder with \(option)")
  }
}
