import Foundation
import PI0Kit
import PI0Tokenizer
import XCTest

/// Ids against those of Python's sentencepiece.
final class SentencePieceTokenizerTests: XCTestCase {
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures/tokenizers")

  /// What Python made of texts with one model.
  private struct Expectation: Decodable {
    let size: Int
    let beginning: Int32
    let texts: [String]
    let ids: [[Int32]]
  }

  /// Compares every text of every `NAME.ids.json` beside a `NAME.model`; returns how many.
  private func compare(_ folder: URL) throws -> (models: Int, texts: Int) {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
      .filter { $0.hasSuffix(".ids.json") }.sorted()
    var texts = 0
    for name in names {
      let expected = try JSONDecoder().decode(
        Expectation.self, from: Data(contentsOf: folder.appendingPathComponent(name)))
      let model = name.replacingOccurrences(of: ".ids.json", with: ".model")
      let tokenizer = try SentencePieceTokenizer(path: folder.appendingPathComponent(model).path)
      XCTAssertEqual(tokenizer.vocabularySize, expected.size, model)
      XCTAssertEqual(tokenizer.beginningID, expected.beginning, model)
      XCTAssertEqual(expected.texts.count, expected.ids.count, name)
      var differing = 0
      for (text, ids) in zip(expected.texts, expected.ids) {
        let actual = try tokenizer.encode(text)
        if actual != ids {
          differing += 1
          if differing <= 3 { XCTFail("\(model), \(text.debugDescription): \(actual) != \(ids)") }
        }
      }
      XCTAssertEqual(differing, 0, "\(model): of \(expected.texts.count) texts")
      texts += expected.texts.count
    }
    return (names.count, texts)
  }

  func testThreeModels() throws {
    let compared = try compare(Self.folder)
    XCTAssertEqual(compared.models, 3)
    XCTAssertEqual(compared.texts, 1200)
  }

  /// Many sentences, made and tokenised by `Scripts/compare-tokenizers`.
  func testManySentences() throws {
    guard let folder = ProcessInfo.processInfo.environment["PI0KIT_TOKENIZERS"] else {
      throw XCTSkip("run Scripts/compare-tokenizers, which fetches models with pip")
    }
    let compared = try compare(URL(fileURLWithPath: folder))
    XCTAssertGreaterThanOrEqual(compared.models, 3)
    XCTAssertGreaterThanOrEqual(compared.texts, 30_000)
    print("\(compared.texts) texts compared, \(compared.models) models")
  }

  func testFilesThatAreNoModels() throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("PI0TokenizerTests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    addTeardownBlock { try FileManager.default.removeItem(at: folder) }
    let model = try Data(contentsOf: Self.folder.appendingPathComponent("bpe.model"))
    for (name, contents) in [
      ("text", Data("no model".utf8)), ("empty", Data()), ("half", model.prefix(model.count / 2)),
      ("zeros", Data(repeating: 0, count: 1000)),
    ] {
      let path = folder.appendingPathComponent(name).path
      try contents.write(to: URL(fileURLWithPath: path))
      XCTAssertThrowsError(try SentencePieceTokenizer(path: path), name) { error in
        guard case PI0Error.file(path, _) = error else { return XCTFail("\(name): \(error)") }
      }
    }
    XCTAssertThrowsError(try SentencePieceTokenizer(path: folder.path + "/none"))
    XCTAssertThrowsError(try SentencePieceTokenizer(path: folder.path))
  }

  func testSeveralThreadsAtOnce() async throws {
    let tokenizer = try SentencePieceTokenizer(
      path: Self.folder.appendingPathComponent("mistral.model").path)
    let text = "pick up the red block and put it into the blue box"
    let expected = try tokenizer.encode(text)
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<4 {
        group.addTask {
          for _ in 0..<200 where try tokenizer.encode(text) != expected { return false }
          return true
        }
      }
      for try await isEqual in group { XCTAssertTrue(isEqual) }
    }
  }
}
