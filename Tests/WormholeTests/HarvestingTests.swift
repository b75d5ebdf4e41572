import Foundation
import XCTest

@testable import Wormhole
@testable import WormholeEmulator

/// Cards with any rows of tiles off, which the official simulator does not have.
final class HarvestingTests: XCTestCase {
  func testRowsThatAreOff() throws {
    for rows in [
      [], [1], [11], [5, 7], [2, 3, 10], [1, 2, 3, 4, 5], [1, 3, 5, 7, 9, 11, 2, 4, 8],
    ] {
      let emulator = try WormholeEmulator(harvestedRows: rows)
      let transport = try SimulatedTransport(bus: emulator)
      XCTAssertEqual(transport.layout.harvestedRows, rows.sorted())
      XCTAssertEqual(transport.layout.tiles.count, 8 * (10 - rows.count))
      let card = try Card(transport: transport)  // which computes a product on every tile
      defer { card.close() }
      var values = Values(seed: 71)
      let x = values.array(70 * 96), w = values.array(96 * 330)
      let a = try card.matrix(x, rows: 70, columns: 96)
      let b = try card.matrix(w, rows: 96, columns: 330)
      let out = try card.allocate(rows: 70, columns: 330)
      try card.run { try $0.linear(a, b, into: out) }
      assertClose(
        try card.download(out), product(x, w, rows: 70, inner: 96, columns: 330), rms: 0.003,
        "\(rows)")
      // Many rows, on the whole grid; on few tiles in several commands.
      let many = values.array(400 * 96)
      let left = try card.matrix(many, rows: 400, columns: 96)
      let wide = try card.allocate(rows: 400, columns: 330)
      try card.run { try $0.linear(left, b, into: wide) }
      assertClose(
        try card.download(wide), product(many, w, rows: 400, inner: 96, columns: 330), rms: 0.003,
        "\(rows)")
      for row in rows {
        XCTAssertThrowsError(try transport.read32(from: TileCoordinate(x: 1, y: row), at: 0))
      }
    }
  }

  /// A sum's tiles are those that normalise it, as many as there may be of them.
  func testNormOfASum() throws {
    for rows in [[], [1], [2, 9], [1, 3, 5, 7, 9, 11]] {
      let card = try Card(
        transport: SimulatedTransport(bus: WormholeEmulator(harvestedRows: rows)))
      defer { card.close() }
      for columns in [1024, 512] {
        // Or the sum is not taken in parts.
        try NormOfASum(rows: 51, inner: 1024, columns: columns, next: 640).check(
          on: card, isTaken: columns / 16 <= card.tiles.count)
      }
    }
  }

  func testNoSuchRows() {
    for rows in [[0], [6], [12], [1, -1]] {
      XCTAssertThrowsError(try WormholeEmulator(harvestedRows: rows)) {
        XCTAssertEqual(($0 as? CardError)?.seen, "harvested rows \(rows)")
      }
    }
  }

  /// Cards have nothing in common: several are at work at once, each on its own thread.
  func testManyCards() throws {
    let results = Results()
    DispatchQueue.concurrentPerform(iterations: 4) { index in
      do {
        let card = try Card(transport: SimulatedTransport(bus: WormholeEmulator()))
        defer { card.close() }
        var values = Values(seed: 81)
        let a = try card.matrix(values.array(64 * 64), rows: 64, columns: 64)
        let out = try card.allocate(rows: 64, columns: 64)
        try card.run { try $0.linear(a, a, into: out) }
        results.add(try card.download(out), index)
      } catch {
        XCTFail("card \(index): \(error)")
      }
    }
    XCTAssertEqual(results.values.count, 4)
    XCTAssertEqual(Set(results.values.values).count, 1)
  }
}

private final class Results: @unchecked Sendable {
  private let lock = NSLock()
  private(set) var values: [Int: [Float]] = [:]

  func add(_ result: [Float], _ index: Int) { lock.withLock { values[index] = result } }
}
