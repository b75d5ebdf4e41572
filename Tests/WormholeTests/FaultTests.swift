import CTTDevice
import Foundation
import XCTest

@testable import TensixISA
@testable import Wormhole
@testable import WormholeEmulator

/// What the runtime makes of a card that fails: an error or the right result, soon; and on the next
/// card everything is right.
final class FaultTests: XCTestCase {
  /// Of each kind; in debug builds, which take their time, fewer.
  private static let points =
    ProcessInfo.processInfo.environment["PI0KIT_FAULT_POINTS"].flatMap(Int.init) ?? defaultPoints
  #if DEBUG
    private static let defaultPoints = 10
  #else
    private static let defaultPoints = 200
  #endif
  /// For runs that may never finish, of which that is seen at once. A right one takes milliseconds.
  private static let deadline = Duration.seconds(5)

  private var random = SeededGenerator()

  /// A session from boot to close. Returns what was read, and lets `meanwhile` know when the list has
  /// been rung for.
  private func session(
    on transport: any Transport, deadline: Duration = .seconds(30), checksProducts: Bool = false
  ) throws -> [Float] {
    let card: Card
    do {
      card = try Card(transport: transport, checksProducts: checksProducts)
    } catch {
      transport.close()
      throw error
    }
    defer { card.close() }
    let (list, out, buffer) = try prepare(card)
    try card.run(list, deadline: deadline)
    let sent = try card.values(of: buffer)
    let read = try card.download(out)
    XCTAssertEqual(sent.count, read.count)
    return sent + read
  }

  /// A product, a sum and a copy to the host.
  private func prepare(
    _ card: Card
  ) throws -> (list: CommandList, out: Matrix, buffer: HostBuffer) {
    var values = Values(seed: 51)
    let a = try card.matrix(values.array(40 * 96), rows: 40, columns: 96)
    let b = try card.matrix(values.array(96 * 200), rows: 96, columns: 200)
    let product = try card.allocate(rows: 40, columns: 200)
    let out = try card.allocate(rows: 40, columns: 200)
    let buffer = try card.allocateHostBuffer(for: out)
    var builder = CommandBuilder(for: card)
    try builder.linear(a, b, activation: .gelu, into: product)
    try builder.binary(.add, product, product, into: out)
    try builder.download(out, to: buffer)
    return (try card.load(builder), out, buffer)
  }

  private func session(_ faults: Faults, deadline: Duration = .seconds(30)) throws -> [Float] {
    let emulator = try WormholeEmulator(faults: faults)
    return try session(on: SimulatedTransport(bus: emulator), deadline: deadline)
  }

  /// What is right, and how far a session goes.
  private func measured() throws -> (
    values: [Float], end: (accesses: Int, requests: Int, clock: UInt64)
  ) {
    let emulator = try WormholeEmulator()
    let values = try session(on: SimulatedTransport(bus: emulator))
    XCTAssertGreaterThan(values.count(where: { $0 != 0 }), 1000)
    return (values, emulator.progress)
  }

  /// Runs a session with each of many faults.
  ///
  /// - Parameters:
  ///   - mayBeWrong: whether nobody can see the fault.
  ///   - fails: at least how many of 200 sessions must notice.
  ///   - deadline: of a run.
  private func tryOut(
    _ name: String, fails: Int, mayBeWrong: Bool = false, deadline: Duration = deadline,
    _ fault: ((accesses: Int, requests: Int, clock: UInt64)) -> Faults
  ) throws {
    let (right, end) = try measured()
    var failures: [String: Int] = [:]
    for point in 0..<Self.points {
      let faults = fault(end)
      let start = ContinuousClock.now
      do {
        let values = try session(faults, deadline: deadline)
        if !mayBeWrong {
          XCTAssertTrue(values == right, "\(name) \(point), \(faults): wrong without an error")
        }
      } catch let error as CardError {
        XCTAssertFalse(error.remedy.isEmpty, "\(error)")
        if failures[error.call, default: 0] == 0 { print("\(name): \(error)") }
        failures[error.call, default: 0] += 1
      }
      XCTAssertLessThan(
        ContinuousClock.now - start, .seconds(10), "\(name) \(point), \(faults): too late")
      XCTAssertTrue(try session(Faults()) == right, "\(name) \(point): the next card")
    }
    let count = failures.values.reduce(0, +)
    print("\(name): \(count) of \(Self.points) sessions failed, \(failures)")
    XCTAssertGreaterThanOrEqual(count * 200, fails * Self.points, name)
  }

  func testCardGoesOffTheBus() throws {
    // The host sees ones, but not that nothing will happen.
    try tryOut("off the bus", fails: 190, deadline: .milliseconds(100)) { end in
      var faults = Faults()
      faults.goneAtAccess = .random(in: 0..<end.accesses, using: &random)
      return faults
    }
  }

  func testTileStops() throws {
    try tryOut("a tile stops", fails: 100) { end in
      let tiles = CardLayout(harvestedRows: [], aiClock: nil).tiles
      var faults = Faults()
      faults.stoppedTile = (
        tiles[.random(in: 0..<tiles.count, using: &random)],
        .random(in: 0..<end.clock, using: &random)
      )
      return faults
    }
  }

  func testLostResponse() throws {
    try tryOut("a response is lost", fails: 100) { end in
      var faults = Faults()
      faults.lostResponse = .random(in: 0..<end.requests, using: &random)
      return faults
    }
  }

  /// Programs wait for what is late; nothing fails.
  func testLateResponse() throws {
    try tryOut("a response is late", fails: 0) { end in
      var faults = Faults()
      faults.lateResponse = (
        .random(in: 0..<end.requests, using: &random), .random(in: 1...100_000, using: &random)
      )
      return faults
    }
  }

  /// Nobody can see what a bit was, but the list of commands and the cards' other memory are there too.
  func testBitsFlip() throws {
    try tryOut("bits of DRAM flip", fails: 0, mayBeWrong: true) { end in
      var faults = Faults()
      for _ in 0..<8 {
        let channel = DRAMChannel.all[.random(in: 0..<12, using: &random)]
        faults.flips.append(
          Faults.BitFlip(
            port: channel.ports[0],
            address: channel.offset + (1 << 20) + .random(in: 0..<20_000, using: &random),
            bit: .random(in: 0..<8, using: &random),
            clock: .random(in: 0..<end.clock, using: &random)))
      }
      return faults
    }
  }

  func testClockStalls() throws {
    try tryOut("the clock stalls", fails: 100) { end in
      var faults = Faults()
      faults.stalledAt = .random(in: 0..<end.clock, using: &random)
      return faults
    }
  }

  /// The host's process ends in the middle of a list: nothing is written to memory that is no longer
  /// its. Whoever opens the card next finds it right, or hears that the master's coprocessor, which no
  /// reset of cores reaches, was stopped in the middle of a command.
  func testProcessEnds() throws {
    let (right, end) = try measured()
    var emulator = try WormholeEmulator()
    var refusals = 0
    for point in 0..<Self.points {
      let transport = try SimulatedTransport(bus: emulator)
      let card = try Card(transport: transport, checksProducts: false)
      let (list, _, _) = try prepare(card)
      try card.ring(list: list.base, count: list.commands.count)
      try emulator.run(cycles: .random(in: 0..<end.clock, using: &random))
      let stray = emulator.strayBytes
      transport.abandon()
      try emulator.run(cycles: 1_000_000)
      XCTAssertEqual(emulator.strayBytes, stray, "\(point)")
      do {
        // As every card is opened: the products that are checked then show what was left behind.
        let values = try session(
          on: SimulatedTransport(bus: emulator), deadline: Self.deadline, checksProducts: true)
        XCTAssertTrue(values == right, "\(point): wrong without an error")
      } catch let error as CardError {
        if refusals == 0 { print("process ends: \(error)") }
        refusals += 1
        emulator = try WormholeEmulator()
      }
    }
    print("process ends: the next one was refused \(refusals) times of \(Self.points)")
    XCTAssertLessThan(refusals, Self.points / 2 + 1)
  }

  #if arch(x86_64)
    /// A call into the driver fails, once, while the card is opened or used.
    func testDriverCallFails() throws {
      let (right, _) = try measured()
      let first = Failure(at: .max)
      let emulator = try WormholeEmulator()
      XCTAssertEqual(try drivenSession(emulator, first), right)
      var failures: [String: Int] = [:]
      for point in 0..<Self.points {
        let failure = Failure(at: .random(in: 0..<first.count, using: &random))
        let fresh = try WormholeEmulator()
        do {
          let values = try drivenSession(fresh, failure)
          XCTAssertEqual(values, right, "\(point), \(failure.name)")
        } catch let error as CardError {
          XCTAssertFalse(error.remedy.isEmpty, "\(error)")
          failures[error.call, default: 0] += 1
        }
        // What the call left of the card is good for the next process.
        XCTAssertEqual(
          try session(on: SimulatedTransport(bus: fresh)), right, "\(point), \(failure.name)")
      }
      print("driver calls: \(failures) of \(Self.points) sessions failed")
      XCTAssertGreaterThan(failures.values.reduce(0, +), Self.points / 4)
    }

    private func drivenSession(
      _ emulator: WormholeEmulator, _ failure: Failure
    ) throws -> [Float] {
      let driver = try SimulatedCard(bus: emulator)
      // What a card that did not stop keeps, it keeps until its process ends.
      defer {
        driver.die()
        driver.end()
      }
      let transport = try KernelDriverTransport(
        card: 0, under: CardDiscovery.Roots(devices: "/dev/none", classes: "/sys/none"),
        calls: failure.calls(of: driver))
      return try session(on: transport)
    }
  #endif
}

/// The same points in each run of the tests.
private struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64 = 61

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ state >> 33) &* 0xFF51_AFD7_ED55_8CCD
  }
}

#if arch(x86_64)
  /// The call, counted from 0, that fails.
  private final class Failure: @unchecked Sendable {
    private let index: Int
    private(set) var count = 0
    private(set) var name = ""

    init(at index: Int) { self.index = index }

    private func fails(_ name: String) -> Int32? {
      defer { count += 1 }
      guard count == index else { return nil }
      self.name = name
      return [-EIO, -ENOMEM, -EINVAL][count % 3]
    }

    func calls(of driver: SimulatedCard) -> DriverCalls {
      var calls = driver.calls
      let real = calls
      calls.open = { self.fails("open") ?? real.open($0) }
      calls.deviceInfo = { self.fails("GET_DEVICE_INFO") ?? real.deviceInfo($0, &$1) }
      calls.driverInfo = { self.fails("GET_DRIVER_INFO") ?? real.driverInfo($0, &$1) }
      calls.mappings = { self.fails("QUERY_MAPPINGS") ?? real.mappings($0, &$1) }
      calls.lock = { self.fails("LOCK_CONTROL") ?? real.lock($0, $1, $2, &$3) }
      calls.allocateWindow = { self.fails("ALLOCATE_TLB") ?? real.allocateWindow($0, $1, &$2) }
      calls.configureWindow = { self.fails("CONFIGURE_TLB") ?? real.configureWindow($0, $1, $2) }
      calls.setCleanup = { self.fails("SET_NOC_CLEANUP") ?? real.setCleanup($0, $1, $2, $3) }
      calls.pin = { self.fails("PIN_PAGES") ?? real.pin($0, $1, $2, &$3) }
      calls.map = { self.fails("mmap") ?? real.map($0, $1, $2, &$3) }
      calls.mapHostMemory = { self.fails("mmap") ?? real.mapHostMemory($0, $1, $2, &$3) }
      return calls
    }
  }
#endif
