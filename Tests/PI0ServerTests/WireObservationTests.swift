import PI0Kit
import XCTest

@testable import PI0Server

/// What clients send, as the robot's observation.
final class WireObservationTests: XCTestCase {
  private func observation(
    _ entries: [String: MessagePackValue], keys: ObservationKeys = ObservationKeys()
  ) throws -> RobotObservation {
    try WireObservation(.map(entries), keys: keys).observation
  }

  private func assertRefused(
    _ entries: [String: MessagePackValue], _ text: String,
    keys: ObservationKeys = ObservationKeys(), file: StaticString = #filePath, line: UInt = #line
  ) {
    XCTAssertThrowsError(try observation(entries, keys: keys), file: file, line: line) { error in
      XCTAssertTrue("\(error)".contains(text), "\(error)", file: file, line: line)
    }
  }

  private let state = MessagePackValue.list([.number(0.5), .integer(2)])

  func testFramesOfBothLayouts() throws {
    let bytes = (0..<24).map { UInt8($0) }
    let last = try NumpyArray(.uint8, shape: [2, 4, 3], bytes: bytes[...])
    let first = try NumpyArray(.uint8, shape: [3, 2, 4], bytes: bytes[...])
    let images = try observation([
      "images": .map(["last": .array(last), "first": .array(first)]), "state": state,
    ]).images
    XCTAssertEqual(images["last"], try RGBImage(width: 4, height: 2, pixels: bytes))
    let interleaved = (0..<8).flatMap { [bytes[$0], bytes[8 + $0], bytes[16 + $0]] }
    XCTAssertEqual(images["first"], try RGBImage(width: 4, height: 2, pixels: interleaved))
  }

  func testWhereTheShapeAllowsBothThePolicyDecides() throws {
    let array = try NumpyArray(.uint8, shape: [3, 1, 3], bytes: (0..<9).map { UInt8($0) }[...])
    let entries: [String: MessagePackValue] = ["images/a": .array(array), "state": state]
    var keys = ObservationKeys()
    XCTAssertEqual(try observation(entries).images["a"]?.height, 3)
    keys.imagesAreChannelsFirst = true
    XCTAssertEqual(try observation(entries, keys: keys).images["a"]?.height, 1)
  }

  func testFramesOfFloatsAreCutOffAsNumPyDoes() throws {
    // (255 * x).astype(uint8) in Python.
    let floats: [Double] = [0, 1, 0.5, 0.999, 0.0039, 0.004]
    let bytes = floats.flatMap { value in withUnsafeBytes(of: value.bitPattern) { Array($0) } }
    let array = try NumpyArray(.float64, shape: [2, 1, 3], bytes: bytes[...])
    let image = try observation(["images/a": .array(array), "state": state]).images["a"]
    XCTAssertEqual(image?.pixels, [0, 255, 127, 254, 0, 1])
    for wrong in [-0.1, 1.1, .nan] {
      let array = try NumpyArray([wrong, 0, 0], shape: [1, 1, 3])
      assertRefused(["images/a": .array(array), "state": state], "from 0 to 1")
    }
  }

  func testStatesAndPrompts() throws {
    XCTAssertEqual(try observation(["state": state]).state, [0.5, 2])
    XCTAssertEqual(
      try observation(["state": .array(NumpyArray([1.5], shape: [1]))]).state, [1.5])
    XCTAssertNil(try observation(["state": state]).prompt)
    XCTAssertEqual(
      try observation(["state": state, "prompt": .string("fold")]).prompt, .text("fold"))
    let mask = try NumpyArray(.bool, shape: [3], bytes: [1, 1, 0])
    let tokens = MessagePackValue.list([.integer(2), .integer(7), .integer(0)])
    XCTAssertEqual(
      try observation(["state": state, "tokenized_prompt": tokens]).prompt, .tokens([2, 7, 0]))
    XCTAssertEqual(
      try observation([
        "state": state, "tokenized_prompt": tokens, "tokenized_prompt_mask": .array(mask),
      ]).prompt, .tokens([2, 7]))
  }

  func testKeysOfPresets() throws {
    let picture = MessagePackValue.array(try .picture(height: 2, width: 2))
    let droid = RobotPreset.droid().keys
    let seen = try observation(
      [
        "observation/exterior_image_1_left": picture, "observation/wrist_image_left": picture,
        "observation/joint_position": .array(NumpyArray((0..<7).map(Double.init), shape: [7])),
        "observation/gripper_position": .array(NumpyArray([0.25], shape: [1])),
        "prompt": .string("pick"),
      ], keys: droid)
    XCTAssertEqual(seen.state, [0, 1, 2, 3, 4, 5, 6, 0.25])
    XCTAssertEqual(Set(seen.images.keys), ["exterior_image_1_left", "wrist_image_left"])
    let aloha = try observation(
      ["images": .map(["cam_high": picture]), "state": state], keys: RobotPreset.aloha().keys)
    XCTAssertEqual(Set(aloha.images.keys), ["cam_high"])
    assertRefused(
      ["images": .map(["top": picture]), "state": state], "\"images/top\"",
      keys: RobotPreset.aloha().keys)
    assertRefused(
      ["observation/joint_position": state], "no observation/gripper_position", keys: droid)
  }

  func testKeysOfLerobot() throws {
    let picture = MessagePackValue.array(try .picture(height: 2, width: 2))
    let seen = try observation([
      "observation.images.top": picture, "observation.state": state, "task": .string("pick"),
      "image_mask": .map(["top": .bool(false)]),
    ])
    XCTAssertEqual(Set(seen.images.keys), ["top"])
    XCTAssertEqual(seen.state, [0.5, 2])
    XCTAssertEqual(seen.prompt, .text("pick"))
    XCTAssertEqual(seen.maskedCameras, ["top"])
  }

  func testNoise() throws {
    let noise = try NumpyArray([1, 2, 3, 4], shape: [2, 2])
    let wire = try WireObservation(
      .map(["state": state, "noise": .array(noise)]), keys: ObservationKeys())
    XCTAssertEqual(try wire.noise?.floats(), [1, 2, 3, 4])
    XCTAssertEqual(wire.noise?.shape, [2, 2])
  }

  func testWhatIsWrongIsSaid() throws {
    let picture = MessagePackValue.array(try .picture(height: 2, width: 2))
    XCTAssertThrowsError(try WireObservation(.list([]), keys: ObservationKeys()))
    assertRefused([:], "no state")
    assertRefused(["state": .string("x")], "state\" is a string")
    assertRefused(["state": .list([.number(1), .null])], "[1] is None")
    assertRefused(["state": .array(try NumpyArray([1, 2], shape: [1, 2]))], "one dimension")
    assertRefused(["state": state, "observation.state": state], "state is there twice")
    assertRefused(["state": state, "speed": state], "\"speed\"")
    assertRefused(["state": state, "images": picture], "\"images\"")
    assertRefused(["state": state, "images/": picture], "\"images/\"")
    assertRefused(["state": state, "images/a": .string("x")], "is a string; a frame")
    let flat = try NumpyArray(.uint8, shape: [12], bytes: [UInt8](repeating: 0, count: 12)[...])
    assertRefused(["state": state, "images/a": .array(flat)], "|u1 [12]; a frame")
    let grey = try NumpyArray(.uint8, shape: [2, 2, 1], bytes: [0, 0, 0, 0])
    assertRefused(["state": state, "images/a": .array(grey)], "three channels")
    let empty = try NumpyArray(.uint8, shape: [0, 4, 3], bytes: [])
    assertRefused(["state": state, "images/a": .array(empty)], "width and height")
    let vast = try NumpyArray(.uint8, shape: [3, 0, .max], bytes: [])
    assertRefused(["state": state, "images/a": .array(vast)], "width and height")
    assertRefused(
      ["state": state, "images/a": picture, "images": .map(["a": picture])], "twice")
    assertRefused(
      ["state": state, "images/a": picture, "image/a": picture], "\"a\" has two frames")
    assertRefused(["state": state, "image_mask/a": .integer(1)], "must be a bool")
    assertRefused(["state": state, "prompt": .bytes([1])], "must be a string")
    assertRefused(["state": state, "prompt": .string("a"), "task": .string("b")], "twice")
    let tokens = MessagePackValue.list([.number(0.5)])
    assertRefused(["state": state, "tokenized_prompt": tokens], "no token id")
    assertRefused(
      ["state": state, "tokenized_prompt": .list([.integer(1 << 40)])], "no token id")
    assertRefused(
      ["state": state, "tokenized_prompt": state, "prompt": .string("a")], "twice")
    assertRefused(["state": state, "tokenized_prompt_mask": tokens], "without tokenized_prompt")
    assertRefused(
      ["state": state, "tokenized_prompt": .list([]), "tokenized_prompt_mask": tokens], "0 bools")
    assertRefused(["state": state, "noise": tokens], "array of floats")
  }

  func testHostileKeysMakeShortErrors() throws {
    let key = String(repeating: "\u{1B}[2J\u{0}", count: 10_000)
    XCTAssertThrowsError(try observation([key: .null, "state": state])) { error in
      XCTAssertLessThan("\(error)".count, 400)
      XCTAssertFalse("\(error)".unicodeScalars.contains { $0.value < 0x20 })
    }
  }
}
