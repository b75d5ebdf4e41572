import Foundation
import XCTest

@testable import PI0Server

/// The codec against messages that Python packed, and against those that it must refuse.
final class MessagePackTests: XCTestCase {
  private struct Case {
    let name: String
    let bytes: [UInt8]
    let value: [Any]?
    let error: String?
  }

  private func cases() throws -> [Case] {
    let data = try Data(contentsOf: URL(filePath: Fixtures.path("messages/messages.json")))
    let json = try XCTUnwrap(JSONSerialization.jsonObject(with: data) as? [[String: Any]])
    return try json.map { entry in
      Case(
        name: try XCTUnwrap(entry["name"] as? String),
        bytes: Array(try XCTUnwrap(Data(base64Encoded: entry["bytes"] as? String ?? "?"))),
        value: entry["value"] as? [Any], error: entry["error"] as? String)
    }
  }

  func testReadsWhatPythonPacks() throws {
    var count = 0
    for test in try cases() {
      guard let notation = test.value else { continue }
      count += 1
      let value = try MessagePackDecoder.decode(test.bytes)
      try assertEqual(value, notation, test.name)
    }
    XCTAssertGreaterThan(count, 80)
  }

  func testWritesWhatPythonPacks() throws {
    for test in try cases() where test.value != nil {
      let value = try MessagePackDecoder.decode(test.bytes)
      let bytes = MessagePackEncoder.encode(value)
      // Scalars of NumPy's are plain values here, and keys are sorted.
      let isOther = ["scalar ", "numpy ", "observation"].contains { test.name.hasPrefix($0) }
      if !isOther { XCTAssertEqual(bytes, test.bytes, test.name) }
      try assertEqual(MessagePackDecoder.decode(bytes), XCTUnwrap(test.value), test.name)
    }
  }

  func testRefusesWhatIsMalformed() throws {
    var count = 0
    for test in try cases() {
      guard let expected = test.error else { continue }
      count += 1
      XCTAssertThrowsError(try MessagePackDecoder.decode(test.bytes), test.name) { error in
        XCTAssertTrue("\(error)".contains(expected), "\(test.name): \(error)")
        XCTAssertLessThan("\(error)".count, 400, test.name)
      }
    }
    XCTAssertGreaterThan(count, 30)
  }

  func testRefusesEveryMessageCutShort() throws {
    for test in try cases() where test.value != nil && test.bytes.count < 2_000 {
      for count in 0..<test.bytes.count {
        XCTAssertThrowsError(
          try MessagePackDecoder.decode(Array(test.bytes.prefix(count))), "\(test.name), \(count)")
      }
    }
  }

  func testLimits() throws {
    var limits = MessageLimits()
    limits.byteCount = 10
    XCTAssertNoThrow(
      try MessagePackDecoder.decode([0xA9] + [UInt8](repeating: 0x61, count: 9), limits: limits))
    XCTAssertThrowsError(
      try MessagePackDecoder.decode([0xAA] + [UInt8](repeating: 0x61, count: 10), limits: limits)
    ) { XCTAssertTrue("\($0)".contains("at most 10")) }
    limits = MessageLimits()
    limits.valueCount = 3
    XCTAssertNoThrow(try MessagePackDecoder.decode([0x92, 1, 2], limits: limits))
    XCTAssertThrowsError(try MessagePackDecoder.decode([0x93, 1, 2, 3], limits: limits))
    XCTAssertThrowsError(try MessagePackDecoder.decode([0x92, 0x91, 1, 2], limits: limits))
    limits = MessageLimits()
    limits.depth = 2
    XCTAssertNoThrow(try MessagePackDecoder.decode([0x91, 1], limits: limits))
    XCTAssertThrowsError(try MessagePackDecoder.decode([0x91, 0x91, 1], limits: limits))
  }

  /// Compares with the notation of Scripts/fixtures/messages.py.
  private func assertEqual(
    _ value: MessagePackValue, _ notation: [Any], _ name: String
  ) throws {
    let type = try XCTUnwrap(notation.first as? String)
    func same(_ number: Double, _ bits: Any) throws {
      let expected = Double(bitPattern: try XCTUnwrap(UInt64(bits as? String ?? "")))
      XCTAssertTrue(
        number.bitPattern == expected.bitPattern || (number.isNaN && expected.isNaN),
        "\(name): \(number), expected \(expected)")
    }
    switch value {
    case .null: XCTAssertEqual(type, "null", name)
    case .bool(let value):
      XCTAssertEqual(type, "bool", name)
      XCTAssertEqual(value, notation[1] as? Bool, name)
    case .integer(let value):
      XCTAssertEqual(type, "integer", name)
      XCTAssertEqual("\(value)", notation[1] as? String, name)
    case .number(let value):
      XCTAssertEqual(type, "number", name)
      try same(value, notation[1])
    case .string(let text):
      XCTAssertEqual(type, "string", name)
      XCTAssertEqual(text, notation[1] as? String, name)
    case .bytes(let bytes):
      XCTAssertEqual(type, "bytes", name)
      XCTAssertEqual(Data(bytes).base64EncodedString(), notation[1] as? String, name)
    case .list(let elements):
      XCTAssertEqual(type, "list", name)
      let expected = try XCTUnwrap(notation[1] as? [[Any]])
      XCTAssertEqual(elements.count, expected.count, name)
      for (element, expected) in zip(elements, expected) {
        try assertEqual(element, expected, name)
      }
    case .map(let entries):
      XCTAssertEqual(type, "map", name)
      let expected = try XCTUnwrap(notation[1] as? [String: [Any]])
      XCTAssertEqual(Set(entries.keys), Set(expected.keys), name)
      for (key, value) in entries { try assertEqual(value, XCTUnwrap(expected[key]), name) }
    case .array(let array):
      XCTAssertEqual(type, "array", name)
      XCTAssertEqual(array.elementType.rawValue, notation[1] as? String, name)
      XCTAssertEqual(array.shape, notation[2] as? [Int], name)
      XCTAssertEqual(Data(array.bytes).base64EncodedString(), notation[3] as? String, name)
      let expected = try XCTUnwrap(notation[4] as? [String])
      XCTAssertEqual(array.numbers.count, expected.count, name)
      for (number, bits) in zip(array.numbers, expected) { try same(number, bits) }
    }
  }
}
