internal import CTTDevice
import Glibc

/// A card behind the kernel driver, `/dev/tenstorrent/N`.
///
/// A process that dies leaves its tiles running, and what they still write to the host lands in
/// memory that is somebody else's by then. So opening goes in this order, each step only after the
/// one before: take the card's lock; hold every tile in reset and read each back; have the kernel
/// hold the first tile, should this process die; and only then pin memory. Closing holds all tiles
/// before it gives the memory back.
///
/// The kernel writes one word to one tile, before it takes the memory away. A tile that is writing to
/// the host at that moment finishes its transfer, so programs should write little at a time, and
/// ask a word that ``setExitWrite(_:to:at:)`` clears before each.
package final class KernelDriverTransport: Transport {
  package let name: String
  package let layout: CardLayout
  package let hostMemory: HostMemory

  package let notes: [String]

  private let connection: DriverConnection
  private let registers: RegisterMapping
  private let windows: CardWindows
  private let memory: PinnedMemory
  private let attributes: String
  private let nearestCores: [Int]
  private let isBusy: Bool
  private var carried = TransportCounters()
  private var isOpen = true
  /// Why the card cannot be used any more.
  private var loss: CardError?

  /// Any of the 64, the same for all programs of this kind.
  private static let lock: UInt8 = 17

  /// Opens card `index`, stops what runs on it, and pins memory.
  ///
  /// - Throws: ``CardError`` where there is no such card, no permission, too old a driver, somebody
  ///   who has the card, no window or no memory to be had, or a tile that does not stop.
  package convenience init(card index: Int = 0) throws(CardError) {
    try self.init(card: index, under: CardDiscovery.Roots(), calls: .kernel)
  }

  init(
    card index: Int, under roots: CardDiscovery.Roots, calls: DriverCalls
  ) throws(CardError) {
    let path = "\(roots.devices)/\(index)"
    var notes: [String] = []
    name = path
    attributes = "\(roots.classes)/tenstorrent!\(index)"
    connection = try Self.open(index, under: roots, calls: calls)

    let device = try connection.device()
    try connection.require(device)
    let info = try connection.driver()
    let version = info.api >= 2 ? DriverVersion(info) : nil
    try connection.require(version, api: info.api)
    if let version, !version.isRecommended {
      notes.append("driver \(version): \(DriverVersion.recommended) or later is recommended")
    }

    guard try connection.acquireLock(Self.lock) else {
      throw CardError(
        card: path, call: "LOCK_CONTROL",
        seen: "in use by \(CardHolders.all(of: index, under: roots))",
        remedy: "end that one first, or use another card")
    }
    // They do not ask for the lock: tools that look, or a program of another kind.
    if let others = CardHolders.others(of: index, under: roots) {
      notes.append("also open in \(others), whose programs on the card were stopped")
    }
    let isPowered = Self.wake(connection)
    registers = try RegisterMapping(connection)
    let arc = ManagementProcessor(registers: registers)
    layout = CardLayout(
      harvestedRows: try arc.harvestedRows(), aiClock: Int(try arc.ask(.aiClock)))
    guard let first = layout.tiles.first else {
      throw CardError(
        card: path, call: "ARC message", seen: "all rows of tiles harvested",
        remedy: "reset the card with tt-smi -r")
    }
    do throws(CardError) {
      windows = try CardWindows(connection)
    } catch {
      throw Self.explained(error, card: index, under: roots)
    }
    try windows.holdTiles(layout)

    let isStopped = try Self.setCleanup(
      connection, TileMemory.allHeld, to: first, at: TileMemory.softReset)
    if !isStopped {
      notes.append("driver \(version?.description ?? "2.0"): the card runs on if this process dies")
    }

    let node = SystemFiles.text(at: "\(attributes)/device/numa_node").flatMap { Int($0) }
    memory = try PinnedMemory.first(connection, node: node)
    notes.append("host memory: \(memory.kind)")
    hostMemory = HostMemory(
      start: memory.start, count: Int(memory.size), address: memory.address, card: path)

    // Firmware without power states raises its clock for a message.
    isBusy = !isPowered && (try? arc.ask(.goBusy)) != nil
    self.notes = notes
    let address = PCIAddress(
      domain: device.pci_domain, busDeviceFunction: device.bus_device_function)
    nearestCores =
      MachineTopology()?.cores(nearest: address, node: node.flatMap { $0 < 0 ? nil : $0 }) ?? []
  }

  deinit { close() }

  /// Opens the file, and tells a card that is not there from one that may not be used.
  private static func open(
    _ index: Int, under roots: CardDiscovery.Roots, calls: DriverCalls
  ) throws(CardError) -> DriverConnection {
    do throws(CardError) {
      return try DriverConnection(opening: "\(roots.devices)/\(index)", calls: calls)
    } catch {
      let cards = (try? SystemFiles.names(in: roots.classes)) ?? []
      if error.code != ENOENT || cards.contains("tenstorrent!\(index)") { throw error }
      throw CardError(
        card: error.card, call: error.call, seen: "no such card",
        remedy: "pi0 devices lists the cards; where there should be one, lspci -d 1e52: tells "
          + "whether the machine sees it, and modprobe tenstorrent loads the driver")
    }
  }

  /// Asks for what a run needs: tiles, DRAM and their full clock. Whether the card was asked so;
  /// drivers before 2.8 and firmware without the message cannot be, and need not.
  private static func wake(_ connection: DriverConnection) -> Bool {
    let flags = TT_POWER_MAX_AI_CLOCK | TT_POWER_MRISC_PHY | TT_POWER_TENSIX
    return (try? connection.setPower(count: 4, flags: UInt16(flags))) != nil
  }

  /// Whether the driver took it; 2.0 and 2.1 do not know the request.
  private static func setCleanup(
    _ connection: DriverConnection, _ value: UInt32, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) -> Bool {
    do throws(CardError) {
      try connection.setCleanup(value, to: tile, at: address)
      return true
    } catch {
      guard let code = error.code, [ENOTTY, EINVAL, EOPNOTSUPP].contains(code) else { throw error }
      return false
    }
  }

  /// Names the processes that hold the windows.
  private static func explained(
    _ error: CardError, card index: Int, under roots: CardDiscovery.Roots
  ) -> CardError {
    guard error.call == "ALLOCATE_TLB", error.code == ENOMEM else { return error }
    var error = error
    error.seen =
      "no window left, the card is open in \(CardHolders.all(of: index, under: roots))"
    error.remedy = "end a process that uses the card"
    return error
  }

  package func bindThread() throws(CardError) {
    guard isOpen else { throw .closed(name, call: "bind") }
    guard let topology = MachineTopology(), !nearestCores.isEmpty else { return }
    let result = topology.bindThread(to: nearestCores)
    if result < 0 { throw CardError(card: name, call: "sched_setaffinity", code: -result) }
  }

  package func telemetry() -> CardTelemetry { CardTelemetry(attributes: attributes) }

  // MARK: Transport

  package var counters: TransportCounters {
    var counters = carried
    counters.windowMoves = windows.moves
    return counters
  }

  package func write(
    _ bytes: UnsafeRawBufferPointer, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    try use("write") { () throws(CardError) in
      let kind = try check("write", tile, at: address, count: bytes.count)
      try windows.write(bytes, kind, to: tile, at: address)
    }
    carried.writes += 1
    carried.bytesWritten += bytes.count
  }

  package func read(
    into bytes: UnsafeMutableRawBufferPointer, from tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    try use("read") { () throws(CardError) in
      let kind = try check("read", tile, at: address, count: bytes.count)
      try windows.read(into: bytes, kind, from: tile, at: address)
      // All ones may be data, or no card.
      if bytes.last == .max {
        try ManagementProcessor(registers: registers).checkPresence("read")
      }
    }
    carried.reads += 1
    carried.bytesRead += bytes.count
  }

  package func multicast(_ bytes: UnsafeRawBufferPointer, at address: UInt64) throws(CardError) {
    try use("multicast") { () throws(CardError) in
      let kind = try TileMemory.checkMulticast(
        at: address, count: bytes.count, layout: layout, card: name)
      try windows.multicast(bytes, kind, at: address)
    }
    carried.writes += 1
    carried.bytesWritten += bytes.count
  }

  package func ring(
    _ words: [UInt32], at tile: TileCoordinate, address: UInt64
  ) throws(CardError) {
    try use("ring") { () throws(CardError) in
      try TileMemory.checkWord(at: address, call: "ring", card: name)
      _ = try check("ring", tile, at: address, count: words.count * 4)
      try windows.ring(words, at: tile, address: address)
    }
    carried.writes += 1
    carried.bytesWritten += words.count * 4
  }

  package func setExitWrite(
    _ value: UInt32, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    try use("exit write") { () throws(CardError) in
      try TileMemory.checkWord(at: address, call: "exit write", card: name)
      _ = try check("exit write", tile, at: address, count: 4)
      _ = try Self.setCleanup(connection, value, to: tile, at: address)
    }
  }

  package func advance() { connection.calls.yield() }

  private func check(
    _ call: String, _ tile: TileCoordinate, at address: UInt64, count: Int
  ) throws(CardError) -> TileMemory.Kind {
    try TileMemory.check(tile, at: address, count: count, call: call, layout: layout, card: name)
  }

  /// Runs `body` unless the card was closed or lost, and remembers a loss.
  private func use(_ call: String, _ body: () throws(CardError) -> Void) throws(CardError) {
    guard isOpen else { throw .closed(name, call: call) }
    if let loss { throw loss }
    do throws(CardError) {
      try body()
    } catch {
      if error.isLoss { loss = error }
      throw error
    }
  }

  // MARK: Closing

  package func close() {
    guard isOpen else { return }
    isOpen = false
    hostMemory.invalidate()
    do throws(CardError) {
      if loss == nil { try windows.holdTiles(layout) }
    } catch {
      // A card that is gone writes nothing any more. One that is there and does not stop may: it
      // keeps its memory until the process ends.
      if !error.isLoss {
        connection.abandon()
        return
      }
      loss = error
    }
    if loss == nil {
      if isBusy { _ = try? ManagementProcessor(registers: registers).ask(.goLongIdle) }
      try? connection.clearCleanup()
    }
    memory.unpin(connection)
    windows.close()
    registers.close()
    connection.close()
    memory.release(connection)
  }
}
