import Wormhole

/// What is to go wrong with a card that is otherwise right, to see what the runtime makes of it.
package struct Faults: Sendable {
  /// The host's access, counted from 0, from which on the card is off the bus: reads give ones, writes
  /// go nowhere, and its tiles reach the host no more.
  package var goneAtAccess: Int?

  /// A tile whose cores and coprocessor stop. Its L1 can still be reached.
  package var stoppedTile: (tile: TileCoordinate, clock: UInt64)?

  /// The request of a tile to a NoC, counted from 0, that is carried out and never acknowledged.
  package var lostResponse: Int?

  /// The request of a tile to a NoC that is on its way for some cycles more.
  package var lateResponse: (request: Int, cycles: UInt64)?

  /// Bits of DRAM that change.
  package var flips: [BitFlip] = []

  /// The clock that all tiles stop at.
  package var stalledAt: UInt64?

  package init() {}

  /// A bit of DRAM that changes by itself.
  package struct BitFlip: Sendable {
    package var port: TileCoordinate
    package var address: UInt64
    package var bit: Int
    package var clock: UInt64

    package init(port: TileCoordinate, address: UInt64, bit: Int, clock: UInt64) {
      self.port = port
      self.address = address
      self.bit = bit
      self.clock = clock
    }
  }
}

/// What of a card's ``Faults`` has happened so far.
struct FaultState {
  private(set) var faults: Faults
  /// Accesses of the host.
  private(set) var accesses = 0
  /// Requests of tiles to a NoC.
  private(set) var requests = 0
  /// Responses that are late, by when they come.
  private(set) var late: [(clock: UInt64, respond: () throws(Violation) -> Void)] = []

  init(_ faults: Faults) { self.faults = faults }

  var isGone: Bool { accesses > faults.goneAtAccess ?? .max }

  mutating func countAccess() { accesses += 1 }

  /// What becomes of the response to the next request.
  enum Response { case comes, isLost, isLate(UInt64) }

  mutating func nextResponse() -> Response {
    defer { requests += 1 }
    if requests == faults.lostResponse { return .isLost }
    if let late = faults.lateResponse, requests == late.request { return .isLate(late.cycles) }
    return .comes
  }

  mutating func delay(
    until clock: UInt64, _ respond: @escaping () throws(Violation) -> Void
  ) {
    late.append((clock, respond))
  }

  /// The clock at which something happens by itself next.
  var nextEvent: UInt64? {
    var next = late.map(\.clock).min() ?? .max
    if let stop = faults.stoppedTile { next = min(next, stop.clock) }
    for flip in faults.flips { next = min(next, flip.clock) }
    return next == .max ? nil : next
  }

  /// What happens at or before `clock`, which is then no longer to come.
  mutating func take(
    upTo clock: UInt64
  ) -> (late: [() throws(Violation) -> Void], stopped: TileCoordinate?, flips: [Faults.BitFlip]) {
    let due = late.filter { $0.clock <= clock }.map(\.respond)
    late.removeAll { $0.clock <= clock }
    var stopped: TileCoordinate?
    if let stop = faults.stoppedTile, stop.clock <= clock {
      stopped = stop.tile
      faults.stoppedTile = nil
    }
    let flips = faults.flips.filter { $0.clock <= clock }
    faults.flips.removeAll { $0.clock <= clock }
    return (due, stopped, flips)
  }
}
