internal import CTTDevice
import Glibc

/// A simulated card in this process, on its ``SimulatedBus``.
package final class SimulatedTransport: Transport, CardRegisters {
  package let name: String
  package let notes: [String] = []
  package let hostMemory: HostMemory
  package private(set) var layout: CardLayout
  package private(set) var counters = TransportCounters()

  private let bus: any SimulatedBus
  private let bar: UInt64
  private let memory: UnsafeMutableRawPointer
  private var target: UInt64 = 0
  private var isOpen = true
  private var exitWrite = (
    value: TileMemory.allHeld, tile: TileCoordinate(x: 1, y: 1), address: TileMemory.softReset
  )

  /// Where the first memory that a process pins is seen by the tiles.
  private static let hostAddress: UInt64 = 0x8_0000_0000
  private static let hostBytes = 2 << 20

  /// Stops what runs on the card, and gives it memory of the host.
  ///
  /// - Throws: ``CardError`` where the card has host memory already, or does not answer.
  package init(bus: any SimulatedBus) throws(CardError) {
    self.bus = bus
    name = bus.name
    bar = try bus.firstBAR()
    var start: UnsafeMutableRawPointer?
    let result = tt_map_host_memory(UInt64(Self.hostBytes), 12, -1, &start)
    guard let start else { throw CardError(card: name, call: "mmap", code: -result) }
    do throws(CardError) {
      try bus.attachHostMemory(
        UnsafeMutableRawBufferPointer(start: start, count: Self.hostBytes))
    } catch {
      tt_unmap(start, UInt64(Self.hostBytes))
      throw error
    }
    memory = start
    hostMemory = HostMemory(
      start: start, count: Self.hostBytes, address: Self.hostAddress, card: name)
    layout = CardLayout(harvestedRows: [], aiClock: nil)
    do throws(CardError) {
      let arc = ManagementProcessor(registers: self)
      layout = CardLayout(
        harvestedRows: try arc.harvestedRows(), aiClock: Int(try arc.ask(.aiClock)))
      try multicast([TileMemory.allHeld], at: TileMemory.softReset)
    } catch {
      close()
      throw error
    }
  }

  deinit { close() }

  package func close() {
    guard isOpen else { return }
    try? multicast([TileMemory.allHeld], at: TileMemory.softReset)
    detach()
  }

  private func detach() {
    isOpen = false
    hostMemory.invalidate()
    bus.detachHostMemory()
    tt_unmap(memory, UInt64(Self.hostBytes))
  }

  /// What becomes of a card whose process dies: the kernel does the one write, then takes the memory
  /// away. The tiles run on as ``advance()`` lets time pass.
  package func abandon() {
    guard isOpen else { return }
    try? write32(exitWrite.value, to: exitWrite.tile, at: exitWrite.address)
    detach()
  }

  package func setExitWrite(
    _ value: UInt32, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    try TileMemory.checkWord(at: address, call: "exit write", card: name)
    _ = try check("exit write", tile, at: address, count: 4)
    exitWrite = (value, tile, address)
  }

  package func advance() throws(CardError) { try bus.advance() }

  package var runDeadline: Duration { .seconds(86_400) }

  package var standstill: String? { bus.standstill }

  package func takeEstimates() -> [CommandEstimate] { bus.takeEstimates() }

  package func startProfile() -> Bool { bus.startProfile() }

  package func takeProfile() -> WorkProfile? { bus.takeProfile() }

  package func bindThread() throws(CardError) {
    guard isOpen else { throw .closed(name, call: "bind") }
  }

  package func telemetry() -> CardTelemetry {
    var telemetry = CardTelemetry()
    telemetry.aiClock = layout.aiClock
    return telemetry
  }

  /// Bytes that tiles wrote behind the PCIe tile where no memory was theirs.
  package var strayBytes: Int { bus.strayBytes }

  // MARK: Registers

  func readRegister(at offset: UInt32) throws(CardError) -> UInt32 {
    var value: UInt32 = 0
    let result = withUnsafeMutableBytes(of: &value) { bytes in
      Result { () throws(CardError) in try bus.read(bar + UInt64(offset), into: bytes) }
    }
    try result.get()
    return value
  }

  func writeRegister(_ value: UInt32, at offset: UInt32) throws(CardError) {
    try write(value, to: bar + UInt64(offset))
  }

  private func write<Value: BitwiseCopyable>(
    _ value: Value, to address: UInt64
  ) throws(CardError) {
    let result = withUnsafeBytes(of: value) { bytes in
      Result { () throws(CardError) in try bus.write(bytes, address) }
    }
    try result.get()
  }

  func pause() throws(CardError) { try bus.advance() }

  // MARK: The window, number 166: the first of 16 MiB

  private static let windowBits: UInt64 = 24
  private static let windowMask: UInt64 = 1 << windowBits - 1
  private static let windowOffset: UInt64 = 0xB00_0000
  private static let windowConfiguration: UInt64 = 0x1FC0_0000 + 8 * 166

  private enum Destination {
    case tile(TileCoordinate)
    case allTiles
  }

  /// The bus address of `address` at `destination`, and how many bytes the window has from there.
  private func point(
    at address: UInt64, _ destination: Destination
  ) throws(CardError) -> (address: UInt64, room: Int) {
    var configuration = address >> Self.windowBits | 1 << 38  // strict order
    switch destination {
    case .tile(let tile):
      configuration |= UInt64(tile.x) << 12 | UInt64(tile.y) << 18
    case .allTiles:
      // From (1, 1) to (9, 11), multicast.
      configuration |= 9 << 12 | 11 << 18 | 1 << 24 | 1 << 30 | 1 << 37
    }
    if configuration != target {
      try write(configuration, to: bar + Self.windowConfiguration)
      target = configuration
      counters.windowMoves += 1
    }
    let offset = address & Self.windowMask
    return (bar + Self.windowOffset + offset, Int(Self.windowMask + 1 - offset))
  }

  /// Calls `move` with every part of `count` bytes that can go at once.
  private func transfer(
    _ count: Int, _ kind: TileMemory.Kind, at address: UInt64, _ destination: Destination,
    _ move: (_ address: UInt64, _ range: Range<Int>) throws(CardError) -> Void
  ) throws(CardError) {
    var done = 0
    while done < count {
      let (place, room) = try point(at: address + UInt64(done), destination)
      let part = min(kind == .registers ? 4 : room, room, count - done)
      try move(place, done..<done + part)
      done += part
    }
  }

  // MARK: Transport

  package func write(
    _ bytes: UnsafeRawBufferPointer, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    let kind = try check("write", tile, at: address, count: bytes.count)
    try write(bytes, kind, at: address, .tile(tile))
  }

  private func write(
    _ bytes: UnsafeRawBufferPointer, _ kind: TileMemory.Kind, at address: UInt64,
    _ destination: Destination
  ) throws(CardError) {
    counters.writes += 1
    counters.bytesWritten += bytes.count
    try transfer(bytes.count, kind, at: address, destination) { (place, range) throws(CardError) in
      try bus.write(UnsafeRawBufferPointer(rebasing: bytes[range]), place)
    }
  }

  package func read(
    into bytes: UnsafeMutableRawBufferPointer, from tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    let kind = try check("read", tile, at: address, count: bytes.count)
    counters.reads += 1
    counters.bytesRead += bytes.count
    try transfer(bytes.count, kind, at: address, .tile(tile)) { (place, range) throws(CardError) in
      try bus.read(place, into: UnsafeMutableRawBufferPointer(rebasing: bytes[range]))
    }
    // All ones may be data, or no card.
    if bytes.last == .max { try ManagementProcessor(registers: self).checkPresence("read") }
  }

  package func multicast(_ bytes: UnsafeRawBufferPointer, at address: UInt64) throws(CardError) {
    guard isOpen else { throw .closed(name, call: "multicast") }
    let kind = try TileMemory.checkMulticast(
      at: address, count: bytes.count, layout: layout, card: name)
    try write(bytes, kind, at: address, .allTiles)
  }

  package func ring(
    _ words: [UInt32], at tile: TileCoordinate, address: UInt64
  ) throws(CardError) {
    try TileMemory.checkWord(at: address, call: "ring", card: name)
    try write(words, to: tile, at: address)
  }

  private func check(
    _ call: String, _ tile: TileCoordinate, at address: UInt64, count: Int
  ) throws(CardError) -> TileMemory.Kind {
    guard isOpen else { throw .closed(name, call: call) }
    return try TileMemory.check(
      tile, at: address, count: count, call: call, layout: layout, card: name)
  }
}
