import XCTest

@testable import PI0Kit

/// Cameras as bytes: the same as pixels in [-1, 1], on the host and on a card.
final class CameraBytesTests: XCTestCase {
  private static let names =
    ProcessInfo.processInfo.environment["TT_METAL_SIMULATOR"] == nil
    ? ["emulator"] : ["emulator", "simulator"]

  override class func tearDown() {
    for name in names { try? Device(named: name).close() }
    super.tearDown()
  }

  private func picture(_ size: Int, seed: UInt64) throws -> RGBImage {
    var state = seed
    let pixels = (0..<3 * size * size).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
    return try RGBImage(width: size, height: size, pixels: pixels)
  }

  private func observation(_ configuration: PolicyConfiguration) throws -> Observation {
    var images: [String: RGBImage] = [:]
    for (index, camera) in configuration.cameras.enumerated() {
      images[camera] = try picture(configuration.vision.imageSize, seed: UInt64(index))
    }
    return Observation(images: images, state: [0.25, -0.5], tokens: [2, 7, 9])
  }

  /// Every byte at odd and even places, patches that begin within a tile, and what fills no patch.
  func testPatchesOnACard() throws {
    for name in Self.names {
      let device = try Device(named: name)
      for (count, height, width, patch) in [
        (2, 28, 28, 14), (1, 224, 224, 14), (3, 20, 33, 5), (1, 9, 9, 2), (1, 40, 40, 1),
        (2, 65, 32, 16),
      ] {
        let pixels = (0..<count * height * width * 3).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let image = try Tensor(bytes: pixels, shape: [count, height, width, 3])
        let expected = try image.pixelPatches(patch)
        let moved = try image.moved(to: device)
        let traced = try device.traced(TraceCache("patches"), [moved]) {
          (inputs) throws(PI0Error) in try inputs[0].pixelPatches(patch)
        }
        let what = "\(name), \(count) of \(width) x \(height) in \(patch)"
        for actual in [try moved.pixelPatches(patch), traced] {
          XCTAssertEqual(actual.shape, expected.shape, what)
          XCTAssertEqual(try actual.floats(), try expected.floats(), what)
        }
      }
    }
  }

  /// On the host bytes and floats differ by rounding alone.
  func testBytesAreTheFloatsTheyStandFor() throws {
    for set in ["pi0", "pi05"] {
      let policy = try Fixtures.goldenPolicy(set)
      let observation = try observation(policy.configuration)
      let floats = try observation.inputs(for: policy.configuration)
      var bytes = floats
      bytes.images = try policy.configuration.cameras.map {
        try XCTUnwrap(observation.images[$0]).pixels()
      }
      XCTAssertNoThrow(try bytes.check(policy.configuration))
      try assertMatches(
        policy.sampleActions(bytes, seed: 3), policy.sampleActions(floats, seed: 3),
        relative: 3e-6, absolute: 3e-6, set)
      try assertMatches(
        policy.prefixEmbedder.embed(image: bytes.images[0]),
        policy.prefixEmbedder.embed(image: floats.images[0]), relative: 3e-6, absolute: 3e-6, set)
      // Bytes of another size, or in another order.
      bytes.images[0] = try Tensor(bytes: [UInt8](repeating: 0, count: 12), shape: [1, 2, 2, 3])
      XCTAssertThrowsError(try policy.sampleActions(bytes, seed: 3))
    }
  }

  /// A card gets bytes, and computes from them what the host computes from floats. One doorbell; the host
  /// brings no more than the inputs, and takes the actions.
  func testAPolicyOnACard() throws {
    var actions: [[Float]] = []
    for name in Self.names {
      let device = try Device(named: name)
      let checkpoint = try Checkpoint(path: Fixtures.path("golden/pi0.weights.safetensors"))
      let policy = try Policy(checkpoint: checkpoint, on: device)
      let configuration = policy.configuration
      let observation = try observation(configuration)
      let inputs = try observation.inputs(for: configuration, on: device)
      XCTAssertEqual(inputs.images.map(\.elementType), inputs.images.map { _ in .uint8 })
      let actual = try policy.sampleActions(inputs, seed: 3).floats()
      actions.append(actual)
      let reference = try Policy(checkpoint: checkpoint)
      let expected = try reference.sampleActions(
        observation.inputs(for: configuration), seed: 3)
      let comparison = try Comparison(actual: actual, expected: expected.floats())
      XCTAssertTrue(
        device.backend.policyTolerance.admits(comparison), "\(name): \(comparison)")

      let report = try XCTUnwrap(device.traceReports.last).work
      XCTAssertEqual(report.doorbells, 1)
      let size = configuration.vision.imageSize
      let (horizon, dimension) = (configuration.actionHorizon, configuration.actionDimension)
      func tiles(_ rows: Int, _ columns: Int) -> Int {
        (rows + 31) / 32 * ((columns + 31) / 32) * 4096
      }
      XCTAssertEqual(
        report.hostBytesIn,
        16 + configuration.cameras.count * 3 * size * size + 4 * observation.tokens.count
          + tiles(1, dimension) + tiles(horizon, dimension))
      XCTAssertEqual(report.hostBytesOut, 4 + tiles(horizon, dimension))
    }
    XCTAssertTrue(actions.allSatisfy { $0 == actions[0] }, "bytes of both cards")
  }

  #if DEBUG
    /// The emulator computes ten times as long.
    private let runs = 5
  #else
    private let runs = 100
  #endif

  /// The same inputs give the same bytes, however often.
  func testManyRuns() throws {
    let device = try Device.emulator()
    let policy = try Policy(
      checkpoint: Checkpoint(path: Fixtures.path("golden/pi0.weights.safetensors")), on: device)
    let inputs = try observation(policy.configuration)
      .inputs(for: policy.configuration, on: device)
    let first = try policy.sampleActions(inputs, seed: 3).floats().map(\.bitPattern)
    for run in 2...runs {
      XCTAssertEqual(
        try policy.sampleActions(inputs, seed: 3).floats().map(\.bitPattern), first,
        "run \(run)")
    }
  }
}
