import XCTest

@testable import PI0Kit

final class ObservationTests: XCTestCase {
  private var configuration = PolicyConfiguration(
    vision: .init(width: 48, depth: 2, mlpWidth: 96, heads: 4, patchSize: 14, imageSize: 56),
    actionDimension: 8, promptLength: 6)

  private func picture(_ value: UInt8, width: Int = 56, height: Int = 56) throws -> RGBImage {
    try RGBImage(
      width: width, height: height,
      pixels: [UInt8](repeating: value, count: 3 * width * height))
  }

  func testPadsAndMasks() throws {
    let observation = try Observation(
      images: ["base_0_rgb": picture(255), "right_wrist_0_rgb": picture(0)],
      state: [0.5, -1], tokens: [2, 7, 9])
    let inputs = try observation.inputs(for: configuration)
    XCTAssertEqual(inputs.batch, 1)
    XCTAssertEqual(try inputs.imageMasks.map { try $0.bools() }, [[true], [false], [true]])
    XCTAssertEqual(inputs.images.map(\.shape), [[Int]](repeating: [1, 3, 56, 56], count: 3))
    XCTAssertEqual(try Set(inputs.images[0].floats()), [1])
    XCTAssertEqual(try Set(inputs.images[1].floats()), [-1])  // absent: black
    XCTAssertEqual(try inputs.state.floats(), [0.5, -1, 0, 0, 0, 0, 0, 0])
    XCTAssertEqual(try inputs.tokens.int32s(), [2, 7, 9, 0, 0, 0])
    XCTAssertEqual(try inputs.tokenMask.bools(), [true, true, true, false, false, false])
    XCTAssertNoThrow(try inputs.check(configuration))
  }

  func testAMaskedCameraIsAsGoodAsAbsent() throws {
    let observation = try Observation(
      images: ["base_0_rgb": picture(255), "left_wrist_0_rgb": picture(255)],
      maskedCameras: ["left_wrist_0_rgb"], state: [], tokens: [])
    let masks = try observation.inputs(for: configuration).imageMasks.map { try $0.bools() }
    XCTAssertEqual(masks, [[true], [false], [false]])
  }

  func testResizesFramesOfAnySizeAsOpenpiDoes() throws {
    let io = try Fixtures.safetensors("golden/pi0.io.safetensors")
    let frame = Array(try io.bytes("resize.in_u8").prefix(40 * 64 * 3))
    let expected = try RGBImage(
      width: 56, height: 56, pixels: Array(io.bytes("resize.out_u8").prefix(56 * 56 * 3)))
    let observation = try Observation(
      images: ["base_0_rgb": RGBImage(width: 64, height: 40, pixels: frame)], state: [],
      tokens: [])
    try assertMatches(
      observation.inputs(for: configuration).images[0], expected.normalized(), "resized")
  }

  func testWhatCannotBeUsedIsNamed() throws {
    func assertRefused(_ text: String, _ observation: Observation) {
      XCTAssertThrowsError(try observation.inputs(for: configuration)) {
        XCTAssertTrue("\($0)".contains(text), "\($0)")
      }
    }
    let image = try picture(0)
    let good = Observation(images: ["base_0_rgb": image], state: [], tokens: [])
    XCTAssertNoThrow(try good.inputs(for: configuration))
    var observation = good
    observation.images["top"] = image
    assertRefused("no camera \"top\"", observation)
    observation = good
    observation.maskedCameras = ["top"]
    assertRefused("no camera \"top\"", observation)
    observation.maskedCameras = ["base_0_rgb"]
    assertRefused("no camera image", observation)
    observation = good
    observation.state = [Float](repeating: 0, count: 9)
    assertRefused("9 values", observation)
    observation.state = [0, .nan]
    assertRefused("state[1]", observation)
    observation = good
    observation.tokens = [Int32](repeating: 0, count: 7)
    assertRefused("7 tokens", observation)
  }

  func testBatching() throws {
    let first = try Observation(images: ["base_0_rgb": picture(0)], state: [1], tokens: [1])
    let second = try Observation(
      images: ["left_wrist_0_rgb": picture(0)], state: [2], tokens: [1, 2])
    let batch = try PolicyInputs(
      batching: [first.inputs(for: configuration), second.inputs(for: configuration)])
    XCTAssertNoThrow(try batch.check(configuration))
    XCTAssertEqual(batch.batch, 2)
    XCTAssertEqual(try batch.imageMasks[0].bools(), [true, false])
    XCTAssertEqual(try batch.state.sliced(axis: 1, 0..<1).floats(), [1, 2])
    XCTAssertThrowsError(try PolicyInputs(batching: []))
  }
}
