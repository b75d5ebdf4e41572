import Foundation
import TensixISA
import XCTest

@testable import Wormhole
@testable import WormholeEmulator

/// Programs of the coprocessor's queues, expanders, unpackers and packers: the emulator leaves in L1
/// what the official simulator left there, on recorded and on fresh random data.
final class CoprocessorTests: XCTestCase {
  private static let seeds = 4

  private static var recording: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/emulator/coprocessor.txt")
  }

  /// Against what the official simulator computed once: `Scripts/record-emulator-vectors
  /// coprocessor`.
  func testProgramsAsRecorded() throws {
    if ProcessInfo.processInfo.environment["PI0KIT_RECORD"] == "coprocessor" { try record() }
    let records = try String(contentsOf: Self.recording, encoding: .utf8)
      .split(separator: "\n").filter { !$0.hasPrefix("#") }
    XCTAssertEqual(records.count, CoprocessorPrograms.all.count * Self.seeds)
    let card = try SimulatedTransport(bus: WormholeEmulator())
    defer { card.close() }
    for record in records {
      let fields = record.split(separator: " ")
      let seed = try XCTUnwrap(UInt64(fields[1]))
      let program = try XCTUnwrap(CoprocessorPrograms.program(String(fields[0]), seed: seed))
      XCTAssertEqual(hash(try program.run(on: card)), String(fields[2]), "\(fields[0]) \(seed)")
    }
  }

  /// Against the official simulator here and now, on data that nobody has seen.
  func testFreshProgramsAsTheSimulatorRunsThem() throws {
    let simulator = try openSimulator()
    defer { simulator.close() }
    let emulator = try SimulatedTransport(bus: WormholeEmulator())
    defer { emulator.close() }
    for name in CoprocessorPrograms.all.map(\.name) {
      for _ in 0..<Self.seeds {
        let seed = UInt64.random(in: 0 ... .max)
        let program = try XCTUnwrap(CoprocessorPrograms.program(name, seed: seed))
        let expected = try program.run(on: simulator)
        let found = try program.run(on: emulator)
        let first = zip(expected, found).enumerated().first { $1.0 != $1.1 }
        XCTAssertEqual(
          expected, found,
          "\(name) \(seed): byte \(first?.offset ?? -1) of \(expected.count)")
      }
    }
  }

  private func record() throws {
    let simulator = try openSimulator()
    defer { simulator.close() }
    var lines =
      "# Program, its seed, FNV-1a of what the official simulator leaves in its outputs.\n"
    for name in CoprocessorPrograms.all.map(\.name) {
      for seed in 1...UInt64(Self.seeds) {
        let program = try XCTUnwrap(CoprocessorPrograms.program(name, seed: seed))
        lines += "\(name) \(seed) \(hash(try program.run(on: simulator)))\n"
      }
    }
    try lines.write(to: Self.recording, atomically: true, encoding: .utf8)
  }

  private func openSimulator() throws -> SimulatedTransport {
    guard SimulatorLibrary.environmentPath != nil else {
      throw XCTSkip("no simulator to compare with - set TT_METAL_SIMULATOR to libttsim.so")
    }
    return try SimulatedTransport(bus: SimulatorLibrary.load())
  }

  private func hash(_ bytes: [UInt8]) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
  }
}
