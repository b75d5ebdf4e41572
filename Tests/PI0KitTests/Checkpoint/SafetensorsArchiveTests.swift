import Foundation
import XCTest

@testable import PI0Kit

final class SafetensorsArchiveTests: XCTestCase {
  private typealias Item = SafetensorsWriter.Item

  private let first = "model-00001-of-00002.safetensors"
  private let second = "model-00002-of-00002.safetensors"
  private let index = "model.safetensors.index.json"

  private func item(_ name: String, _ value: Float) -> Item {
    Item(name, "F32", [1], elements: [value])
  }

  /// A folder with two files and an index that lists `weightMap`.
  private func folder(
    _ weightMap: [String: String], first: [Item]? = nil, second: [Item]? = nil
  ) throws -> TemporaryFolder {
    let folder = try TemporaryFolder(for: self)
    try folder.write(
      self.first, SafetensorsWriter.file(first ?? [item("a", 1)], metadata: ["k": "1", "l": "1"]))
    try folder.write(
      self.second,
      SafetensorsWriter.file(
        second ?? [item("b", 2), item("c", 3)], metadata: ["k": "2", "m": "2"]))
    try writeIndex(weightMap, to: folder)
    return folder
  }

  private func writeIndex(_ weightMap: [String: String], to folder: TemporaryFolder) throws {
    struct Index: Encodable {
      let metadata = ["total_size": 12]
      let weight_map: [String: String]
    }
    try folder.write(index, JSONEncoder().encode(Index(weight_map: weightMap)))
  }

  private var weightMap: [String: String] { ["a": first, "b": second, "c": second] }

  func testReadsSeveralFilesAsOne() throws {
    let folder = try folder(weightMap)
    for path in [folder.path, folder.path + "/", folder.path(index)] {
      let archive = try SafetensorsArchive(path: path)
      XCTAssertEqual(archive.path, path)
      XCTAssertEqual(archive.names, ["a", "b", "c"])
      XCTAssertEqual(archive.byteCount, 12)
      XCTAssertEqual(archive.metadata, ["k": "1", "l": "1", "m": "2"])
      XCTAssertEqual(archive.files.map(\.entries.count), [1, 2])
      XCTAssertEqual(archive.entry("c")?.type, .float32)
      XCTAssertEqual(archive.entry("c")?.shape, [1])
      XCTAssertNil(archive.entry("d"))
      for (name, value) in ["a": 1, "b": 2, "c": 3] as [String: Float] {
        XCTAssertEqual(try archive.tensor(name).floats(), [value])
      }
      assertFileError("none of its 3 tensors is called \"d\"") { try archive.tensor("d") }
    }
  }

  func testReadsAnIndexInTheWorkingFolder() throws {
    let folder = try folder(weightMap)
    let before = FileManager.default.currentDirectoryPath
    XCTAssertTrue(FileManager.default.changeCurrentDirectoryPath(folder.path))
    defer { _ = FileManager.default.changeCurrentDirectoryPath(before) }
    for path in [index, "."] {
      XCTAssertEqual(try SafetensorsArchive(path: path).names, ["a", "b", "c"])
    }
  }

  func testReadsOneFile() throws {
    let folder = try TemporaryFolder(for: self)
    let path = try folder.write(
      "model.safetensors", SafetensorsWriter.file([item("z", 1), item("a", 2)]))
    for path in [path, folder.path] {
      let archive = try SafetensorsArchive(path: path)
      XCTAssertEqual(archive.names, ["a", "z"])
      XCTAssertEqual(try archive.tensor("a").floats(), [2])
    }
  }

  func testWholeFileComesBeforeIndex() throws {
    let folder = try folder(weightMap)
    try folder.write("model.safetensors", SafetensorsWriter.file([item("whole", 1)]))
    XCTAssertEqual(try SafetensorsArchive(path: folder.path).names, ["whole"])
  }

  func testSaysWhatItLookedFor() throws {
    let folder = try TemporaryFolder(for: self)
    assertFileError("neither model.safetensors nor model.safetensors.index.json") {
      try SafetensorsArchive(path: folder.path)
    }
    assertFileError("No such file or directory") {
      try SafetensorsArchive(path: folder.path("nowhere"))
    }
  }

  func testIndexAndFilesMustAgree() throws {
    let elsewhere = weightMap.merging(["b": first]) { $1 }
    assertFileError("\"\(first)\" does not hold tensor \"b\"") {
      try SafetensorsArchive(path: folder(elsewhere).path)
    }
    let tooMany = weightMap.merging(["d": first]) { $1 }
    assertFileError("\"\(first)\" does not hold tensor \"d\"") {
      try SafetensorsArchive(path: folder(tooMany).path)
    }
    let tooFew = weightMap.filter { $0.key != "c" }
    assertFileError("does not list tensor \"c\"") {
      try SafetensorsArchive(path: folder(tooFew).path)
    }
    assertFileError("tensor \"b\" is in") {
      try SafetensorsArchive(path: folder(weightMap, first: [item("a", 1), item("b", 2)]).path)
    }
    let missing = weightMap.merging(["d": "model-00003-of-00002.safetensors"]) { $1 }
    do {
      _ = try SafetensorsArchive(path: folder(missing).path)
      XCTFail("a file is missing")
    } catch PI0Error.file(let path, let reason) {
      XCTAssertTrue(path.hasSuffix("/model-00003-of-00002.safetensors"), path)
      XCTAssertTrue(reason.contains("No such file"), reason)
    }
  }

  func testOpensOnlyFilesBesideTheIndex() throws {
    let names = [
      "../\(first)", "/\(first)", "..", "a/../\(first)", "./\(first)", "", "a/b", "/\u{308}",
    ]
    for name in names {
      assertFileError("only files beside the index", name) {
        try SafetensorsArchive(path: folder(["a": name]).path)
      }
    }
    assertFileError("NUL") { try SafetensorsArchive(path: folder(["a": first + "\0"]).path) }
    assertFileError("is a folder") { try SafetensorsArchive(path: folder(["a": "."]).path) }
  }

  func testMalformedIndex() throws {
    let depth = 1_000_000
    let texts = [
      "[]", "{}", "{\"weight_map\": []}", "{\"weight_map\": {\"a\": 1}}", "{\"weight_map\": {",
      "{\"weight_map\": null}", "\u{FEFF}", "\0\0\0\0",
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth),
      "{\"weight_map\": " + String(repeating: "{\"a\":", count: depth),
    ]
    let folder = try TemporaryFolder(for: self)
    for text in texts {
      assertFileError("is no index of a checkpoint", String(text.prefix(40))) {
        try SafetensorsArchive(path: folder.write(index, Data(text.utf8)))
      }
    }
    assertFileError("is no index of a checkpoint") {
      try SafetensorsArchive(path: folder.write(index, Data([0xFF, 0xFE, 0x80])))
    }
    assertFileError("is empty") { try SafetensorsArchive(path: folder.write(index, Data())) }
  }

  func testIndexWithoutTensors() throws {
    XCTAssertEqual(try SafetensorsArchive(path: folder([:]).path).names, [])
  }
}
