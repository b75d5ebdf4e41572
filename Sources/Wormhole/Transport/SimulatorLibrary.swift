import Glibc
import Synchronization

/// The official simulator, one `libttsim.so` in this process. `TT_METAL_SIMULATOR` names its path.
///
/// The library is one to a process and runs on until the process ends, as a card does: opening it
/// again finds what was left in its memories. A violation inside it prints a line `ERROR` and ends
/// the process.
package struct SimulatorLibrary: SimulatedBus, @unchecked Sendable {
  package let name: String
  private let clock: @convention(c) (UInt32) -> Void
  private let configuration: @convention(c) (UInt32, UInt32) -> UInt32
  private let readBytes: @convention(c) (UInt64, UnsafeMutableRawPointer, UInt32) -> Void
  private let writeBytes: @convention(c) (UInt64, UnsafeRawPointer, UInt32) -> Void

  /// The path in `TT_METAL_SIMULATOR`; nil where it is unset or empty.
  package static var environmentPath: String? {
    guard let path = getenv("TT_METAL_SIMULATOR"), path.pointee != 0 else { return nil }
    return String(cString: path)
  }

  /// By handle: a second start of the same library would end the process.
  private static let running = Mutex<[UnsafeMutableRawPointer: SimulatorLibrary]>([:])

  /// Loads and starts the library at `path`, or takes the running one.
  ///
  /// - Throws: ``CardError`` where `path` names no simulator of a Wormhole card.
  package static func load(
    _ path: String? = environmentPath
  ) throws(CardError) -> SimulatorLibrary {
    guard let path else {
      throw CardError(
        card: "simulator", call: "getenv", seen: "TT_METAL_SIMULATOR is not set",
        remedy: "set it to the path of libttsim.so")
    }
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
        name: path, clock: try symbol("clock", of: handle, path),
        configuration: try symbol("pci_config_rd32", of: handle, path),
        readBytes: try symbol("pci_mem_rd_bytes", of: handle, path),
        writeBytes: try symbol("pci_mem_wr_bytes", of: handle, path))
      let start: @convention(c) () -> Void = try symbol("init", of: handle, path)
      let stop: @convention(c) () -> Void = try symbol("exit", of: handle, path)
      let connectHost: ConnectHost = try symbol("set_pci_dma_mem_callbacks", of: handle, path)
      connectHost(
        { SimulatedHost.read($0, $1, Int($2)) },
        { SimulatedHost.write($0, $1, Int($2)) })
      start()
      let identity = library.configuration(0, 0)
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

  // MARK: The bus

  package func readConfiguration(_ offset: UInt32) -> UInt32 { configuration(0, offset) }

  package func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) {
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    readBytes(address, start, UInt32(truncatingIfNeeded: bytes.count))
  }

  package func write(_ bytes: UnsafeRawBufferPointer, _ address: UInt64) {
    guard let start = bytes.baseAddress, !bytes.isEmpty else { return }
    writeBytes(address, start, UInt32(truncatingIfNeeded: bytes.count))
  }

  package func advance() { clock(200) }

  package func attachHostMemory(_ memory: UnsafeMutableRawBufferPointer) throws(CardError) {
    let place = UInt(bitPattern: memory.baseAddress)
    guard simulatedHost.withLock({ $0.attach(place, memory.count) }) else {
      throw CardError(
        card: name, call: "open", seen: "the simulator is open in this process already",
        remedy: "share that one, or close it first")
    }
  }

  package func detachHostMemory() { simulatedHost.withLock { $0.detach() } }

  package var strayBytes: Int { simulatedHost.withLock { $0.strayBytes } }
}

/// The host's memory as the simulated card reaches it; bus address 0 is the first pinned byte.
private struct SimulatedHost {
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

private let simulatedHost = Mutex(SimulatedHost())
