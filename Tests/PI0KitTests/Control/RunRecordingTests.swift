import Foundation
import XCTest

@testable import PI0Kit

final class RunRecordingTests: XCTestCase {
  private func inference(_ index: Int) throws -> Inference {
    var timings = InferenceTimings()
    timings.waiting = .milliseconds(index)
    timings.vision = .microseconds(2500)
    timings.language = .milliseconds(3)
    timings.denoising = .milliseconds(4)
    timings.computing = .milliseconds(12)
    return Inference(
      chunk: try ActionChunk(
        horizon: 2, dimension: 3, values: (0..<6).map { Double($0) / 3 + Double(index) }),
      noise: try .normal([1, 2, 4], seed: UInt64(index)), timings: timings)
  }

  private func observations() throws -> [RobotObservation] {
    let image = try RGBImage(width: 3, height: 2, pixels: (0..<18).map { UInt8($0 * 14) })
    return [
      RobotObservation(
        images: ["top": image, "wrist.left": image], maskedCameras: ["top"],
        state: [0.1, -.pi, 1e-300], prompt: .tokens([2, 117, 45])),
      RobotObservation(images: ["top": image], state: [], prompt: .text("fold the \"törn\" towel")),
      RobotObservation(images: [:], state: [1], prompt: nil),
    ]
  }

  func testKeepsEverything() throws {
    let folder = try TemporaryFolder(for: self)
    let path = folder.path("run.safetensors")
    let recorder = try RunRecorder(path: path, metadata: ["policy": "a \"b\""])
    let observations = try observations()
    for (index, observation) in observations.enumerated() {
      recorder.append(observation, try inference(index))
    }
    try recorder.finish()
    recorder.append(observations[0], try inference(0))  // too late
    try recorder.finish()
    XCTAssertEqual(try FileManager.default.contentsOfDirectory(atPath: folder.path).count, 1)

    let recording = try RunRecording(path: path)
    XCTAssertEqual(recording.count, 3)
    XCTAssertEqual(recording.metadata["policy"], "a \"b\"")
    for (index, observation) in observations.enumerated() {
      let (read, inference) = try recording.inference(index)
      let expected = try self.inference(index)
      XCTAssertEqual(read, observation)
      XCTAssertEqual(inference.chunk, expected.chunk)
      XCTAssertEqual(try inference.noise.floats(), try expected.noise.floats())
      XCTAssertEqual(inference.noise.shape, [1, 2, 4])
      XCTAssertEqual(inference.timings, expected.timings)
    }
    XCTAssertThrowsError(try recording.inference(3))
  }

  func testRefusesWhatIsNoRecording() throws {
    let golden = Fixtures.path("golden/pi0.io.safetensors")
    XCTAssertThrowsError(try RunRecording(path: golden)) {
      XCTAssertTrue("\($0)".contains("no recording"), "\($0)")
    }
  }

  func testUnwritableFileIsReported() throws {
    XCTAssertThrowsError(try RunRecorder(path: "/nowhere/run.safetensors"))
    let folder = try TemporaryFolder(for: self)
    let recorder = try RunRecorder(path: folder.path("run"))
    try FileManager.default.createDirectory(
      atPath: folder.path("run"), withIntermediateDirectories: false)
    XCTAssertThrowsError(try recorder.finish()) {
      XCTAssertTrue("\($0)".contains("run: cannot be written"), "\($0)")
    }
  }
}
