import Foundation
import Logging
import PI0Kit
import XCTest

@testable import PI0Server

/// Messages that nobody meant to send. Each becomes an observation, or an error; none may crash.
///
/// PI0KIT_FUZZ_MESSAGES says how many; the same number means the same messages. For every 500 of
/// them there is a connection to a real server that gets a damaged stream of bytes:
///
///     ASAN_OPTIONS=detect_leaks=0 swift test --sanitize=address --filter ProtocolFuzzTests
final class ProtocolFuzzTests: XCTestCase {
  private func messageCount() throws -> Int {
    let name = "PI0KIT_FUZZ_MESSAGES"
    guard let text = ProcessInfo.processInfo.environment[name] else { return 20_000 }
    return try XCTUnwrap(Int(text), "\(name) is no number: \(text)")
  }

  func testEveryMessageIsAnObservationOrAnError() throws {
    let count = try messageCount()
    let forge = try MessageForge()
    let presets = [ObservationKeys(), RobotPreset.droid().keys, RobotPreset.aloha().keys]
    var (decoded, observed) = (0, 0)
    for seed in 0..<count {
      var random = Generator(state: UInt64(seed))
      let message = forge.message(&random)
      do throws(ServerError) {
        let value = try MessagePackDecoder.decode(message)
        decoded += 1
        let again = try MessagePackDecoder.decode(MessagePackEncoder.encode(value))
        // Not equal itself where it has a NaN.
        XCTAssertEqual(
          MessagePackEncoder.encode(again), MessagePackEncoder.encode(value), "message \(seed)")
        _ = try WireObservation(value, keys: presets[seed % presets.count])
        observed += 1
      } catch {
        XCTAssertLessThan(error.description.utf8.count, 1_000, "message \(seed)")
      }
    }
    // The messages are neither all refused at the door nor all harmless.
    XCTAssertGreaterThan(decoded, count / 10)
    XCTAssertLessThan(decoded, count * 9 / 10)
    XCTAssertGreaterThan(observed, count / 100)
    XCTAssertLessThan(observed, count / 2)
  }

  func testEveryStreamLeavesTheServerServing() throws {
    let count = max(try messageCount() / 500, 40)
    let forge = try MessageForge()
    var configuration = ServerConfiguration()
    configuration.port = 0
    configuration.closeTime = .milliseconds(50)
    configuration.messageLimits.byteCount = 1 << 20
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = try PolicyServer(
      serving: EchoPolicy(), configuration: configuration, logger: logger)
    defer { server.stop() }
    for seed in 0..<count {
      var random = Generator(state: UInt64(seed))
      let client = try TestClient(port: server.port)
      // A server that has seen enough closes; what is sent then gets an error.
      try? client.write(forge.stream(&random))
      if seed % 20 == 0 {
        XCTAssertEqual(
          try TestClient.connected(port: server.port).client.echo(Double(seed)), Double(seed))
      }
    }
    for _ in 0..<1_000 where server.connections.count > 0 { usleep(10_000) }
    XCTAssertEqual(server.connections.count, 0)
    XCTAssertEqual(server.statistics.snapshot.waiting, 0)
  }
}

/// SplitMix64.
private struct Generator: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Makes the messages: observations that are damaged in one of several ways, and hostile ones.
private struct MessageForge {
  private let valid: [[UInt8]]

  init() throws {
    let picture = MessagePackValue.array(try .picture(height: 2, width: 3))
    let floats = MessagePackValue.array(try NumpyArray([0.5, 0.25, 1], shape: [1, 1, 3]))
    let state = MessagePackValue.array(try NumpyArray([1, 2, 3], shape: [3]))
    let mask = MessagePackValue.array(try NumpyArray(.bool, shape: [2], bytes: [1, 0]))
    valid = [
      .map(["images": .map(["a": picture, "b": floats]), "state": state, "prompt": .string("é")]),
      .map([
        "observation/exterior_image_1_left": picture, "observation/wrist_image_left": picture,
        "observation/joint_position": state, "observation/gripper_position": .number(0.5),
        "prompt": .string("pick up the cube"),
      ]),
      .map([
        "images/cam_high": picture, "image_mask": .map(["cam_high": .bool(true)]),
        "state": .list([.integer(1), .number(-2), .integer(300)]),
        "tokenized_prompt": .list([.integer(2), .integer(70_000)]), "tokenized_prompt_mask": mask,
        "noise": state,
      ]),
      .map(["state": .list([])]),
      .list([.null, .bool(false), .bytes([1, 2, 3]), .string(""), .map([:])]),
    ].map(MessagePackEncoder.encode)
  }

  func message(_ random: inout Generator) -> [UInt8] {
    var bytes = pick(valid, &random)
    switch Int.random(in: 0..<8, using: &random) {
    case 0: break
    case 1: flipBits(&bytes, &random)
    case 2: bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
    case 3: replace(&bytes, &random)
    case 4: bytes = spliced(bytes, &random)
    case 5: bytes = hostile(&random)
    case 6:
      bytes = (0..<Int.random(in: 0...40, using: &random)).map { _ in
        .random(in: 0...255, using: &random)
      }
    default:
      replace(&bytes, &random)
      flipBits(&bytes, &random)
    }
    return bytes
  }

  private func flipBits(_ bytes: inout [UInt8], _ random: inout Generator) {
    guard !bytes.isEmpty else { return }
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      bytes[.random(in: 0..<bytes.count, using: &random)] ^=
        1 << UInt8.random(in: 0..<8, using: &random)
    }
  }

  /// Puts types and lengths of all kinds in the place of bytes.
  private func replace(_ bytes: inout [UInt8], _ random: inout Generator) {
    let heads: [[UInt8]] = [
      [0xC0], [0xC1], [0xC3], [0xC4, 0xFF], [0xC6, 0xFF, 0xFF, 0xFF, 0xFF], [0xC7, 1, 5],
      [0xD6, 5],
      [0xCB], [0xCF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
      [0xD3, 0x80, 0, 0, 0, 0, 0, 0, 0],
      [0xD9, 0xFF], [0xDB, 0x7F, 0xFF, 0xFF, 0xFF], [0xDC, 0xFF, 0xFF], [0xDD, 0, 1, 0, 0],
      [0xDD, 0xFF, 0xFF, 0xFF, 0xFF], [0xDF, 0xFF, 0xFF, 0xFF, 0xFF], [0x81], [0x91], [0xA0],
      [0xFF],
    ]
    let head = pick(heads, &random)
    let start = Int.random(in: 0...bytes.count, using: &random)
    let end = min(bytes.count, start + (Bool.random(using: &random) ? head.count : 1))
    bytes.replaceSubrange(start..<end, with: head)
  }

  private func spliced(_ bytes: [UInt8], _ random: inout Generator) -> [UInt8] {
    let other = pick(valid, &random)
    let from = Int.random(in: 0...other.count, using: &random)
    let part = other[from..<min(other.count, from + Int.random(in: 0...30, using: &random))]
    var bytes = bytes
    let start = Int.random(in: 0...bytes.count, using: &random)
    bytes.replaceSubrange(
      start..<min(bytes.count, start + Int.random(in: 0...30, using: &random)), with: part)
    return bytes
  }

  /// Values that nest, repeat, contradict.
  private func hostile(_ random: inout Generator) -> [UInt8] {
    let count = Int.random(in: 1...2_000, using: &random)
    switch Int.random(in: 0..<4, using: &random) {
    case 0: return [UInt8](repeating: pick([0x91, 0x81, 0xDC, 0xDD, 0xDE], &random), count: count)
    case 1: return [0x81, 0xA1, 0x61].repeated(count) + [0xC0]
    case 2:  // an array of any shape and type
      let types = NumpyArray.ElementType.allCases.map(\.rawValue) + ["|O", ">f4", "<c8", "", "|V8"]
      let sizes: [Int64] = [0, 1, 2, 3, -1, 1 << 31, 1 << 32, 1 << 62, .max, .min]
      let shape = (0..<Int.random(in: 0...9, using: &random)).map { _ in pick(sizes, &random) }
      return numpy(
        data: [UInt8](repeating: 1, count: Int.random(in: 0...24, using: &random)),
        type: pick(types, &random), shape: shape)
    default:  // a frame of contradicting parts in an observation
      let shape = (0..<3).map { _ in pick([3, 0, 1, 4, .max] as [Int64], &random) }
      let image = numpy(
        data: [UInt8](repeating: 200, count: Int.random(in: 0...48, using: &random)), type: "|u1",
        shape: shape)
      return [0x82, 0xA8] + Array("images/a".utf8) + image + [0xA5] + Array("state".utf8) + [0x90]
    }
  }

  private func numpy(data: [UInt8], type: String, shape: [Int64]) -> [UInt8] {
    func key(_ name: String) -> [UInt8] { [0xC4, UInt8(name.utf8.count)] + Array(name.utf8) }
    return [0x84] + key("__ndarray__") + [0xC3] + key("data") + [0xC4, UInt8(data.count)] + data
      + key("dtype") + MessagePackEncoder.encode(.string(type)) + key("shape")
      + MessagePackEncoder.encode(.list(shape.map { .integer($0) }))
  }

  /// A handshake and frames, whole or damaged.
  func stream(_ random: inout Generator) -> [UInt8] {
    var bytes = Array(
      (["GET / HTTP/1.1", "Host: 127.0.0.1"] + TestClient.upgradeHeaders() + ["", ""])
        .joined(separator: "\r\n").utf8)
    if Int.random(in: 0..<8, using: &random) == 0 { flipBits(&bytes, &random) }
    for _ in 0..<Int.random(in: 0...6, using: &random) {
      let first: UInt8 =
        pick([0x82, 0x82, 0x82, 0x02, 0x80, 0x00, 0x89, 0x8A, 0x81, 0x88, 0xF2, 0x8F], &random)
      let isMasked = Int.random(in: 0..<10, using: &random) > 0
      var frame = TestClient.frame(first, message(&random), isMasked: isMasked)
      if Int.random(in: 0..<6, using: &random) == 0 { flipBits(&frame, &random) }
      bytes += frame
    }
    if Int.random(in: 0..<4, using: &random) == 0 {
      bytes.removeLast(Int.random(in: 0...bytes.count, using: &random))
    }
    return bytes
  }

  private func pick<Element>(_ choices: [Element], _ random: inout Generator) -> Element {
    choices[Int.random(in: choices.indices, using: &random)]
  }
}

extension [UInt8] {
  fileprivate func repeated(_ count: Int) -> [UInt8] {
    [[UInt8]](repeating: self, count: count).flatMap(\.self)
  }
}
