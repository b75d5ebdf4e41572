import Foundation
import XCTest

@testable import PI0Kit

/// Files that nobody meant to write. Each loads, and then every tensor is read to the last byte, or
/// opening it throws; none may crash or read beyond its end.
///
/// PI0KIT_FUZZ_FILES says how many; the same number means the same files. Every file is also read
/// from a heap block of its very size, where the address sanitizer sees a read beyond the end:
///
///     ASAN_OPTIONS=detect_leaks=0 swift test --sanitize=address --filter SafetensorsFuzzTests
///
/// Leaks are not looked for because XCTest itself leaks.
final class SafetensorsFuzzTests: XCTestCase {
  func testEveryFileLoadsOrThrows() throws {
    let count = try fileCount()
    let folder = try TemporaryFolder(for: self)
    let forge = try SafetensorsForge()
    var loaded = 0
    var readTensors = 0
    for seed in 0..<count {
      let contents = forge.file(seed: UInt64(seed))
      // Should this crash, then the file is still there.
      let path = try folder.write("fuzz.safetensors", contents)
      let inMemory = outcome(seed) { () throws(PI0Error) in
        try SafetensorsFile(Self.exactBlock(contents), path: path)
      }
      let onDisk = outcome(seed) { () throws(PI0Error) in try SafetensorsFile(path: path) }
      XCTAssertEqual(inMemory, onDisk, "file \(seed)")
      if let onDisk {
        loaded += 1
        readTensors += onDisk
      }
    }
    // The files are neither all refused at the door nor all harmless.
    XCTAssertGreaterThan(loaded, count / 50)
    XCTAssertLessThan(loaded, count / 2)
    XCTAssertGreaterThan(readTensors, loaded)
  }

  private func fileCount() throws -> Int {
    guard let text = ProcessInfo.processInfo.environment["PI0KIT_FUZZ_FILES"] else { return 2_000 }
    return try XCTUnwrap(Int(text), "PI0KIT_FUZZ_FILES is no number: \(text)")
  }

  /// How many tensors the file gave; nil where opening it threw.
  private func outcome(
    _ seed: Int, _ open: () throws(PI0Error) -> SafetensorsFile
  ) -> Int? {
    do {
      return readEverything(try open(), seed: seed)
    } catch {
      check(error, seed: seed)
      return nil
    }
  }

  /// Reads all tensors, as bytes and as elements. Returns how many gave elements.
  private func readEverything(_ file: SafetensorsFile, seed: Int) -> Int {
    var tensors = 0
    for (name, entry) in file.entries {
      do {
        let bytes = try file.bytes(name)
        XCTAssertEqual(bytes.count * 8, entry.elementCount * entry.type.bitCount, "file \(seed)")
        let tensor = try file.tensor(name)
        XCTAssertEqual(tensor.shape, entry.shape, "file \(seed)")
        let elements =
          switch tensor.elementType {
          case .float32, .bfloat16, .float16: try tensor.floats().count
          case .int32: try tensor.int32s().count
          case .uint8: tensor.count
          case .bool: try tensor.bools().count
          }
        XCTAssertEqual(elements, entry.elementCount, "file \(seed)")
        tensors += 1
      } catch {
        check(error, seed: seed)
      }
    }
    return tensors
  }

  /// Every error is about the file, and fit to be printed.
  private func check(_ error: PI0Error, seed: Int) {
    guard case .file(_, let reason) = error else {
      return XCTFail("file \(seed): \(error)")
    }
    XCTAssertLessThan(reason.utf8.count, 1_000, "file \(seed)")
  }

  /// The bytes in a heap block that ends where they end.
  private static func exactBlock(_ contents: Data) -> TensorStorage {
    let block = HeapBlock(contents)
    return TensorStorage(borrowing: UnsafeRawBufferPointer(block.bytes), from: block)
  }
}

/// Bytes in a block of the heap of their very size.
private final class HeapBlock {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ contents: Data) {
    bytes = .allocate(byteCount: contents.count, alignment: 64)
    bytes.copyBytes(from: contents)
  }

  deinit { bytes.deallocate() }
}

/// Makes the files: valid ones that are damaged in one of several ways, and hostile ones.
private struct SafetensorsForge {
  private let valid: [Data]

  init() throws {
    typealias Item = SafetensorsWriter.Item
    let everyType = SafetensorsType.allCases.map { type in
      Item(type.rawValue.lowercased(), type.rawValue, [2, 4], Self.ramp(type.bitCount))
    }
    valid = [
      try SafetensorsWriter.file(everyType, metadata: ["format": "pt", "é\n\"\u{1}🤖": "\\/\t"]),
      try SafetensorsWriter.file([
        Item("weight", "F32", [2, 3], elements: [1, 2, 3, 4, 5, 6] as [Float]),
        Item("bias", "BF16", [3], Self.ramp(6)), Item("scalar", "F64", [], elements: [0.5]),
        Item("empty", "I32", [0, 7], []),
        Item("tokens", "I64", [3], elements: [1, -1, 1 << 33] as [Int64]),
      ]),
      try SafetensorsWriter.file(
        [Item("pixels", "U8", [3], Self.ramp(3)), Item("mask", "BOOL", [2], [0, 1])],
        misalignment: 5),
      try SafetensorsWriter.file([], metadata: ["k": "v"]),
      SafetensorsWriter.file(header: "{}"),
    ]
  }

  private static func ramp(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0) }
  }

  /// The file number `seed`.
  func file(seed: UInt64) -> Data {
    var random = SplitMix64(seed: seed)
    var data = pick(valid, &random)
    switch Int.random(in: 0..<9, using: &random) {
    case 0: flipBits(&data, in: 0..<data.count, &random)
    case 1: flipBits(&data, in: headerRange(data), &random)
    case 2: flipBits(&data, in: min(data.count, headerRange(data).upperBound)..<data.count, &random)
    case 3: data = data.prefix(Int.random(in: 0..<data.count, using: &random))
    case 4: data = spliced(data, &random)
    case 5: data.replaceSubrange(0..<8, with: lengthField(near: data.count, &random))
    case 6: editHeader(&data, &random)
    case 7: data = hostile(&random)
    default: data.append(contentsOf: Self.ramp(Int.random(in: 1...16, using: &random)))
    }
    return Data(data)
  }

  /// Bytes of the JSON header.
  private func headerRange(_ data: Data) -> Range<Int> {
    let length = data.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    return 8..<8 + length
  }

  private func flipBits(_ data: inout Data, in range: Range<Int>, _ random: inout SplitMix64) {
    guard !range.isEmpty else { return }
    for _ in 0..<Int.random(in: 1...4, using: &random) {
      data[Int.random(in: range, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    }
  }

  /// `data` with a part of it, or of another file, put in the place of another part.
  private func spliced(_ data: Data, _ random: inout SplitMix64) -> Data {
    let other = pick(valid, &random)
    let source = part(of: other, &random)
    let target = part(of: data, &random)
    return data.prefix(target.lowerBound) + other[source] + data.dropFirst(target.upperBound)
  }

  private func part(of data: Data, _ random: inout SplitMix64) -> Range<Int> {
    let start = Int.random(in: 0...data.count, using: &random)
    return start..<min(data.count, start + Int.random(in: 0...40, using: &random))
  }

  private func lengthField(near size: Int, _ random: inout SplitMix64) -> Data {
    let near = UInt64(Int.random(in: 0...size, using: &random))
    let lengths: [UInt64] = [
      0, 1, near, UInt64(size), UInt64(size - 8), UInt64(size - 7), 100_000_000, 100_000_001,
      1 << 31, 1 << 32, UInt64(Int.max) - 7, 1 << 63, .max - 7, .max,
    ]
    return SafetensorsWriter.lengthField(pick(lengths, &random))
  }

  /// Replaces, repeats or removes a word of the header, and corrects the header's length, so that
  /// the damage lies behind the door.
  private func editHeader(_ data: inout Data, _ random: inout SplitMix64) {
    let range = headerRange(data)
    var words = Self.words(data[range])
    for _ in 0..<Int.random(in: 1...2, using: &random) where !words.isEmpty {
      let index = words.indices.randomElement(using: &random) ?? 0
      switch Int.random(in: 0..<4, using: &random) {
      case 0: words.remove(at: index)
      case 1: words.insert(words[index], at: index)
      case 2: words[index] = Data(pick(Self.hostileWords, &random).utf8)
      default:
        let isNumber = words[index].first.map { (0x30...0x39).contains($0) } ?? false
        words[index] =
          Data((isNumber ? "\(UInt8.random(in: 0..<40, using: &random))" : " ").utf8)
      }
    }
    data = SafetensorsWriter.file(
      header: words.reduce(Data(), +), data: Data(data.dropFirst(range.upperBound)))
  }

  /// `text` cut into runs of letters and digits, and single other bytes.
  private static func words(_ text: Data) -> [Data] {
    func isWord(_ byte: UInt8) -> Bool {
      let character = Character(Unicode.Scalar(byte))
      return character == "_" || character.isLetter || character.isNumber
    }
    var words: [Data] = []
    var start = text.startIndex
    while start < text.endIndex {
      var end = start + 1
      while end < text.endIndex, isWord(text[start]), isWord(text[end]) { end += 1 }
      words.append(Data(text[start..<end]))
      start = end
    }
    return words
  }

  private static let hostileWords = [
    "0", "1", "00", "-1", "1.5", "1e9", "2147483648", "4294967296", "4611686018427387904",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "99999999999999999999999999999999", "null", "true", "\"", "\\", "\\u", "\\uD800", "\\uDC00",
    "\\uD83E\\uDD16", "\\u0000", "\0", "\n", "\t", "\u{7F}", "é", "e\u{301}", "{", "}", "[", "]",
    ":", ",", "{}", "[]", "__metadata__", "dtype", "shape", "data_offsets", "weight", "bool",
    "BOOL", "F4", "F6_E2M3", "F32", "C64",
  ]

  /// A header made to overflow, to nest, to repeat, to overlap.
  private func hostile(_ random: inout SplitMix64) -> Data {
    let size = Int.random(in: 0...24, using: &random)
    func number() -> String {
      Bool.random(using: &random)
        ? "\(Int.random(in: 0...size, using: &random))" : pick(Self.hostileWords, &random)
    }
    var header = ""
    switch Int.random(in: 0..<4, using: &random) {
    case 0:  // nested
      let depth = Int.random(in: 1...3_000, using: &random)
      let opening = pick(["[", "{\"a\":", "{\"__metadata__\":", "[["], &random)
      header = pick(["", "{\"x\":{\"shape\":", "{\"__metadata__\":{\"a\":"], &random)
      header += String(repeating: opening, count: depth)
    case 1:  // few names, small ranges: repeated, overlapping, with holes
      let entries = (0..<Int.random(in: 1...3, using: &random)).map { _ in
        let begin = Int.random(in: 0...size, using: &random)
        let end = Int.random(in: begin...size, using: &random)
        return entry(pick(["a", "b", "\\u0061", "é"], &random), "[\(end - begin)]", begin, end)
      }
      header = "{\(entries.joined(separator: ","))}"
    case 2:  // two tensors end to end, one number of theirs wrong or none
      let middle = Int.random(in: 0...size, using: &random)
      let shape = Bool.random(using: &random) ? "[1,\(middle)]" : "[\(number()),\(number())]"
      header = "{\(entry("a", shape, 0, middle)),\(entry("b", "[\(size - middle)]", middle, size))}"
    default:  // numbers of all sizes everywhere
      let shape = (0..<Int.random(in: 0...4, using: &random)).map { _ in number() }
      header =
        "{\"a\":{\"dtype\":\"F64\",\"shape\":[\(shape.joined(separator: ","))],"
        + "\"data_offsets\":[\(number()),\(number())]}}"
    }
    return SafetensorsWriter.file(header: header, data: Data(count: size))
  }

  private func entry(_ name: String, _ shape: String, _ begin: Int, _ end: Int) -> String {
    "\"\(name)\":{\"dtype\":\"U8\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
  }

  private func pick<Element>(_ choices: [Element], _ random: inout SplitMix64) -> Element {
    choices[Int.random(in: choices.indices, using: &random)]
  }
}
