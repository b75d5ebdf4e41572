import Foundation
import XCTest

/// A folder of its own for one test, gone after it.
struct TemporaryFolder {
  let path: String

  init(for test: XCTestCase) throws {
    let url = FileManager.default.temporaryDirectory
      .appendingPathComponent("PI0KitTests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
    test.addTeardownBlock { try FileManager.default.removeItem(at: url) }
  }

  func path(_ name: String) -> String { "\(path)/\(name)" }

  /// Writes a file and returns its path.
  @discardableResult
  func write(_ name: String, _ contents: Data) throws -> String {
    let path = path(name)
    try contents.write(to: URL(fileURLWithPath: path))
    return path
  }
}
