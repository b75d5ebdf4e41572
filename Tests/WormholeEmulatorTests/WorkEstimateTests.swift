import Foundation
import XCTest

@testable import Wormhole
@testable import WormholeEmulator

/// Counting by command, and the profile that a browser opens.
final class WorkEstimateTests: XCTestCase {
  func testTheBoundIsWhatWasBusyLongest() {
    let busy = CommandEstimate(cycles: 1000, busyCycles: [100, 0, 300, 0, 700, 200])
    XCTAssertEqual(busy.bound, .noc)
    XCTAssertEqual(busy.dispatchCycles, 300)
    let waiting = CommandEstimate(cycles: 1000, busyCycles: [100, 0, 300, 0, 200, 200])
    XCTAssertEqual(waiting.bound, .dispatch)
    let total = CommandEstimate.total([busy, waiting])
    XCTAssertEqual(total.cycles, 2000)
    XCTAssertEqual(total.busyCycles, [200, 0, 600, 0, 900, 400])
    XCTAssertEqual(total.bound, .dispatch)
  }

  func testARunIsCountedByCommand() throws {
    let card = try Card(transport: SimulatedTransport(bus: WormholeEmulator()))
    defer { card.close() }
    let a = try card.allocate(rows: 1024, columns: 1024, format: .bfloat16)
    let weight = try card.allocate(rows: 1024, columns: 1024, format: .bfloat16)
    let out = try card.allocate(rows: 1024, columns: 1024, format: .bfloat16)
    let ones = [Float](repeating: 1, count: 1024 * 1024)
    try card.upload(ones, to: a)
    try card.upload(ones, to: weight)
    var builder = CommandBuilder(for: card)
    try builder.linear(a, weight, into: out)
    builder.nothing()
    let list = try card.load(builder)
    XCTAssertTrue(card.transport.startProfile())
    let run = try card.run(list)
    XCTAssertEqual(run.estimates.count, list.commands.count)

    // Documented throughput allows no less; 80 tiles, one MVMUL a cycle.
    let cost = list.commands.map(\.cost)
    let estimate = try XCTUnwrap(run.estimates.first)
    XCTAssertGreaterThanOrEqual(
      Double(estimate.cycles), 1000 * cost[0].microsecondsAtLeast(clock: 1000))
    XCTAssertGreaterThanOrEqual(estimate.busyCycles[0], cost[0].productsOfBusiestTile)
    XCTAssertLessThan(estimate.busyCycles[0], 2 * cost[0].productsOfBusiestTile)
    let total = CommandEstimate.total(run.estimates)
    XCTAssertGreaterThan(total.cycles, estimate.cycles)
    XCTAssertEqual(try card.run(list).estimates.count, list.commands.count, "again")

    var report = card.report(on: list)
    report.estimates = run.estimates
    XCTAssertTrue(report.description.contains("bound by"), report.description)

    let profile = try XCTUnwrap(card.transport.takeProfile())
    let json = try JSONSerialization.jsonObject(with: Data(profile.traceEvents.utf8))
    let events = try XCTUnwrap((json as? [String: Any])?["traceEvents"] as? [[String: Any]])
    XCTAssertEqual(events.filter { $0["ph"] as? String == "X" }.count, 2 * list.commands.count)
    XCTAssertGreaterThan(events.filter { $0["ph"] as? String == "C" }.count, 6)
    XCTAssertNil(card.transport.takeProfile())
  }
}
