import Foundation
import XCTest

@testable import PI0Kit

/// The files under Tests/Fixtures. `MANIFEST.json` there says how they were made.
enum Fixtures {
  static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("Fixtures")

  static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  /// What a failure about a fixture's contents ends with.
  static let remedy = "make the fixtures again: python3 Scripts/make-fixtures.py"

  static func safetensors(_ name: String) throws -> SafetensorsFile {
    do {
      return try SafetensorsFile(path: path(name))
    } catch {
      throw FixtureError(description: "\(error); \(remedy)")
    }
  }

  static func goldenPolicy(_ name: String) throws -> Policy {
    try Policy(checkpoint: Checkpoint(path: path("golden/\(name).weights.safetensors")))
  }
}

struct FixtureError: Error, CustomStringConvertible {
  let description: String
}

/// PyTorch's tensors for one operation: named cases of operands, attributes and results.
struct OperationFixture {
  struct Case {
    let name: String
    let device: Device
    fileprivate let file: SafetensorsFile
    fileprivate let attributes: [String: Any]

    /// The operand or result of that name, on the device.
    func tensor(_ operand: String) throws -> Tensor {
      guard let tensor = try optional(operand) else {
        throw FixtureError(description: "\(name) has no \(operand); \(Fixtures.remedy)")
      }
      return tensor
    }

    func optional(_ operand: String) throws -> Tensor? {
      let key = "\(name)/\(operand)"
      return file.entries[key] == nil ? nil : try file.tensor(key).moved(to: device)
    }

    func attribute<Value>(_ name: String, as type: Value.Type = Value.self) throws -> Value {
      guard let value = attributes[name] as? Value else {
        throw FixtureError(
          description: "\(self.name) has no attribute \(name); \(Fixtures.remedy)")
      }
      return value
    }

    func has(_ attribute: String) -> Bool { attributes[attribute] != nil }

    /// The scalar operand, and whether it was an integer in Python.
    func scalar() throws -> (value: Double, isInteger: Bool) {
      let number: NSNumber = try attribute("scalar")
      return (number.doubleValue, try tensor("x").elementType == .int32)
    }
  }

  let cases: [Case]

  init(_ operation: String, on device: Device = .reference) throws {
    let file = try Fixtures.safetensors("operations/\(operation).safetensors")
    let json = Data((file.metadata["cases"] ?? "").utf8)
    guard let cases = try? JSONSerialization.jsonObject(with: json) as? [String: [String: Any]]
    else {
      throw FixtureError(description: "\(file.path) lists no cases; \(Fixtures.remedy)")
    }
    self.cases = cases.sorted { $0.key < $1.key }
      .map { Case(name: "\($0.key)", device: device, file: file, attributes: $0.value) }
  }
}

/// Fails unless type and shape are equal and every element is within `absolute + relative * |e|` of
/// the expected one; NaN and infinities must stand at the same places. Says where it is worst.
func assertMatches(
  _ actual: Tensor, _ expected: Tensor, relative: Float = 0, absolute: Float = 0,
  _ name: String, file: StaticString = #filePath, line: UInt = #line
) throws {
  XCTAssertEqual(actual.elementType, expected.elementType, name, file: file, line: line)
  XCTAssertEqual(actual.shape, expected.shape, name, file: file, line: line)
  guard actual.shape == expected.shape else { return }
  let (a, e) = (actual.numbers(), expected.numbers())
  var worst: (index: Int, excess: Float)?
  for index in a.indices where a[index] != e[index] && !(a[index].isNaN && e[index].isNaN) {
    let excess = abs(a[index] - e[index]) - (absolute + relative * abs(e[index]))
    // Not `excess > 0`: a NaN must count.
    if !(excess <= 0), !((worst?.excess ?? 0) >= excess) { worst = (index, excess) }
  }
  guard let worst else { return }
  let comparison = try Comparison(actual: a, expected: e)
  XCTFail(
    "\(name): element \(worst.index) is \(a[worst.index]), expected \(e[worst.index]) "
      + "(relative \(relative), absolute \(absolute)); PCC \(comparison.pcc), maximum error "
      + "\(comparison.maximumError), relative RMS \(comparison.relativeRMS)",
    file: file, line: line)
}
