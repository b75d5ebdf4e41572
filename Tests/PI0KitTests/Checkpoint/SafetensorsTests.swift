import Foundation
import XCTest

@testable import PI0Kit

final class SafetensorsTests: XCTestCase {
  private typealias Item = SafetensorsWriter.Item

  private func golden(_ name: String) throws -> SafetensorsFile {
    let tests = URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return try SafetensorsFile(path: tests.appendingPathComponent("Fixtures/golden/\(name)").path)
  }

  private func open(_ contents: Data) throws -> SafetensorsFile {
    try SafetensorsFile(path: TemporaryFolder(for: self).write("x.safetensors", contents))
  }

  // MARK: - Files that Python's safetensors wrote; the numbers are NumPy's

  func testReadsFloat32() throws {
    let file = try golden("pi0.io.safetensors")
    XCTAssertEqual(file.entries.count, 66)
    XCTAssertEqual(file.metadata["num_steps"], "10")
    XCTAssertTrue(file.metadata["config"]?.hasPrefix(#"{"vlm": {"width": 64,"#) == true)

    let velocity = try file.tensor("denoise.v_t0.5")
    XCTAssertEqual(velocity.elementType, .float32)
    XCTAssertEqual(velocity.shape, [2, 10, 32])
    let values = try velocity.floats()
    XCTAssertEqual(Array(values.prefix(3)), [-0.6684659, 1.244931, 1.7889414])
    XCTAssertEqual(values.last, 1.0774007)
    let sum = values.reduce(0) { $0 + Double($1) }
    XCTAssertEqual(sum, -4.724296573549509, accuracy: 1e-10)
  }

  func testReadsInt32() throws {
    let tokens = try golden("pi0.io.safetensors").tensor("in.tokens")
    XCTAssertEqual(tokens.elementType, .int32)
    XCTAssertEqual(tokens.shape, [2, 12])
    let values = try tokens.int32s()
    XCTAssertEqual(Array(values.prefix(3)), [7, 417, 447])
    XCTAssertEqual(values.last, 310)
    XCTAssertEqual(values.reduce(0, +), 4606)
  }

  func testReadsBool() throws {
    let file = try golden("pi0.io.safetensors")
    XCTAssertEqual(try file.tensor("in.image_mask.right_wrist_0_rgb").bools(), [true, false])
    let mask = try golden("suffix_full.io.safetensors").tensor("suffix.att_2d")
    XCTAssertEqual(mask.elementType, .bool)
    XCTAssertEqual(mask.shape, [1, 51, 51])
    let values = try mask.bools()
    XCTAssertEqual(Array(values.prefix(3)), [true, false, false])
    XCTAssertEqual(values.filter { $0 }.count, 2551)
  }

  func testReadsBFloat16() throws {
    let file = try golden("suffix_full.weights.safetensors")
    XCTAssertEqual(file.metadata, [:])
    let bias = try file.tensor("action_in_proj.bias")
    XCTAssertEqual(bias.elementType, .bfloat16)
    let values = try bias.floats()
    XCTAssertEqual(Array(values.prefix(3)), [-0.18164062, -0.002609253, 0.038330078])
    XCTAssertEqual(values.last, -0.044921875)
    let sum = values.reduce(0) { $0 + Double($1) }
    XCTAssertEqual(sum, -2.519486427307129, accuracy: 1e-10)
  }

  func testReadsUInt8AsInt32() throws {
    let image = try golden("pi0.io.safetensors").tensor("resize.in_u8")
    XCTAssertEqual(image.elementType, .int32)
    XCTAssertEqual(image.shape, [2, 40, 64, 3])
    let values = try image.int32s()
    XCTAssertEqual(Array(values.prefix(3)), [139, 187, 198])
    XCTAssertEqual(values.last, 68)
    XCTAssertEqual(values.reduce(0) { $0 + Int($1) }, 1_941_630)
  }

  func testReadsFloat64AsFloat32() throws {
    let sinusoid = try golden("pi0.io.safetensors").tensor("sin.emb_f64")
    XCTAssertEqual(sinusoid.elementType, .float32)
    XCTAssertEqual(sinusoid.shape, [6, 32])
    let values = try sinusoid.floats()
    XCTAssertEqual(
      Array(values.prefix(3)),
      [Float(-1.6070832296378168e-13), Float(-0.9977561296899583), Float(-0.1675491137918735)])
    XCTAssertEqual(values.last, 1)
  }

  func testEveryTensorOfEveryGoldenFileCanBeRead() throws {
    let counts = [
      "pi0.io": 66, "pi0.weights": 90, "pi05.io": 68, "pi05.weights": 93, "suffix_full.io": 12,
      "suffix_full.weights": 10,
    ]
    for (name, count) in counts {
      let file = try golden("\(name).safetensors")
      XCTAssertEqual(file.entries.count, count, name)
      for (key, entry) in file.entries {
        let tensor = try file.tensor(key)
        XCTAssertEqual(tensor.shape, entry.shape, key)
        let bytes = try file.bytes(key)
        XCTAssertEqual(bytes.count * 8, tensor.count * entry.type.bitCount, key)
        if tensor.elementType.isFloat {
          XCTAssertTrue(try tensor.floats().allSatisfy(\.isFinite), "\(name): \(key)")
        }
      }
    }
  }

  // MARK: - Types and conversions

  /// Bit sizes as in the table of the format's reference implementation.
  func testKnowsEveryType() throws {
    let bits = [
      "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
      "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
      "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64,
    ]
    XCTAssertEqual(
      Dictionary(
        uniqueKeysWithValues: SafetensorsType.allCases.map { ($0.rawValue, $0.bitCount) }), bits)

    let readable: Set = ["BOOL", "U8", "F16", "BF16", "I32", "F32", "F64", "I64"]
    for (type, bitCount) in bits {
      let zeros = [UInt8](repeating: 0, count: bitCount)
      let file = try open(SafetensorsWriter.file([Item("x", type, [8], zeros)]))
      XCTAssertEqual(try file.bytes("x"), zeros)
      if readable.contains(type) {
        XCTAssertEqual(try file.tensor("x").shape, [8], type)
      } else {
        assertFileError("is of type \(type),") { try file.tensor("x") }
      }
    }
  }

  func testReadsHalf() throws {
    // 1, -2, 65504, the smallest subnormal, infinity.
    let file = try open(
      SafetensorsWriter.file([
        Item("x", "F16", [5], elements: [0x3C00, 0xC000, 0x7BFF, 0x0001, 0x7C00] as [UInt16])
      ]))
    XCTAssertEqual(try file.tensor("x").floats(), [1, -2, 65504, 0x1p-24, .infinity])
  }

  func testEveryByteButZeroIsTrue() throws {
    let file = try open(SafetensorsWriter.file([Item("x", "BOOL", [4], [0, 1, 2, 255])]))
    XCTAssertEqual(try file.tensor("x").bools(), [false, true, true, true])
  }

  func testInt64BecomesInt32WhereItFits() throws {
    let limits: [Int64] = [Int64(Int32.min), -1, 0, Int64(Int32.max)]
    let beyond: [Int64] = [0, 1 << 31, -(1 << 31) - 1]
    let file = try open(
      SafetensorsWriter.file([
        Item("limits", "I64", [2, 2], elements: limits),
        Item("beyond", "I64", [3], elements: beyond),
      ]))
    XCTAssertEqual(try file.tensor("limits").int32s(), [.min, -1, 0, .max])
    XCTAssertEqual(try file.tensor("limits").shape, [2, 2])
    assertFileError("element 1 of tensor \"beyond\" is 2147483648,") { try file.tensor("beyond") }
  }

  func testFloat64RoundsToNearest() throws {
    // 1 + 2^-24 lies half way between two floats, ties go to even; 1e300 is beyond all.
    let doubles = [1 + 0x1p-24, 1 + 0x1p-23 + 0x1p-24, -1e300, 1e-300]
    let file = try open(SafetensorsWriter.file([Item("x", "F64", [4], elements: doubles)]))
    XCTAssertEqual(try file.tensor("x").floats(), [1, 1 + 0x1p-22, -.infinity, 0])
  }

  // MARK: - Shapes, places, names

  func testScalarsAndEmptyTensors() throws {
    let file = try open(
      SafetensorsWriter.file([
        Item("empty", "F32", [3, 0, 2], []), Item("scalar", "F32", [], elements: [2.5 as Float]),
        Item("last", "I64", [0], []),
      ]))
    XCTAssertEqual(try file.tensor("scalar").shape, [])
    XCTAssertEqual(try file.tensor("scalar").floats(), [2.5])
    XCTAssertEqual(try file.tensor("empty").shape, [3, 0, 2])
    XCTAssertEqual(try file.tensor("empty").floats(), [])
    XCTAssertEqual(try file.tensor("last").int32s(), [])
  }

  func testFileWithoutTensors() throws {
    XCTAssertEqual(try open(SafetensorsWriter.file(header: "{}")).entries, [:])
    let file = try open(SafetensorsWriter.file([], metadata: ["format": "pt"]))
    XCTAssertEqual(file.metadata, ["format": "pt"])
  }

  func testMisalignedTensors() throws {
    let floats: [Float] = [1, -2, 3.5]
    for misalignment in 0..<8 {
      let file = try open(
        SafetensorsWriter.file(
          [
            Item("byte", "U8", [1], [7]), Item("f32", "F32", [3], elements: floats),
            Item("i32", "I32", [2], elements: [5, -6] as [Int32]),
            Item("i64", "I64", [1], elements: [8] as [Int64]),
            Item("f64", "F64", [1], elements: [0.25]),
          ], misalignment: misalignment))
      XCTAssertEqual(try file.tensor("f32").floats(), floats)
      XCTAssertEqual(try file.tensor("i32").int32s(), [5, -6])
      XCTAssertEqual(try file.tensor("i64").int32s(), [8])
      XCTAssertEqual(try file.tensor("f64").floats(), [0.25])
    }
  }

  func testHeaderMayBeWrittenInAnyOrderAndSpacing() throws {
    let header = """
      {\t"b" : {"data_offsets":[ 2 , 3 ],"shape":[1],"dtype":"U8"},\r
       "__metadata__" : { } , "a":{"shape":[ ],"dtype":"BF16","data_offsets":[0,2]} }  \u{20}
      """
    let file = try open(SafetensorsWriter.file(header: header, data: Data([0x80, 0x3F, 9])))
    XCTAssertEqual(try file.tensor("a").floats(), [1])
    XCTAssertEqual(try file.tensor("b").int32s(), [9])
  }

  func testNamesAndMetadataInAllOfUnicode() throws {
    let header = #"""
      {"__metadata__":{"\"\\\/\b\f\n\r\t":"\u0041\u00e9\u20AC\uD83E\udd16é🤖\u0000"},
       "\u006c.é":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}
      """#
    let file = try open(SafetensorsWriter.file(header: header, data: Data([3])))
    XCTAssertEqual(file.metadata, ["\"\\/\u{8}\u{C}\n\r\t": "Aé€🤖é🤖\0"])
    XCTAssertEqual(try file.tensor("l.é").int32s(), [3])
  }

  func testUnknownNameIsAnError() throws {
    let file = try golden("pi0.io.safetensors")
    assertFileError("none of its 66 tensors is called \"nowhere\"") { try file.tensor("nowhere") }
    assertFileError("none of its 66 tensors is called \"nowhere\"") { try file.bytes("nowhere") }
  }

  // MARK: - No copies

  func testTensorsAreViewsOfTheFile() throws {
    let folder = try TemporaryFolder(for: self)
    let byteCount = 500 << 20
    let header = """
      {"half":{"dtype":"BF16","shape":[4],"data_offsets":[\(byteCount),\(byteCount + 8)]},
       "big":{"dtype":"F32","shape":[\(byteCount / 4)],"data_offsets":[0,\(byteCount)]}}
      """
    let start = SafetensorsWriter.file(header: header)
    let path = try folder.write("sparse.safetensors", start)
    let handle = try XCTUnwrap(FileHandle(forWritingAtPath: path))
    try handle.truncate(atOffset: UInt64(start.count + byteCount + 8))
    try handle.close()

    let before = try privateMemory()
    let file = try SafetensorsFile(path: path)
    let big = try file.tensor("big")
    let half = try file.tensor("half")
    XCTAssertEqual(big.count, byteCount / 4)
    XCTAssertEqual(big.bytes.last, 0)
    XCTAssertLessThan(try privateMemory() - before, 16 << 20)
    let bigStart = try XCTUnwrap(big.bytes.baseAddress)
    XCTAssertEqual(half.bytes.baseAddress, bigStart + byteCount)
    XCTAssertEqual(try file.tensor("big").bytes.baseAddress, bigStart)
  }

  /// Bytes of memory that are this process's alone, not a file's.
  private func privateMemory() throws -> Int {
    let line = try XCTUnwrap(process("status").first { $0.hasPrefix("RssAnon:") })
    return try XCTUnwrap(Int(line.split { !$0.isNumber }.joined())) * 1024
  }

  func testTensorOutlivesFileAndItsDeletion() throws {
    let folder = try TemporaryFolder(for: self)
    let contents = try SafetensorsWriter.file([Item("x", "F32", [2], elements: [1, 2] as [Float])])
    let path = try folder.write("x.safetensors", contents)
    let tensor = try SafetensorsFile(path: path).tensor("x")
    try FileManager.default.removeItem(atPath: path)
    XCTAssertEqual(try tensor.floats(), [1, 2])
  }

  func testNothingStaysOpenOrMapped() throws {
    let folder = try TemporaryFolder(for: self)
    let contents = try SafetensorsWriter.file([Item("x", "F32", [2], elements: [1, 2] as [Float])])
    let path = try folder.write("right.safetensors", contents)
    let tensor = try SafetensorsFile(path: path).tensor("x")
    try withExtendedLifetime(tensor) {
      XCTAssertTrue(try mappedFiles().contains(path))
      XCTAssertFalse(try openFiles().contains(path))
    }

    let wrong = try folder.write("wrong.safetensors", contents.dropLast())
    for _ in 0..<10 {
      _ = try SafetensorsFile(path: path).tensor("x").floats()
      assertFileError("truncated") { try SafetensorsFile(path: wrong) }
    }
    // Of all that was opened, the tensor that is left holds one mapping.
    try withExtendedLifetime(tensor) {
      XCTAssertEqual(try mappedFiles().filter { $0.hasPrefix(folder.path) }, [path])
      XCTAssertEqual(try openFiles().filter { $0.hasPrefix(folder.path) }, [])
    }
  }

  private func mappedFiles() throws -> [String] {
    try process("maps").compactMap { line in
      line.firstIndex(of: "/").map { String(line[$0...]) }
    }
  }

  /// The lines of what the system says of this process.
  private func process(_ name: String) throws -> [Substring] {
    // String(contentsOfFile:) reads but the first page of such a file.
    let file = try XCTUnwrap(FileHandle(forReadingAtPath: "/proc/self/\(name)"))
    defer { try? file.close() }
    let contents = try XCTUnwrap(try file.readToEnd())
    return String(decoding: contents, as: UTF8.self).split(separator: "\n")
  }

  private func openFiles() throws -> [String] {
    let folder = "/proc/self/fd"
    return try FileManager.default.contentsOfDirectory(atPath: folder).compactMap {
      // The descriptor that lists the folder is closed by now.
      try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\($0)")
    }
  }

  // MARK: - What is no file to read

  func testUnreadableFiles() throws {
    let folder = try TemporaryFolder(for: self)
    assertFileError("No such file or directory") {
      try SafetensorsFile(path: folder.path("missing.safetensors"))
    }
    assertFileError("is a folder") { try SafetensorsFile(path: folder.path) }
    assertFileError("is empty") {
      try SafetensorsFile(path: folder.write("empty.safetensors", Data()))
    }
    XCTAssertEqual(mkfifo(folder.path("pipe"), 0o600), 0)
    assertFileError("is no regular file") { try SafetensorsFile(path: folder.path("pipe")) }
    assertFileError("is no regular file") { try SafetensorsFile(path: "/dev/null") }
    try folder.write("x", SafetensorsWriter.file(header: "{}"))
    assertFileError("NUL") { try SafetensorsFile(path: folder.path("x\0.safetensors")) }
  }

  func testFilesOfOtherKinds() throws {
    let pointer = """
      version https://git-lfs.github.com/spec/v1
      oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
      size 12345
      """
    assertFileError("git lfs pull") { try open(Data(pointer.utf8)) }
    assertFileError("this is no safetensors file") { try open(Data("PK\u{3}\u{4}and more".utf8)) }
  }

  // MARK: - Malformed files

  func testLengthField() throws {
    let header = Data("{}".utf8)
    assertFileError("7 bytes are too few") { try open(SafetensorsWriter.lengthField(2).prefix(7)) }
    for length: UInt64 in [100_000_001, 1 << 32, 1 << 63, .max] {
      assertFileError("a header of \(length) bytes") {
        try open(SafetensorsWriter.lengthField(length) + header)
      }
    }
    for length: UInt64 in [3, 100_000_000] {
      assertFileError("the header is \(length) bytes long, but only 2 follow") {
        try open(SafetensorsWriter.lengthField(length) + header)
      }
    }
    assertFileError("at byte 8: the end of the header instead of \"{\"") {
      try open(SafetensorsWriter.lengthField(0) + header)
    }
  }

  /// `header`, and what must be said of it.
  private let malformedJSON: [(header: String, message: String)] = [
    (#" {}"#, #"at byte 8: " " instead of "{""#),
    (#"[]"#, #"at byte 8: "[" instead of "{""#),
    (#"null"#, #"at byte 8: "n" instead of "{""#),
    (#"{"#, #"at byte 9: the end of the header instead of a string"#),
    (#"{} {"#, #"at byte 11: "{" instead of nothing but spaces"#),
    ("{}\n", #"at byte 10: "\n" instead of nothing but spaces"#),
    ("{}\0", #"at byte 10: "\0" instead of nothing but spaces"#),
    (#"{,}"#, #"at byte 9: "," instead of a string"#),
    (#"{x:1}"#, #"at byte 9: "x" instead of a string"#),
    (#"{"x" 1}"#, #"at byte 13: "1" instead of ":""#),
    (#"{"x":1}"#, #"at byte 13: "1" instead of "{""#),
    (#"{"x":null}"#, #"at byte 13: "n" instead of "{""#),
    (#"{"x":[]}"#, #"at byte 13: "[" instead of "{""#),
    (#"{"x":{},}"#, #"has no "dtype""#),
    ("{é:1}", "at byte 9: 0xC3 instead of a string"),
    // Metadata
    (#"{"__metadata__":null}"#, #"at byte 24: "n" instead of "{""#),
    (#"{"__metadata__":{"a":1}}"#, #"at byte 29: "1" instead of a string"#),
    (#"{"__metadata__":{"a":{}}}"#, #"at byte 29: "{" instead of a string"#),
    (#"{"__metadata__":{"a":"b",}}"#, #"at byte 33: "}" instead of a string"#),
    (#"{"__metadata__":{"a":"b","a":"b"}}"#, #"at byte 33: the name "a" is there twice"#),
    (#"{"__metadata__":{"a":"b","\u0061":""}}"#, #"at byte 33: the name "a" is there twice"#),
    (#"{"__metadata__":{},"__metadata__":{}}"#, #"the name "__metadata__" is there twice"#),
    // Strings
    (#"{"__metadata__":{"a"#, "at byte 25: the string does not end"),
    (#"{"__metadata__":{"a\"#, "at byte 27: the string does not end"),
    (#"{"__metadata__":{"\x":""}}"#, "at byte 26: there is no such escape"),
    (#"{"__metadata__":{"\u12":""}}"#, "at byte 26: the escape lacks four hexadecimal digits"),
    (#"{"__metadata__":{"\u12G4":""}}"#, "at byte 26: the escape lacks four hexadecimal digits"),
    (#"{"__metadata__":{"\u123"#, "at byte 26: the escape lacks four hexadecimal digits"),
    (#"{"__metadata__":{"\uD800":""}}"#, "at byte 26: half a surrogate pair"),
    (#"{"__metadata__":{"\uDC00":""}}"#, "at byte 26: half a surrogate pair"),
    (#"{"__metadata__":{"\uD800\uD800":""}}"#, "at byte 26: half a surrogate pair"),
    (#"{"__metadata__":{"\uD800\n":""}}"#, "at byte 26: half a surrogate pair"),
    ("{\"__metadata__\":{\"a\n\":\"\"}}", "at byte 27: the string holds a control character"),
    ("{\"__metadata__\":{\"a\0\":\"\"}}", "at byte 27: the string holds a control character"),
  ]

  func testMalformedJSON() throws {
    for (header, message) in malformedJSON {
      assertFileError(message, header) { try open(SafetensorsWriter.file(header: header)) }
    }
  }

  func testInvalidUTF8() throws {
    // A lone continuation, an overlong slash, a surrogate, a character cut short, beyond Unicode.
    let sequences: [[UInt8]] = [
      [0x80], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xE2, 0x82], [0xF4, 0x90, 0x80, 0x80], [0xFF],
    ]
    for sequence in sequences {
      let header = Data(#"{"__metadata__":{"a":""#.utf8) + sequence + Data(#""}}"#.utf8)
      assertFileError("at byte 29: the string is not valid UTF-8", "\(sequence)") {
        try open(SafetensorsWriter.file(header: header))
      }
    }
  }

  func testDeepNestingIsAnErrorNotARecursion() throws {
    for (opening, closing) in [(#"{"x":"#, "}"), ("[", "]")] {
      let depth = 1_000_000
      let header =
        #"{"x":{"dtype":"U8","data_offsets":[0,1],"shape":"#
        + String(repeating: opening, count: depth) + String(repeating: closing, count: depth) + "}}"
      assertFileError("instead of") { try open(SafetensorsWriter.file(header: header)) }
    }
  }

  /// The fields of tensor "x" over 8 bytes of data, and what must be said of them.
  private let malformedEntries: [(fields: String, message: String)] = [
    (#""shape":[8],"data_offsets":[0,8]"#, #"tensor "x" has no "dtype""#),
    (#""dtype":"U8","data_offsets":[0,8]"#, #"tensor "x" has no "shape""#),
    (#""dtype":"U8","shape":[8]"#, #"tensor "x" has no "data_offsets""#),
    (
      #""dtype":"U8","shape":[8],"data_offsets":[0,8],"more":1"#,
      #"tensor "x" has an unknown field "more""#
    ),
    (#""dtype":"U8","dtype":"U8""#, #"the name "dtype" is there twice"#),
    (#""shape":[8],"shape":[8]"#, #"the name "shape" is there twice"#),
    (#""data_offsets":[0,8],"data_offsets":[0,8]"#, #"the name "data_offsets" is there twice"#),
    // Types
    (#""dtype":"F31""#, #"at byte 22: there is no element type "F31""#),
    (#""dtype":"f32""#, #"there is no element type "f32""#),
    (#""dtype":"""#, #"there is no element type """#),
    (#""dtype":32"#, #""3" instead of a string"#),
    // Shapes
    (#""shape":8"#, #"at byte 22: "8" instead of "[""#),
    (#""shape":[8,]"#, #"at byte 25: "]" instead of an unsigned integer"#),
    (#""shape":[8 8]"#, #"at byte 25: "8" instead of "]""#),
    (#""shape":[-8]"#, #"at byte 23: "-" instead of an unsigned integer"#),
    (#""shape":[+8]"#, #""+" instead of an unsigned integer"#),
    (#""shape":["8"]"#, #""\"" instead of an unsigned integer"#),
    (#""shape":[[8]]"#, #""[" instead of an unsigned integer"#),
    (#""shape":[8.0]"#, "at byte 23: the number is no integer"),
    (#""shape":[8e0]"#, "at byte 23: the number is no integer"),
    (#""shape":[8E0]"#, "at byte 23: the number is no integer"),
    (#""shape":[08]"#, "at byte 23: the number has a leading zero"),
    (#""shape":[00]"#, "at byte 23: the number has a leading zero"),
    (#""shape":[0x8]"#, #""x" instead of "]""#),
    (#""shape":[9223372036854775808]"#, "at byte 23: the number is beyond 9223372036854775807"),
    (#""shape":[18446744073709551624]"#, "at byte 23: the number is beyond 9223372036854775807"),
    (#""shape":[100000000000000000000000000000]"#, "at byte 23: the number is beyond"),
    // Products that overflow, to 8 bytes among others
    (
      #""dtype":"U8","shape":[9223372036854775807,3],"data_offsets":[0,8]"#,
      "has a shape that no U8 tensor can have: [9223372036854775807, 3]"
    ),
    (
      #""dtype":"U8","shape":[4294967296,4294967296,8],"data_offsets":[0,8]"#,
      "has a shape that no U8 tensor can have"
    ),
    (
      #""dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8]"#,
      "has a shape that no F64 tensor can have"
    ),
    (
      #""dtype":"F64","shape":[1152921504606846975],"data_offsets":[0,8]"#,
      "has a shape that no F64 tensor can have"
    ),
    (
      #""dtype":"F4","shape":[3],"data_offsets":[0,8]"#,
      "has a shape that no F4 tensor can have: [3]"
    ),
    // Offsets
    (#""dtype":"U8","shape":[8],"data_offsets":[]"#, #"has 0 "data_offsets""#),
    (#""dtype":"U8","shape":[8],"data_offsets":[8]"#, #"has 1 "data_offsets""#),
    (#""dtype":"U8","shape":[8],"data_offsets":[0,4,8]"#, #"has 3 "data_offsets""#),
    (#""dtype":"U8","shape":[8],"data_offsets":[8,0]"#, "begins at 8 and ends before that, at 0"),
    (#""dtype":"U8","shape":[7],"data_offsets":[0,8]"#, "has 8 bytes where U8[7] takes 7"),
    (#""dtype":"F32","shape":[8],"data_offsets":[0,8]"#, "has 8 bytes where F32[8] takes 32"),
    (#""dtype":"F32","shape":[],"data_offsets":[0,8]"#, "has 8 bytes where F32[] takes 4"),
    (#""dtype":"F32","shape":[0],"data_offsets":[0,8]"#, "has 8 bytes where F32[0] takes 0"),
    (#""dtype":"U8","shape":[9],"data_offsets":[0,9]"#, "of which there are 8: the file is trunc"),
    (#""dtype":"U8","shape":[0],"data_offsets":[9,9]"#, "of which there are 8: the file is trunc"),
    (
      #""dtype":"U8","shape":[8],"data_offsets":[9223372036854775799,9223372036854775807]"#,
      "of which there are 8: the file is truncated"
    ),
    (#""dtype":"U8","shape":[6],"data_offsets":[2,8]"#, "leaves a hole before it"),
    (#""dtype":"U8","shape":[6],"data_offsets":[0,6]"#, "2 bytes follow the last tensor"),
    // A second tensor
    (
      #""dtype":"U8","shape":[8],"data_offsets":[0,8]},"x":{"dtype":"U8","shape":[0],"data_offsets":[8,8]"#,
      #"the name "x" is there twice"#
    ),
    (
      #""dtype":"U8","shape":[8],"data_offsets":[0,8]},"y":{"dtype":"U8","shape":[8],"data_offsets":[0,8]"#,
      "overlaps the tensor before it"
    ),
    (
      #""dtype":"U8","shape":[5],"data_offsets":[0,5]},"y":{"dtype":"U8","shape":[4],"data_offsets":[4,8]"#,
      #"tensor "y" begins at byte"#
    ),
    (
      #""dtype":"U8","shape":[8],"data_offsets":[0,8]},"y":{"dtype":"U8","shape":[0],"data_offsets":[4,4]"#,
      "overlaps the tensor before it"
    ),
    (
      #""dtype":"U8","shape":[3],"data_offsets":[0,3]},"y":{"dtype":"U8","shape":[4],"data_offsets":[4,8]"#,
      "leaves a hole before it"
    ),
  ]

  func testMalformedEntries() throws {
    for (fields, message) in malformedEntries {
      let header = "{\"x\":{\(fields)}}"
      assertFileError(message, header) {
        try open(SafetensorsWriter.file(header: header, data: Data(count: 8)))
      }
    }
  }

  func testTruncatedAtEveryByte() throws {
    let contents = try SafetensorsWriter.file(
      [
        Item("a", "F32", [2], elements: [1, 2] as [Float]), Item("b", "U8", [3], [1, 2, 3]),
      ], metadata: ["format": "pt"])
    XCTAssertEqual(try open(contents).entries.count, 2)
    let folder = try TemporaryFolder(for: self)
    for length in 0..<contents.count {
      assertFileError("", "\(length) bytes") {
        try SafetensorsFile(path: folder.write("x.safetensors", contents.prefix(length)))
      }
    }
  }

  func testErrorsStayShort() throws {
    let name = String(repeating: "n\n", count: 100_000)
    let shape = [Int](repeating: 1, count: 100_000)
    do {
      _ = try open(SafetensorsWriter.file([Item(name, "U8", shape, [])]))
      XCTFail("the tensor lacks its byte")
    } catch {
      XCTAssertLessThan("\(error)".count, 600)
      XCTAssertFalse("\(error)".contains("\n"))
    }
  }
}

/// Asserts that `body` throws a ``PI0Error/file(path:reason:)`` that says `message`.
func assertFileError<Result>(
  _ message: String, _ context: String = "", file: StaticString = #filePath, line: UInt = #line,
  _ body: () throws -> Result
) {
  XCTAssertThrowsError(try body(), context, file: file, line: line) { error in
    guard case PI0Error.file(_, let reason) = error else {
      return XCTFail("\(error) \(context)", file: file, line: line)
    }
    XCTAssertTrue(
      message.isEmpty || reason.contains(message), "\(reason) \(context)", file: file, line: line)
  }
}
