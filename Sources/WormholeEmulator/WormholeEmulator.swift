import TensixISA
import Wormhole

/// A Wormhole card in software: put it under a ``SimulatedTransport``.
///
/// Effects happen at once, in an order that is always the same; each core and each thread of a
/// coprocessor has a clock, which documented throughputs advance. Whoever waits is left alone until
/// something changes that he looks at. What a program does that a card does not do, or not reliably,
/// stops the card: from then on every access throws an error that holds the ``EmulatorError``.
///
/// One thread at a time uses a card; there may be many cards.
package final class WormholeEmulator: SimulatedBus {
  package let name: String

  let grid: Grid
  let dram: DRAM
  private(set) var tiles: [Tile] = []
  var network = Network()
  private var recorder = WorkRecorder()
  var host = HostLink()

  private var identity = PCIIdentity()
  private var windows = Windows()
  private var firmware: Firmware
  var faults: FaultState

  private let trace = Trace.ofEnvironment()

  /// Cycles that have passed, as the host sees it.
  private(set) var now: UInt64 = 0
  /// Whether nobody can go on until the host writes something.
  private var isIdle = true
  /// What the card has stopped with.
  package private(set) var error: EmulatorError?

  /// A card whose tiles are held in reset.
  ///
  /// - Parameters:
  ///   - name: of the card in errors.
  ///   - harvestedRows: rows of NoC 0, 1 to 5 and 7 to 11, whose Tensix tiles are off.
  ///   - faults: what is to go wrong.
  /// - Throws: ``CardError`` where there is no such row, or no address space for DRAM.
  package init(
    name: String = "emulator", harvestedRows: [Int] = [], faults: Faults = Faults()
  ) throws(CardError) {
    self.name = name
    self.faults = FaultState(faults)
    guard harvestedRows.allSatisfy((1...11).contains), !harvestedRows.contains(6) else {
      throw CardError(
        card: name, call: "open", seen: "harvested rows \(harvestedRows)",
        remedy: "Tensix tiles are in rows 1 to 5 and 7 to 11")
    }
    let rows = Set(harvestedRows).sorted()
    grid = Grid(harvestedRows: rows)
    firmware = Firmware(harvestedRows: rows)
    dram = try DRAM()
    tiles = grid.tiles.map { Tile($0, of: self) }
    if let trace { tiles.forEach(trace.attach) }
  }

  /// Accesses of the host, requests of tiles to the NoCs and cycles so far: where faults can be.
  package var progress: (accesses: Int, requests: Int, clock: UInt64) {
    (faults.accesses, faults.requests, now)
  }

  /// What the NoCs have carried so far.
  package var networkCounters: NetworkCounters { network.counters }

  // MARK: - Time

  /// How far the clocks of actors may be apart.
  private static let quantum: UInt64 = 256
  /// Cycles between two looks of the host.
  private static let hostCycles: UInt64 = 5000

  package func advance() throws(CardError) { try run(cycles: Self.hostCycles) }

  /// Lets time pass; less where nobody can go on.
  package func run(cycles: UInt64) throws(CardError) {
    if let error { throw cardError(error, "run") }
    if faults.isGone { return }
    let end = min(now + cycles, faults.faults.stalledAt ?? .max)
    guard now < end else { return }
    while true {
      if let event = faults.nextEvent, event <= now { try takeFaults() }
      if isIdle {
        guard let event = faults.nextEvent, event < end else { break }
        now = max(now, event)
        try takeFaults()
        isIdle = false
      }
      var lowest = UInt64.max
      for tile in tiles {
        if let clock = tile.lowestClock { lowest = min(lowest, clock) }
      }
      if lowest == .max {
        isIdle = true
        continue
      }
      if lowest >= end { break }
      let horizon = min(lowest + Self.quantum, end)
      do throws(EmulatorError) {
        for tile in tiles { try tile.run(until: horizon) }
      } catch {
        throw stop(error, "run")
      }
      now = max(now, horizon)
      recorder.observe(self, clock: now)
    }
    now = end
  }

  private func takeFaults() throws(CardError) {
    let (late, stopped, flips) = faults.take(upTo: now)
    for tile in tiles where tile.coordinate == stopped { tile.isStopped = true }
    do throws(Violation) {
      for respond in late { try respond() }
      for flip in flips {
        let place = Grid.Place(x: flip.port.x, y: flip.port.y)
        guard case .dram(let controller) = grid[place] else { continue }
        let byte = try dram.place(controller, flip.address, 1)
        byte.storeBytes(of: byte.load(as: UInt8.self) ^ 1 << UInt8(flip.bit & 7), as: UInt8.self)
      }
    } catch {
      throw stop(EmulatorError(tile: nil, actor: .host, clock: now, error), "run")
    }
  }

  package func takeEstimates() -> [CommandEstimate] { recorder.takeEstimates() }

  package func startProfile() -> Bool {
    recorder.startProfile(self, clock: now)
    return true
  }

  package func takeProfile() -> WorkProfile? { recorder.takeProfile() }

  package var standstill: String? {
    guard error == nil, !faults.isGone else { return nil }
    if now >= faults.faults.stalledAt ?? .max { return "the clock stands still" }
    guard isIdle, faults.nextEvent == nil else { return nil }
    // Tiles that wait alike, in one line.
    var order: [String] = []
    var groups: [String: [TileCoordinate]] = [:]
    for tile in tiles {
      let waits = tile.waits
      if waits.isEmpty { continue }
      if groups[waits] == nil { order.append(waits) }
      groups[waits, default: []].append(tile.coordinate)
    }
    if order.isEmpty { return "all are in reset" }
    return order.prefix(8).map { waits in
      let tiles = groups[waits] ?? []
      return "\(tiles.count) tiles from \(tiles.first.map(\.description) ?? ""): \(waits)"
    }.joined(separator: "\n  ")
  }

  // MARK: - The bus

  package func readConfiguration(_ offset: UInt32) throws(CardError) -> UInt32 {
    faults.isGone ? .max : identity.word(at: offset)
  }

  package func read(
    _ address: UInt64, into bytes: UnsafeMutableRawBufferPointer
  ) throws(CardError) {
    try access("read") { () throws(Violation) in
      if faults.isGone {
        bytes.initializeMemory(as: UInt8.self, repeating: 0xFF)
        return
      }
      let offset = try identity.offset(address, bytes.count)
      if offset < Windows.byteCount {
        let target = try windows.target(offset, bytes.count)
        guard target.start == nil else {
          throw Violation("a read of all tiles", remedy: "read one tile at a time")
        }
        return try fetch(
          bytes, from: grid.place(target.end, noc: 0), at: target.address)
      }
      try word(offset, bytes.count)
      for start in stride(from: 0, to: bytes.count, by: 4) {
        let offset = offset + UInt32(start)
        let value =
          Windows.registers.contains(offset) ? windows.read(offset) : try firmware.read(offset)
        bytes.storeBytes(of: value, toByteOffset: start, as: UInt32.self)
      }
    }
  }

  package func write(_ bytes: UnsafeRawBufferPointer, _ address: UInt64) throws(CardError) {
    try access("write") { () throws(Violation) in
      if faults.isGone { return }
      let offset = try identity.offset(address, bytes.count)
      if offset < Windows.byteCount {
        let target = try windows.target(offset, bytes.count)
        let end = try grid.place(target.end, noc: 0)
        if let start = target.start {
          try multicast(
            bytes, from: grid.place(start, noc: 0), to: end, at: target.address)
        } else {
          try deliver(bytes, to: end, at: target.address, clock: now)
        }
        isIdle = false
        return
      }
      try word(offset, bytes.count)
      for start in stride(from: 0, to: bytes.count, by: 4) {
        let value = bytes.loadUnaligned(fromByteOffset: start, as: UInt32.self)
        let offset = offset + UInt32(start)
        if Windows.registers.contains(offset) {
          windows.write(offset, value)
        } else {
          try firmware.write(offset, value)
        }
      }
    }
  }

  private func word(_ offset: UInt32, _ count: Int) throws(Violation) {
    guard offset % 4 == 0, count == 4 || count == 8 && offset % 8 == 0 else {
      throw Violation(
        "\(count) bytes at BAR 0 + \(offset.hexadecimal)",
        remedy: "registers take aligned words alone")
    }
  }

  package func attachHostMemory(_ memory: UnsafeMutableRawBufferPointer) throws(CardError) {
    guard host.attach(memory) else {
      throw CardError(
        card: name, call: "open", seen: "the card has host memory already",
        remedy: "share its transport, or close it first")
    }
  }

  package func detachHostMemory() { host.detach() }

  package var strayBytes: Int { host.strayBytes }

  // MARK: - Tiles from outside

  /// Writes that came over a NoC or from the host.
  func deliver(
    _ bytes: UnsafeRawBufferPointer, to place: Grid.Place, at address: UInt64, clock: UInt64
  ) throws(Violation) {
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    switch grid[place] {
    case .tensix(let index):
      let tile = tiles[index]
      guard address >= UInt64(L1.byteCount) else {
        try tile.l1.checkWrite(UInt32(address), UInt32(truncatingIfNeeded: bytes.count))
        (tile.l1.memory + Int(address)).copyMemory(from: start, byteCount: bytes.count)
        tile.l1.didWrite(UInt32(address), UInt32(bytes.count), clock: clock)
        return
      }
      guard bytes.count == 4, address % 4 == 0 else {
        throw Violation(
          "a write of \(bytes.count) bytes at 0x\(String(address, radix: 16)) of tile "
            + "\(tile.coordinate)", remedy: "stay within L1, or write words of registers")
      }
      try tile.storeShared(bytes.loadUnaligned(as: UInt32.self), address, clock: clock)
    case .dram(let controller):
      let place = try dram.place(controller, address, bytes.count)
      place.copyMemory(from: start, byteCount: bytes.count)
      dram.didWrite(controller, address, bytes.count)
    case .pcie:
      try host.write(bytes, address)
    case let node: throw Self.unreachable(node, place)
    }
  }

  /// Reads of the host.
  private func fetch(
    _ bytes: UnsafeMutableRawBufferPointer, from place: Grid.Place, at address: UInt64
  ) throws(Violation) {
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    switch grid[place] {
    case .tensix(let index):
      let tile = tiles[index]
      guard address >= UInt64(L1.byteCount) else {
        try tile.l1.checkWrite(UInt32(address), UInt32(truncatingIfNeeded: bytes.count))
        start.copyMemory(from: tile.l1.memory + Int(address), byteCount: bytes.count)
        return
      }
      guard bytes.count == 4, address % 4 == 0 else {
        throw Violation(
          "a read of \(bytes.count) bytes at 0x\(String(address, radix: 16)) of tile "
            + "\(tile.coordinate)", remedy: "stay within L1, or read words of registers")
      }
      var clock = now
      start.storeBytes(of: try tile.loadShared(address, clock: &clock), as: UInt32.self)
    case .dram(let controller):
      start.copyMemory(
        from: try dram.place(controller, address, bytes.count), byteCount: bytes.count)
    case .pcie: try host.read(address, into: start, bytes.count)
    case let node: throw Self.unreachable(node, place)
    }
  }

  /// A write of the host to all tiles that are on in a rectangle.
  private func multicast(
    _ bytes: UnsafeRawBufferPointer, from start: Grid.Place, to end: Grid.Place, at address: UInt64
  ) throws(Violation) {
    func isTensix(_ place: Grid.Place) -> Bool {
      switch grid[place] {
      case .tensix, .harvested: true
      default: false
      }
    }
    guard start.x <= end.x, start.y <= end.y, isTensix(start), isTensix(end) else {
      throw Violation(
        "a window's multicast from (\(start.x), \(start.y)) to (\(end.x), \(end.y))",
        remedy: "begin and end at Tensix tiles, the one with the lower coordinates first")
    }
    for y in start.y...end.y {
      for x in start.x...end.x {
        let place = Grid.Place(x: x, y: y)
        if case .tensix = grid[place] { try deliver(bytes, to: place, at: address, clock: now) }
      }
    }
  }

  static func unreachable(_ node: Grid.Node, _ place: Grid.Place) -> Violation {
    switch node {
    case .harvested:
      Violation(
        "an access to tile (\(place.x), \(place.y)), which is harvested",
        remedy: "use the tiles that the card has")
    default:
      Violation(
        "an access to (\(place.x), \(place.y)), which is \(node)",
        remedy: "Tensix tiles, DRAM and the PCIe tile are modelled")
    }
  }

  // MARK: - Errors

  private func access(_ call: String, _ body: () throws(Violation) -> Void) throws(CardError) {
    faults.countAccess()
    if let error { throw cardError(error, call) }
    do throws(Violation) {
      try body()
    } catch {
      throw stop(EmulatorError(tile: nil, actor: .host, clock: now, error), call)
    }
  }

  private func stop(_ error: EmulatorError, _ call: String) -> CardError {
    self.error = error
    return cardError(error, call)
  }

  private func cardError(_ error: EmulatorError, _ call: String) -> CardError {
    CardError(
      card: name, call: call, seen: "\(error)",
      remedy: "this is an error of the program that runs on the card; open a new card")
  }
}
