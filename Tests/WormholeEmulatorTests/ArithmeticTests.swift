import Foundation
import Wormhole
import XCTest

@testable import WormholeEmulator

/// Every instruction's arithmetic, as the official simulator computes it.
final class ArithmeticTests: XCTestCase {
  /// Batches of each kind. Products are more than ten million results of MVMUL.
  private static let counts: [(kind: ArithmeticBatch.Kind, count: UInt64)] = [
    (.product, 1250), (.matrix, 400), (.vector, 600),
  ]

  private static var recording: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/emulator/arithmetic.txt")
  }

  private func run(
    _ kind: ArithmeticBatch.Kind, _ seed: UInt64, on runner: TileRunner
  ) throws -> [UInt32] {
    try runner.run(ArithmeticBatch(kind, seed: seed).program)
  }

  /// Against what the simulator computed once: `Scripts/record-emulator-vectors arithmetic`.
  func testArithmeticAsRecorded() throws {
    if ProcessInfo.processInfo.environment["PI0KIT_RECORD"] == "arithmetic" { try record() }
    let lines = try String(contentsOf: Self.recording, encoding: .utf8).split(separator: "\n")
      .filter { !$0.hasPrefix("#") }
    let runner = try TileRunner(WormholeEmulator())
    var batches = 0
    for line in lines {
      let fields = line.split(separator: " ")
      let kind = try XCTUnwrap(ArithmeticBatch.Kind(rawValue: String(fields[0])))
      let seed = try XCTUnwrap(UInt64(fields[1]))
      let result = try run(kind, seed, on: runner)
      XCTAssertEqual(hash(result), String(fields[2]), "\(kind) \(seed)")
      // Some are there in full, to see where a difference begins.
      for (index, word) in fields.dropFirst(3).enumerated() {
        XCTAssertEqual(String(result[index], radix: 16), String(word), "\(kind) \(seed), \(index)")
      }
      batches += 1
    }
    XCTAssertEqual(UInt64(batches), Self.counts.reduce(0) { $0 + $1.count })
  }

  /// Against the simulator here and now, on seeds that nobody has seen.
  func testFreshOperandsAsTheSimulatorComputes() throws {
    let simulator = try TileRunner(simulator())
    let emulator = try TileRunner(WormholeEmulator())
    let rounds = ProcessInfo.processInfo.environment["PI0KIT_ROUNDS"].flatMap(Int.init) ?? 100
    for _ in 0..<rounds {
      for kind in ArithmeticBatch.Kind.allCases {
        let seed = UInt64.random(in: 0 ... .max)
        let expected = try run(kind, seed, on: simulator)
        let result = try run(kind, seed, on: emulator)
        let difference = zip(expected, result).enumerated().first { $1.0 != $1.1 }
        XCTAssertNil(difference, "\(kind) \(seed)")
      }
    }
  }

  // MARK: -

  private func simulator() throws -> SimulatorLibrary {
    guard SimulatorLibrary.environmentPath != nil else {
      throw XCTSkip("compares with the official simulator: set TT_METAL_SIMULATOR to libttsim.so")
    }
    return try SimulatorLibrary.load()
  }

  private func record() throws {
    let runner = try TileRunner(simulator())
    var lines = "# Kind and seed of a batch, FNV-1a of the words in Dst, sometimes these words.\n"
    for (kind, count) in Self.counts {
      for seed in 1...count {
        let result = try run(kind, seed, on: runner)
        lines += "\(kind.rawValue) \(seed) \(hash(result))"
        if seed % 128 == 1 {
          lines += result.prefix(64).map { " " + String($0, radix: 16) }.joined()
        }
        lines += "\n"
      }
    }
    try lines.write(to: Self.recording, atomically: true, encoding: .utf8)
  }

  private func hash(_ words: [UInt32]) -> String {
    let hash = words.withUnsafeBytes { bytes in
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      return hash
    }
    return String(hash, radix: 16)
  }
}
