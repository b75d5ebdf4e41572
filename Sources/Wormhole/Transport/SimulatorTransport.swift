internal import CTTDevice
import Glibc
import Synchronization

/// The official simulator, `libttsim.so`, in this process. `TT_METAL_SIMULATOR` names its path.
///
/// The library is one to a process and runs on until the process ends, as a card does: opening it
/// again finds what was left in its memories. A violation inside it prints a line `ERROR` and ends
/// the process.
package final class SimulatorTransport: Transport, CardRegisters {
  package let name: String
  package let notes: [String] = []
  package let hostMemory: HostMemory
  package private(set) var layout: CardLayout
  package private(set) var counters = TransportCounters()

  private let library: SimulatorLibrary
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

  /// The path in `TT_METAL_SIMULATOR`; nil where it is unset or empty.
  package static var environmentPath: String? {
    guard let path = getenv("TT_METAL_SIMULATOR"), path.pointee != 0 else { return nil }
    return String(cString: path)
  }

  /// Loads the simulator, or takes the running one.
  ///
  /// - Throws: ``CardError`` where `path` names no simulator of a Wormhole card, or one that this
  ///   process has open already.
  package init(path: String? = environmentPath) throws(CardError) {
    guard let path else {
      throw CardError(
        card: "simulator", call: "getenv", seen: "TT_METAL_SIMULATOR is not set",
        remedy: "set it to the path of libttsim.so")
    }
    name = path
    library = try SimulatorLibrary.load(path)
    bar =
      UInt64(library.readConfiguration(0, 0x14)) << 32
      | UInt64(library.readConfiguration(0, 0x10) & ~0xF)

    var start: UnsafeMutableRawPointer?
    let result = tt_map_host_memory(UInt64(Self.hostBytes), 12, -1, &start)
    guard let start else { throw CardError(card: path, call: "mmap", code: -result) }
    let place = UInt(bitPattern: start)
    guard simulatedHost.withLock({ $0.attach(place, Self.hostBytes) }) else {
      tt_unmap(start, UInt64(Self.hostBytes))
      throw CardError(
        card: path, call: "open", seen: "the simulator is open in this process already",
        remedy: "share that one, or close it first")
    }
    memory = start
    hostMemory = HostMemory(
      start: start, count: Self.hostBytes, address: Self.hostAddress, card: path)
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
    simulatedHost.withLock { $0.detach() }
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

  package func advance() { library.clock(200) }

  package func bindThread() throws(CardError) {
    guard isOpen else { throw .closed(name, call: "bind") }
  }

  package func telemetry() -> CardTelemetry {
    var telemetry = CardTelemetry()
    telemetry.aiClock = layout.aiClock
    return telemetry
  }

  /// Bytes that tiles wrote behind the PCIe tile where no memory was pinned, since the process
  /// began. On a real machine each is somebody else's memory overwritten.
  package static var strayBytes: Int { simulatedHost.withLock { $0.strayBytes } }

  // MARK: Registers

  func readRegister(at offset: UInt32) -> UInt32 {
    var value: UInt32 = 0
    library.readBytes(bar + UInt64(offset), &value, 4)
    return value
  }

  func writeRegister(_ value: UInt32, at offset: UInt32) {
    var value = value
    library.writeBytes(bar + UInt64(offset), &value, 4)
  }

  func pause() { advance() }

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
  ) -> (address: UInt64, room: Int) {
    var configuration = address >> Self.windowBits | 1 << 38  // strict order
    switch destination {
    case .tile(let tile):
      configuration |= UInt64(tile.x) << 12 | UInt64(tile.y) << 18
    case .allTiles:
      // From (1, 1) to (9, 11), multicast.
      configuration |= 9 << 12 | 11 << 18 | 1 << 24 | 1 << 30 | 1 << 37
    }
    if configuration != target {
      target = configuration
      library.writeBytes(bar + Self.windowConfiguration, &configuration, 8)
      counters.windowMoves += 1
    }
    let offset = address & Self.windowMask
    return (bar + Self.windowOffset + offset, Int(Self.windowMask + 1 - offset))
  }

  /// Calls `move` with every part of `count` bytes that can go at once.
  private func transfer(
    _ count: Int, _ kind: TileMemory.Kind, at address: UInt64, _ destination: Destination,
    _ move: (_ bus: UInt64, _ offset: Int, _ count: UInt32) -> Void
  ) {
    var done = 0
    while done < count {
      let (bus, room) = point(at: address + UInt64(done), destination)
      let part = min(kind == .registers ? 4 : room, room, count - done)
      move(bus, done, UInt32(part))
      done += part
    }
  }

  // MARK: Transport

  package func write(
    _ bytes: UnsafeRawBufferPointer, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    let kind = try check("write", tile, at: address, count: bytes.count)
    write(bytes, kind, at: address, .tile(tile))
  }

  private func write(
    _ bytes: UnsafeRawBufferPointer, _ kind: TileMemory.Kind, at address: UInt64,
    _ destination: Destination
  ) {
    counters.writes += 1
    counters.bytesWritten += bytes.count
    guard let start = bytes.baseAddress else { return }
    transfer(bytes.count, kind, at: address, destination) { bus, offset, count in
      library.writeBytes(bus, start + offset, count)
    }
  }

  package func read(
    into bytes: UnsafeMutableRawBufferPointer, from tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    let kind = try check("read", tile, at: address, count: bytes.count)
    counters.reads += 1
    counters.bytesRead += bytes.count
    guard let start = bytes.baseAddress else { return }
    transfer(bytes.count, kind, at: address, .tile(tile)) { bus, offset, count in
      library.readBytes(bus, start + offset, count)
    }
  }

  package func multicast(_ bytes: UnsafeRawBufferPointer, at address: UInt64) throws(CardError) {
    guard isOpen else { throw .closed(name, call: "multicast") }
    let kind = try TileMemory.checkMulticast(
      at: address, count: bytes.count, layout: layout, card: name)
    write(bytes, kind, at: address, .allTiles)
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

/// The functions of one `libttsim.so`.
struct SimulatorLibrary: @unchecked Sendable {
  let clock: @convention(c) (UInt32) -> Void
  let readConfiguration: @convention(c) (UInt32, UInt32) -> UInt32
  let readBytes: @convention(c) (UInt64, UnsafeMutableRawPointer, UInt32) -> Void
  let writeBytes: @convention(c) (UInt64, UnsafeRawPointer, UInt32) -> Void

  /// By handle: a second start of the same library would end the process.
  private static let running = Mutex<[UnsafeMutableRawPointer: SimulatorLibrary]>([:])

  /// Loads and starts the library at `path`, once.
  static func load(_ path: String) throws(CardError) -> SimulatorLibrary {
    let result = running.withLock { running in
      Result { () throws(CardError) in try load(path, &running) }
    }
    return try result.get()
  }

  private static func load(
    _ path: String, _ running: inout [UnsafeMutableRawPointer: SimulatorLibrary]
  ) throws(CardError) -> SimulatorLibrary {
    guard let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) else {
      throw CardError(
        card: path, call: "dlopen", seen: dlerror().map { String(cString: $0) } ?? "unknown error",
        remedy: "set TT_METAL_SIMULATOR to the path of libttsim.so")
    }
    if let library = running[handle] {
      dlclose(handle)
      return library
    }
    do throws(CardError) {
      let library = SimulatorLibrary(
        clock: try symbol("clock", of: handle, path),
        readConfiguration: try symbol("pci_config_rd32", of: handle, path),
        readBytes: try symbol("pci_mem_rd_bytes", of: handle, path),
        writeBytes: try symbol("pci_mem_wr_bytes", of: handle, path))
      let start: @convention(c) () -> Void = try symbol("init", of: handle, path)
      let stop: @convention(c) () -> Void = try symbol("exit", of: handle, path)
      let connectHost: ConnectHost = try symbol("set_pci_dma_mem_callbacks", of: handle, path)
      connectHost(
        { SimulatedHost.read($0, $1, Int($2)) },
        { SimulatedHost.write($0, $1, Int($2)) })
      start()
      let identity = library.readConfiguration(0, 0)
      guard identity == 0x401E_1E52 else {
        stop()
        throw CardError(
          card: path, call: "PCI configuration",
          seen: "0x\(hexadecimal(identity, digits: 8)), the simulator of another card",
          remedy: "take the Wormhole build of libttsim.so")
      }
      running[handle] = library
      return library
    } catch {
      dlclose(handle)
      throw error
    }
  }

  private typealias ConnectHost =
    @convention(c) (
      @convention(c) (UInt64, UnsafeMutableRawPointer, UInt32) -> Void,
      @convention(c) (UInt64, UnsafeRawPointer, UInt32) -> Void
    ) -> Void

  private static func symbol<Function>(
    _ name: String, of handle: UnsafeMutableRawPointer, _ path: String
  ) throws(CardError) -> Function {
    guard let address = dlsym(handle, "libttsim_\(name)") else {
      throw CardError(
        card: path, call: "dlsym", seen: "no function libttsim_\(name)",
        remedy: "set TT_METAL_SIMULATOR to a libttsim.so of version 1.9 or later")
    }
    return unsafeBitCast(address, to: Function.self)
  }
}

/// The host's memory as the simulated card reaches it; bus address 0 is the first pinned byte.
struct SimulatedHost {
  private var start: UInt?
  private var count = 0
  private(set) var strayBytes = 0

  /// Whether the memory was free to become the card's.
  mutating func attach(_ start: UInt, _ count: Int) -> Bool {
    if self.start != nil { return false }
    (self.start, self.count) = (start, count)
    return true
  }

  mutating func detach() { (start, count) = (nil, 0) }

  /// Where `size` bytes at a bus address are; nil where nothing is pinned.
  func place(_ address: UInt64, _ size: Int) -> UInt? {
    guard let offset = Int(exactly: address), let start, size <= count, offset <= count - size
    else { return nil }
    return start + UInt(offset)
  }

  mutating func countStray(_ size: Int) { strayBytes += size }

  static func read(_ address: UInt64, _ bytes: UnsafeMutableRawPointer, _ size: Int) {
    let place = simulatedHost.withLock { $0.place(address, size) }
    if let place, let place = UnsafeRawPointer(bitPattern: place) {
      bytes.copyMemory(from: place, byteCount: size)
    } else {
      bytes.initializeMemory(as: UInt8.self, repeating: 0xFF, count: size)
    }
  }

  static func write(_ address: UInt64, _ bytes: UnsafeRawPointer, _ size: Int) {
    let place = simulatedHost.withLock { $0.place(address, size) }
    if let place, let place = UnsafeMutableRawPointer(bitPattern: place) {
      place.copyMemory(from: bytes, byteCount: size)
    } else {
      simulatedHost.withLock { $0.countStray(size) }
    }
  }
}

let simulatedHost = Mutex(SimulatedHost())
