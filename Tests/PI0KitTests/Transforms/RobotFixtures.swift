import Foundation
import PI0Tokenizer
import XCTest

@testable import PI0Kit

/// Raw observations and the robot's actions, as lerobot and openpi make them.
struct RobotFixture {
  let file: SafetensorsFile

  init(_ name: String) throws { file = try Fixtures.safetensors("robots/\(name).safetensors") }

  /// The observation at `key`, with its sentence or with token ids.
  func observation(_ key: String, prompt: RobotObservation.Prompt) throws -> RobotObservation {
    var images: [String: RGBImage] = [:]
    let prefix = "\(key)/image/"
    for (name, entry) in file.entries where name.hasPrefix(prefix) {
      images[String(name.dropFirst(prefix.count))] = try RGBImage(
        width: entry.shape[1], height: entry.shape[0], pixels: file.bytes(name))
    }
    XCTAssertFalse(images.isEmpty, "\(key) has no images; \(Fixtures.remedy)")
    return RobotObservation(images: images, state: try doubles("\(key)/state"), prompt: prompt)
  }

  func tokens(_ key: String) throws -> [Int32] { try file.tensor("\(key)/tokens").int32s() }

  func noise(_ key: String) throws -> Tensor { try file.tensor("\(key)/noise") }

  /// A tensor's elements without rounding, which float64 would suffer as a tensor.
  func doubles(_ name: String) throws -> [Double] {
    let bytes = try file.bytes(name)
    guard file.entries[name]?.type == .float64 else {
      return try file.tensor(name).floats().map(Double.init)
    }
    return bytes.withUnsafeBytes { bytes in
      (0..<bytes.count / 8).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }

  static func folder(_ name: String) -> String { Fixtures.path("robots/\(name)") }

  /// The tokenizer that the fixtures' prompts were made with.
  static func tokenizer() throws -> SentencePieceTokenizer {
    try SentencePieceTokenizer(path: Fixtures.path("tokenizers/bpe.model"))
  }
}

/// Fails unless all values are within `relative` of the largest expected one, and so is the root of
/// their mean squared difference of the expected values' own.
func assertClose(
  _ actual: [Double], _ expected: [Double], relative: Double = 1e-5, _ name: String,
  file: StaticString = #filePath, line: UInt = #line
) {
  XCTAssertEqual(actual.count, expected.count, name, file: file, line: line)
  guard actual.count == expected.count else { return }
  let differences = zip(actual, expected).map { abs($0 - $1) }
  func rms(_ values: [Double]) -> Double {
    (values.reduce(0) { $0 + $1 * $1 } / Double(max(values.count, 1))).squareRoot()
  }
  let largest = expected.map(abs).max() ?? 0
  let worst = (differences.max() ?? 0) / largest
  let relativeRMS = rms(differences) / rms(expected)
  // Not `>`: a NaN must count.
  XCTAssertTrue(
    worst <= relative && relativeRMS <= relative,
    "\(name): maximum error \(worst), RMS \(relativeRMS), both relative; allowed \(relative)",
    file: file, line: line)
  if ProcessInfo.processInfo.environment["PI0KIT_PRINT_ERRORS"] != nil {
    print("\(name): maximum error \(worst), RMS \(relativeRMS), both relative")
  }
}

/// Fails unless `body` throws an error whose text holds all of `parts`.
func assertThrows<Result>(
  _ parts: String..., file: StaticString = #filePath, line: UInt = #line,
  _ body: () throws -> Result
) {
  XCTAssertThrowsError(try body(), file: file, line: line) { error in
    for part in parts {
      XCTAssertTrue("\(error)".contains(part), "\(error)", file: file, line: line)
    }
  }
}
