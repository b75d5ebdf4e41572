import Foundation
import XCTest

@testable import PI0Kit

/// What is brought to a card before the first inference.
final class PreparationTests: XCTestCase {
  override class func tearDown() {
    try? Device.emulator().close()
    super.tearDown()
  }

  private func session(_ device: Device) throws -> CardSession {
    try XCTUnwrap(device.backend as? WormholeBackend).session
  }

  /// Several numbers of cameras and lengths of prompt are ready at a time. They share the weights; choosing one
  /// of them takes no memory, and gives the actions that it gives alone.
  func testSeveralAreReady() throws {
    let checkpoint = try Checkpoint(path: Fixtures.path("golden/pi0.weights.safetensors"))
    let device = try Device.emulator()
    let policy = try Policy(checkpoint: checkpoint, on: device)
    let configuration = policy.configuration
    let choices = [(1, 3), (2, 5), (configuration.cameras.count, 4)]
    for (number, (cameras, tokens)) in choices.enumerated() {
      var seen: [PolicyProgress] = []
      try policy.prepare(cameras: cameras, promptTokens: tokens) { seen.append($0) }
      XCTAssertTrue(seen.allSatisfy { $0.part == .loading && $0.completed <= $0.total })
      XCTAssertEqual(seen.last.map { $0.completed == $0.total }, number == 0 ? true : nil)
      XCTAssertEqual(seen.map(\.completed), seen.map(\.completed).sorted())
    }
    let reports = device.traceReports.count, free = try session(device).freeMemory

    let size = configuration.vision.imageSize
    func inputs(_ cameras: Int, _ tokens: Int, on device: Device) throws -> PolicyInputs {
      var images: [String: RGBImage] = [:]
      for (index, camera) in configuration.cameras.prefix(cameras).enumerated() {
        images[camera] = try RGBImage(
          width: size, height: size,
          pixels: (0..<3 * size * size).map { UInt8(truncatingIfNeeded: ($0 * (index + 3)) >> 2) })
      }
      return try Observation(
        images: images, state: [0.1], tokens: (0..<Int32(tokens)).map { $0 + 2 }
      ).inputs(for: configuration, on: device)
    }
    let reference = try Policy(checkpoint: checkpoint)
    for (cameras, tokens) in choices + choices.reversed() {
      let actual = try policy.sampleActions(inputs(cameras, tokens, on: device), seed: 1).floats()
      let expected = try reference.sampleActions(inputs(cameras, tokens, on: .reference), seed: 1)
      let comparison = try Comparison(actual: actual, expected: expected.floats())
      XCTAssertTrue(
        device.backend.policyTolerance.admits(comparison),
        "\(cameras) cameras, \(tokens) tokens: \(comparison)")
    }
    XCTAssertEqual(try session(device).freeMemory, free)
    XCTAssertEqual(device.traceReports.count, reports)
    XCTAssertThrowsError(
      try policy.prepare(cameras: configuration.cameras.count + 1, promptTokens: 1))
    XCTAssertThrowsError(
      try policy.prepare(cameras: 1, promptTokens: configuration.promptLength + 1))
    XCTAssertNoThrow(try reference.prepare(cameras: 1, promptTokens: 1), "nothing to do")
  }

  /// Weights that do not fit are an error before any is loaded: these are a file of 17 GB that has nothing in it.
  func testMemoryIsCheckedBeforeLoading() throws {
    let (rows, columns, count) = (131_072, 16_384, 4)
    var fields: [String] = []
    for index in 0..<count {
      let bytes = 2 * rows * columns
      fields.append(
        "\"w\(index)\":{\"dtype\":\"BF16\",\"shape\":[\(rows),\(columns)],"
          + "\"data_offsets\":[\(index * bytes),\((index + 1) * bytes)]}")
    }
    var header = "{\(fields.joined(separator: ","))}"
    while header.utf8.count % 8 != 0 { header += " " }
    let start = SafetensorsWriter.file(header: header)
    let path = try TemporaryFolder(for: self).write("sparse.safetensors", start)
    let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    try handle.truncate(atOffset: UInt64(start.count + 2 * rows * columns * count))
    try handle.close()

    let device = try Device.emulator(weights: .bfloat16)
    let file = try SafetensorsFile(path: path)
    let weights = try (0..<count).map { try file.tensor("w\($0)", on: device) }
    let x = try Tensor.full([1, columns], 1, device: device)
    let free = try session(device).freeMemory
    var reports = 0
    XCTAssertThrowsError(
      try device.backend.prepare(
        TraceCache("too much"), [x], onProgress: { _, _ in reports += 1 }
      ) { (inputs) throws(PI0Error) in
        var results: [Tensor] = []
        for weight in weights { results.append(try inputs[0].linear(weight: weight)) }
        return results
      }
    ) { error in
      for part in ["bytes of DRAM are needed", "keep weights as bfp8"] {
        XCTAssertTrue("\(error)".contains(part), "\(error)")
      }
    }
    XCTAssertEqual(reports, 0)
    XCTAssertEqual(try session(device).freeMemory, free)
    let small = try Tensor([1.0, 2, 3, 4] as [Float], shape: [2, 2], device: device)
    XCTAssertEqual(try (small + small).floats(), [2, 4, 6, 8])
  }
}
