import CTTDevice
import Foundation
import XCTest

@testable import Wormhole

/// A kernel driver with one Wormhole card, made of this process's memory.
///
/// It stands below the shim: requests arrive as the bytes that a kernel would get. The card is one
/// sparse file with L1, registers and DRAM of every tile; pointing a window maps the place it points
/// to where the window is, so what goes through a window is there for all others. A multicast is
/// spread, and the firmware answers, when the driver is next called.
final class FakeCard: @unchecked Sendable {
  // MARK: What kind of card

  var version: (api: UInt32, major: UInt8, minor: UInt8) = (2, 2, 10)
  var identity: (vendor: UInt16, device: UInt16) = (0x1E52, 0x401E)
  /// Bit i is the i-th row from the edges of the chip inwards.
  var harvesting: UInt32 = 0
  var hasIOMMU = true
  var hugePages: Set<Int32> = [21]
  var windowsOfOthers = 0
  /// Requests that this driver does not know.
  var unknown: Set<UInt> = []
  /// Tiles that do not stop, and tiles that multicasts do not reach.
  var stuck: Set<TileCoordinate> = []
  var deaf: Set<TileCoordinate> = []
  var bootCode: UInt32 = 0xC0DE_2000

  // MARK: What was seen

  private(set) var requests: [SentRequest] = []
  private(set) var maps: [(offset: UInt64, size: UInt64)] = []
  private(set) var messages: [UInt32] = []
  private(set) var hostMemoryNodes: [Int32] = []
  private(set) var trace: [String] = []
  /// What must never happen to a card, in words.
  private(set) var sins: [String] = []

  // MARK: What is held

  private(set) var openDescriptors: [Int32] = []
  private(set) var locks: [UInt8: Int32] = [:]
  private(set) var pins: [UInt64: (size: UInt64, owner: Int32)] = [:]
  private(set) var mapped: [UnsafeMutableRawPointer: Mapping] = [:]
  private(set) var hostMemories: [UnsafeMutableRawPointer: UInt64] = [:]
  private(set) var windows: [UInt32: Window] = [:]
  private(set) var cleanup: [UInt8]?
  private var buffers: [UInt64] = []

  struct Mapping {
    let size: UInt64
    let offset: UInt64
    let owner: Int32
  }

  struct Window {
    let size: UInt64
    let owner: Int32
    var address: UInt64 = 0
    var tile: TileCoordinate?
    var isMulticast = false
  }

  private enum Presence { case there, offTheBus, reset }
  private var presence = Presence.there

  private let file: Int32
  private let view: UnsafeMutableRawPointer
  private let poison: [UInt32]

  private static let tileStride = 32 << 20
  private static let registersOfTile = 16 << 20
  private static let dram = 120 * tileStride
  private static let allMemory = dram + 6 * (2 << 30)
  private static let allRegisters = allMemory + (2 << 20)
  private static let bar = allRegisters + (1 << 20)
  private static let size = bar + (3 << 20)
  private static let softReset = registersOfTile + 0x121B0
  private static let poisonWord: UInt32 = 0x5EED_C0DE
  private static let dramPorts: [[(Int, Int)]] = [
    [(0, 0), (0, 1), (0, 11)], [(0, 5), (0, 6), (0, 7)], [(5, 0), (5, 1), (5, 11)],
    [(5, 2), (5, 9), (5, 10)], [(5, 3), (5, 4), (5, 8)], [(5, 5), (5, 6), (5, 7)],
  ]
  private nonisolated(unsafe) static var nextDescriptor: Int32 = 2_000_000

  init() throws {
    let shared = "/dev/shm"  // memory, where there is any
    let folder = access(shared, W_OK) == 0 ? shared : NSTemporaryDirectory()
    var name = Array("\(folder)/FakeCardXXXXXX".utf8CString)
    file = mkstemp(&name)
    unlink(name)
    XCTAssertEqual(ftruncate(file, off_t(Self.size)), 0)
    let start = mmap(nil, Self.size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
    view = try XCTUnwrap(start == MAP_FAILED ? nil : start)
    poison = [UInt32](repeating: Self.poisonWord, count: 1024)
    for page in stride(from: Self.allMemory, to: Self.bar, by: 4096) {
      (view + page).copyMemory(from: poison, byteCount: 4096)
    }
  }

  deinit {
    munmap(view, Self.size)
    Foundation.close(file)
  }

  // MARK: A look at the card

  func word(_ tile: TileCoordinate, _ address: UInt64) -> UInt32 {
    settle()
    return (view + place(tile, address)).load(as: UInt32.self)
  }

  func setWord(_ value: UInt32, _ tile: TileCoordinate, _ address: UInt64) {
    settle()
    (view + place(tile, address)).storeBytes(of: value, as: UInt32.self)
  }

  static let allTiles = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11].flatMap { y in
    [1, 2, 3, 4, 6, 7, 8, 9].map { x in TileCoordinate(x: x, y: y) }
  }

  private var liveTiles: [TileCoordinate] {
    let rows = [11, 1, 10, 2, 9, 3, 8, 4, 7, 5].enumerated()
      .filter { harvesting >> $0.offset & 1 == 1 }.map(\.element)
    return Self.allTiles.filter { !rows.contains($0.y) }
  }

  private func place(_ tile: TileCoordinate, _ address: UInt64) -> Int {
    if Self.allTiles.contains(tile) {
      let base = (tile.y * 10 + tile.x) * Self.tileStride
      if address < 16 << 20 { return base + Int(address) }
      if (0xFFB0_0000..<0xFFC0_0000).contains(address) {
        return base + Self.registersOfTile + Int(address - 0xFFB0_0000)
      }
    }
    let controller = Self.dramPorts.firstIndex { $0.contains { $0 == (tile.x, tile.y) } }
    if let controller, address < 2 << 30 {
      return Self.dram + controller * (2 << 30) + Int(address)
    }
    sins.append("reached 0x\(String(address, radix: 16)) of \(tile)")
    return Self.bar
  }

  /// Tiles that are not held in reset.
  var running: [TileCoordinate] {
    settle()
    return liveTiles.filter {
      (view + place($0, 0) + Self.softReset).load(as: UInt32.self) & 0x47800 != 0x47800
    }
  }

  /// Programs that a dead process left: every tile runs.
  func startTiles() {
    for tile in liveTiles {
      (view + place(tile, 0) + Self.softReset).storeBytes(of: 0, as: UInt32.self)
    }
  }

  // MARK: What happens to a card

  /// From now on every read gives all ones.
  func fallOffTheBus() {
    presence = .offTheBus
    for (start, mapping) in mapped where !buffers.contains(mapping.offset) { remap(start) }
  }

  /// Somebody else resets the card: mappings vanish, requests answer ENODEV until it is opened anew.
  func resetBySomebody() {
    presence = .reset
    for (start, mapping) in mapped where !buffers.contains(mapping.offset) { remap(start) }
  }

  /// The reset is over.
  func recover() { presence = .there }

  private func remap(_ start: UnsafeMutableRawPointer) {
    guard let mapping = mapped[start] else { return }
    switch presence {
    case .there:
      let window = windows.first { Self.offset(of: $0.key) == Self.bar0(mapping.offset) }
      guard let window = window?.value else { return }
      map(Int(mapping.size), at: start, place(of: window))
    case .offTheBus:
      map(Int(mapping.size), at: start, nil)
      memset(start, 0xFF, Int(mapping.size))
    case .reset:
      // Behind the end of an empty file.
      let empty = tmpfile()
      let result = mmap(
        start, Int(mapping.size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fileno(empty), 0)
      XCTAssertEqual(result, start)
      fclose(empty)
    }
  }

  private func place(of window: Window) -> Int {
    if window.isMulticast {
      return window.address < 2 << 20 ? Self.allMemory : Self.allRegisters
    }
    guard let tile = window.tile else { return Self.bar }
    return place(tile, window.address)
  }

  private func map(_ size: Int, at start: UnsafeMutableRawPointer, _ place: Int?) {
    let flags = place == nil ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED
    let result = mmap(
      start, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, place == nil ? -1 : file,
      off_t(place ?? 0))
    XCTAssertEqual(result, start)
  }

  /// Spreads what was multicast, and lets the firmware answer.
  private func settle() {
    for (region, size, base) in [
      (Self.allMemory, 2 << 20, 0 as UInt64), (Self.allRegisters, 1 << 20, 0xFFB0_0000),
    ] {
      for page in stride(from: 0, to: size, by: 4096)
      where memcmp(view + region + page, poison, 4096) != 0 {
        for offset in stride(from: page, to: page + 4096, by: 4) {
          let word = (view + region + offset).load(as: UInt32.self)
          if word == Self.poisonWord { continue }
          for tile in liveTiles where !deaf.contains(tile) {
            (view + place(tile, base + UInt64(offset))).storeBytes(of: word, as: UInt32.self)
          }
        }
        (view + region + page).copyMemory(from: poison, byteCount: 4096)
      }
    }
    for tile in stuck {
      (view + place(tile, 0) + Self.softReset).storeBytes(of: 0x7000, as: UInt32.self)
    }
    // The firmware: scratch registers, from 0x1FF30060.
    let scratch = view + Self.bar + 0x23_0060
    scratch.storeBytes(of: bootCode, as: UInt32.self)
    let control = scratch + 0xA0
    if control.load(as: UInt32.self) & 1 << 16 != 0 {
      let message = (scratch + 0x14).load(as: UInt32.self)
      if message & 0xFF00 != 0xAA00 { sins.append("ARC message 0x\(String(message, radix: 16))") }
      messages.append(message & 0xFF)
      let answers: [UInt32: UInt32] = [0x57: harvesting, 0x34: 1000, 0x52: 0, 0x54: 0]
      (scratch + 0xC).storeBytes(of: answers[message & 0xFF] ?? 0, as: UInt32.self)
      let known = answers[message & 0xFF] != nil
      (scratch + 0x14).storeBytes(of: known ? message & 0xFF : .max, as: UInt32.self)
      control.storeBytes(of: control.load(as: UInt32.self) & ~(1 << 16), as: UInt32.self)
    }
  }

  // MARK: The driver

  var calls: DriverCalls {
    var calls = DriverCalls()
    calls.open = { _ in self.open() }
    calls.close = { self.close($0) }
    calls.map = { descriptor, offset, size, start in
      self.map(descriptor, offset, size, &start)
    }
    calls.unmap = { self.unmap($0, $1) }
    calls.mapHostMemory = { size, pageLog2, node, start in
      self.hostMemoryNodes.append(node)
      if pageLog2 > 12 && !self.hugePages.contains(pageLog2) { return -ENOMEM }
      let result = tt_map_host_memory(size, 12, -1, &start)
      if let start { self.hostMemories[start] = size }
      return result
    }
    calls.yield = { self.settle() }
    #if DEBUG
      calls.trace = { self.trace.append($0) }
    #endif
    return calls
  }

  /// Memory as of a huge page, which takes no room before it is used.
  func addLeanMemory(_ size: UInt64, _ start: inout UnsafeMutableRawPointer?) -> Int32 {
    let memory = mmap(
      nil, Int(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else { return -ENOMEM }
    hostMemories[memory] = size
    start = memory
    return 0
  }

  /// Whether nobody holds anything of the card or for it.
  var isIdle: Bool {
    openDescriptors.isEmpty && locks.isEmpty && pins.isEmpty && mapped.isEmpty && windows.isEmpty
      && hostMemories.isEmpty
  }

  private func open() -> Int32 {
    settle()
    let descriptor = Self.nextDescriptor
    Self.nextDescriptor += 1
    openDescriptors.append(descriptor)
    answerRequests(on: descriptor) { self.answer(descriptor, $0, $1) }
    return descriptor
  }

  private func close(_ descriptor: Int32) -> Int32 {
    settle()
    answerRequests(on: descriptor, with: nil)
    guard openDescriptors.contains(descriptor) else { return -EBADF }
    if mapped.values.contains(where: { $0.owner == descriptor }) {
      sins.append("closed with mappings, which keep the file open")
    }
    openDescriptors.removeAll { $0 == descriptor }
    locks = locks.filter { $0.value != descriptor }
    windows = windows.filter { $0.value.owner != descriptor }
    if pins.contains(where: { $0.value.owner == descriptor }) { checkStopped("closed with a pin") }
    pins = pins.filter { $0.value.owner != descriptor }
    buffers = []
    cleanup = nil
    return 0
  }

  private func map(
    _ descriptor: Int32, _ offset: UInt64, _ size: UInt64, _ start: inout UnsafeMutableRawPointer?
  ) -> Int32 {
    settle()
    if presence == .reset { return -ENODEV }
    let memory = mmap(
      nil, Int(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else { return -ENOMEM }
    if let place = Self.bar0(offset),
      mapped.values.contains(where: { Self.bar0($0.offset) == place })
    {
      sins.append("mapped twice: 0x\(String(offset, radix: 16))")
    }
    if offset < 1 << 36 {
      if offset != 0x1FD0_0000 || size != 3 << 20 { sins.append("mapped \(size) of BAR 0") }
      map(Int(size), at: memory, Self.bar)
    }
    maps.append((offset, size))
    mapped[memory] = Mapping(size: size, offset: offset, owner: descriptor)
    start = memory
    return 0
  }

  private func unmap(_ start: UnsafeMutableRawPointer, _ size: UInt64) -> Int32 {
    settle()
    if let mapping = mapped.removeValue(forKey: start) {
      if mapping.size != size { sins.append("unmapped a part") }
      if buffers.contains(mapping.offset) { checkStopped("unmapped the buffer") }
    } else if hostMemories.removeValue(forKey: start) != nil {
      if pins[UInt64(UInt(bitPattern: start))] != nil { sins.append("unmapped pinned memory") }
    } else {
      sins.append("unmapped what was not mapped")
    }
    return tt_unmap(start, size)
  }

  /// Memory may come and go only while no tile runs.
  private func checkStopped(_ what: String) {
    if presence == .there, !running.isEmpty {
      sins.append("\(what) while \(running.count) tiles ran")
    }
  }

  private static let sizes: [UInt: Int] = [
    0xFA00: 24, 0xFA02: 8 + 8 * 24, 0xFA03: 64, 0xFA05: 16, 0xFA07: 40, 0xFA08: 16, 0xFA0A: 24,
    0xFA0B: 48, 0xFA0C: 4, 0xFA0D: 48, 0xFA0E: 32, 0xFA0F: 40,
  ]

  /// Where in BAR 0 an offset for mmap leads; nil for a buffer's.
  private static func bar0(_ offset: UInt64) -> UInt64? {
    offset < 8 << 36 ? offset % (1 << 36) : nil
  }

  private static func offset(of window: UInt32) -> UInt64 {
    switch window {
    case 0..<156: UInt64(window) << 20
    case 156..<166: 0x9C0_0000 + UInt64(window - 156) << 21
    default: 0xB00_0000 + UInt64(window - 166) << 24
    }
  }

  private func answer(
    _ descriptor: Int32, _ number: UInt, _ argument: UnsafeMutableRawPointer
  ) -> Int32 {
    settle()
    guard let size = Self.sizes[number], !unknown.contains(number) else { return ENOTTY }
    requests.append(
      SentRequest(
        number: number, bytes: Array(UnsafeRawBufferPointer(start: argument, count: size))))
    if presence == .reset { return ENODEV }
    func get<T: BitwiseCopyable>(_ offset: Int, as type: T.Type) -> T {
      argument.loadUnaligned(fromByteOffset: offset, as: type)
    }
    func put<T: BitwiseCopyable>(_ value: T, _ offset: Int) {
      argument.storeBytes(of: value, toByteOffset: offset, as: T.self)
    }
    switch number {
    case 0xFA00:
      put(20 as UInt32, 4)
      put(identity.vendor, 8)
      put(identity.device, 10)
      put(0x18 as UInt16, 14)
      put(0x0100 as UInt16, 16)
    case 0xFA02:
      for (index, id) in [1, 2].enumerated() as EnumeratedSequence<[UInt32]> {
        put(id, 8 + 24 * index)
        put(UInt64(id - 1) << 36, 16 + 24 * index)
        put(512 << 20 as UInt64, 24 + 24 * index)
      }
    case 0xFA03:
      put(0x1234_0000 as UInt64, 24)
      buffers.append(0xF0_0000_0000 << 4)
      put(0xF0_0000_0000 << 4 as UInt64, 32)
      put(get(0, as: UInt32.self), 40)
      put(0x8_0000_0000 as UInt64, 48)
      checkPinning()
    case 0xFA05:
      put(version.api, 8)
      put(version.major, 12)
      put(version.minor, 13)
    case 0xFA07:
      let start = get(8, as: UInt64.self)
      if pins[start]?.size == get(16, as: UInt64.self) { return EEXIST }
      if pins.count == 16 { return ENOSPC }
      let pages = get(16, as: UInt64.self) >> 12
      if !hasIOMMU && pages > 1 && hugePages.isEmpty { return EINVAL }
      checkPinning()
      pins[start] = (get(16, as: UInt64.self), descriptor)
      put(start, 24)
      put(0x8_0000_0000 as UInt64, 32)
    case 0xFA08:
      let index = get(8, as: UInt8.self)
      switch get(4, as: UInt32.self) {
      case 0:
        put(locks[index] == nil ? 1 : 0 as UInt8, 12)
        if locks[index] == nil { locks[index] = descriptor }
      case 1:
        put(locks[index] == descriptor ? 1 : 0 as UInt8, 12)
        if locks[index] == descriptor { locks[index] = nil }
      default: return EINVAL
      }
    case 0xFA0A:
      let start = get(0, as: UInt64.self)
      guard let pin = pins[start], pin.size == get(8, as: UInt64.self) else { return EINVAL }
      checkStopped("unpinned")
      pins[start] = nil
    case 0xFA0B:
      let size = get(0, as: UInt64.self)
      let kinds: [UInt64: Range<UInt32>] = [
        1 << 20: 0..<156, 2 << 20: 156..<166, 16 << 20: 166..<185,
      ]
      guard let ids = kinds[size] else { return EINVAL }
      guard let id = ids.dropFirst(windowsOfOthers).first(where: { windows[$0] == nil }) else {
        return ENOMEM
      }
      windows[id] = Window(size: size, owner: descriptor)
      put(id, 16)
      put(6 << 36 + Self.offset(of: id), 24)
      put(7 << 36 + Self.offset(of: id), 32)
    case 0xFA0C:
      let id = get(0, as: UInt32.self)
      guard windows[id]?.owner == descriptor else { return EPERM }
      if mapped.values.contains(where: { Self.bar0($0.offset) == Self.offset(of: id) }) {
        return EBUSY
      }
      windows[id] = nil
    case 0xFA0D:
      let id = get(0, as: UInt32.self)
      guard var window = windows[id], window.owner == descriptor else { return EPERM }
      window.address = get(8, as: UInt64.self)
      if window.address % window.size != 0 || window.address >= 1 << 36 { return EINVAL }
      window.isMulticast = get(25, as: UInt8.self) == 1
      window.tile = TileCoordinate(
        x: Int(get(16, as: UInt16.self)), y: Int(get(18, as: UInt16.self)))
      let start = TileCoordinate(
        x: Int(get(20, as: UInt16.self)), y: Int(get(22, as: UInt16.self)))
      let expected =
        window.isMulticast ? TileCoordinate(x: 1, y: 1) : TileCoordinate(x: 0, y: 0)
      if start != expected { sins.append("a window starts at \(start)") }
      windows[id] = window
      let there = mapped.first { Self.bar0($0.value.offset) == Self.offset(of: id) }
      if let there {
        if presence == .there {
          map(Int(there.value.size), at: there.key, place(of: window))
        } else {
          remap(there.key)
        }
      }
    case 0xFA0E:
      cleanup =
        get(8, as: UInt8.self) == 1
        ? Array(UnsafeRawBufferPointer(start: argument, count: size)) : nil
    case 0xFA0F: break
    default: return EINVAL
    }
    return 0
  }

  private func checkPinning() {
    checkStopped("pinned")
    if locks[17] == nil { sins.append("pinned without the lock") }
    if cleanup == nil && !unknown.contains(0xFA0E) { sins.append("pinned without the cleanup") }
  }
}
