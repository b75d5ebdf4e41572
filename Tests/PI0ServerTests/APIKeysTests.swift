import Foundation
import XCTest

@testable import PI0Server

final class APIKeysTests: XCTestCase {
  func testComparison() {
    let key = Array("secret".utf8)
    XCTAssertTrue(APIKeys.areEqual(key, key))
    for wrong in ["", "secre", "secrets", "secretsecret", "Secret", "secreT", "\0\0\0\0\0\0"] {
      XCTAssertFalse(APIKeys.areEqual(key, Array(wrong.utf8)), wrong)
    }
    // Lengths that differ by a multiple of 256 are different all the same.
    let long = [UInt8](repeating: 1, count: 257)
    XCTAssertFalse(APIKeys.areEqual([1], long))
  }

  func testFiles() throws {
    let path = FileManager.default.temporaryDirectory
      .appendingPathComponent("keys-\(UUID().uuidString)").path
    addTeardownBlock { try? FileManager.default.removeItem(atPath: path) }
    try "first\n\n  second  \r\n".write(toFile: path, atomically: true, encoding: .utf8)
    let keys = try APIKeys(contentsOf: path)
    XCTAssertTrue(keys.accept("Api-Key first"))
    XCTAssertTrue(keys.accept("api-key second"))
    XCTAssertFalse(keys.accept("Api-Key third"))
    XCTAssertFalse(keys.accept(nil))
    for (contents, text) in [("", "no API key"), ("\n \n", "no API key"), ("é", "ASCII")] {
      try contents.write(toFile: path, atomically: true, encoding: .utf8)
      XCTAssertThrowsError(try APIKeys(contentsOf: path)) {
        XCTAssertTrue("\($0)".contains(text) && "\($0)".contains(path), "\($0)")
      }
    }
    XCTAssertThrowsError(try APIKeys(contentsOf: "/nowhere"))
  }
}
