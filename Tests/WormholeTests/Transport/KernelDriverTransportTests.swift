import CTTDevice
import Foundation
import XCTest

@testable import Wormhole

/// The kernel driver's transport on a made-up card: what it asks of the driver, in which order, and
/// what it does when anything goes wrong.
final class KernelDriverTransportTests: XCTestCase {
  private var root = ""

  private var roots: CardDiscovery.Roots {
    CardDiscovery.Roots(
      devices: "\(root)/dev", classes: "\(root)/class", module: "\(root)/module",
      holders: "\(root)/proc")
  }

  override func setUpWithError() throws {
    root = NSTemporaryDirectory() + "KernelDriverTransportTests-\(UUID().uuidString)"
    try write("0\n", to: "class/tenstorrent!0/device/numa_node")
  }

  override func tearDownWithError() throws {
    try FileManager.default.removeItem(atPath: root)
  }

  private func write(_ text: String, to path: String) throws {
    let path = "\(root)/\(path)"
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try text.write(toFile: path, atomically: false, encoding: .utf8)
  }

  private func open(_ card: FakeCard) throws -> KernelDriverTransport {
    try KernelDriverTransport(card: 0, under: roots, calls: card.calls)
  }

  private func open(_ card: FakeCard, _ calls: DriverCalls) throws -> KernelDriverTransport {
    try KernelDriverTransport(card: 0, under: roots, calls: calls)
  }

  /// The error of opening, after which nobody holds anything.
  private func failure(
    _ card: FakeCard, _ calls: DriverCalls? = nil, line: UInt = #line
  ) throws -> CardError {
    var seen: CardError?
    XCTAssertThrowsError(try open(card, calls ?? card.calls), line: line) {
      seen = $0 as? CardError
    }
    XCTAssertTrue(card.isIdle, "something is still held", line: line)
    XCTAssertEqual(card.sins, [], line: line)
    let error = try XCTUnwrap(seen, line: line)
    XCTAssertEqual(error.card, "\(root)/dev/0", line: line)
    XCTAssertFalse(error.remedy.isEmpty, line: line)
    return error
  }

  private func finish(
    _ card: FakeCard, _ transport: KernelDriverTransport, line: UInt = #line
  ) {
    transport.close()
    XCTAssertEqual(card.sins, [], line: line)
    XCTAssertTrue(card.isIdle, "something is still held", line: line)
  }

  // MARK: The whole way

  /// The law: lock, hold and read back every tile, cleanup, pin; hold again before unpinning.
  func testOrder() throws {
    let card = try FakeCard()
    card.startTiles()
    XCTAssertEqual(card.running.count, 80)
    let transport = try open(card)
    XCTAssertEqual(card.running, [])
    XCTAssertEqual(card.sins, [])  // the card watches what pinning and unpinning need

    let numbers = card.requests.map(\.number)
    let rest = numbers.filter { $0 != 0xFA0B && $0 != 0xFA0D }
    XCTAssertEqual(rest, [0xFA00, 0xFA05, 0xFA08, 0xFA0F, 0xFA02, 0xFA0E, 0xFA07])
    let lock = try XCTUnwrap(numbers.firstIndex(of: 0xFA08))
    let firstMove = try XCTUnwrap(numbers.firstIndex(of: 0xFA0D))
    let lastMove = try XCTUnwrap(numbers.lastIndex(of: 0xFA0D))
    let cleanup = try XCTUnwrap(numbers.firstIndex(of: 0xFA0E))
    XCTAssertLessThan(lock, firstMove)
    XCTAssertLessThan(lastMove, cleanup)
    XCTAssertEqual(numbers.last, 0xFA07)

    // Programs run; closing stops them first.
    try transport.multicast([0] as [UInt32], at: TileMemory.softReset)
    XCTAssertEqual(card.running.count, 80)
    finish(card, transport)
    XCTAssertEqual(card.running, [])
    let closing = card.requests.map(\.number).dropFirst(numbers.count)
      .filter { $0 != 0xFA0D && $0 != 0xFA0C }
    XCTAssertEqual(Array(closing), [0xFA0E, 0xFA0A])
  }

  /// The bytes of what opening asks, against the driver's interface.
  func testRequestBytes() throws {
    let card = try FakeCard()
    let transport = try open(card)
    defer { finish(card, transport) }
    func sent(_ number: UInt) -> [[UInt8]] {
      card.requests.filter { $0.number == number }.map(\.bytes)
    }
    XCTAssertEqual(sent(0xFA08), [bytes(.u32(4), .u32(0), .u8(17), .zeros(7))])
    XCTAssertEqual(
      sent(0xFA0E),
      [
        bytes(
          .u32(32), .u32(0), .u8(1), .u8(1), .u8(1), .u8(0), .u32(0), .u64(0xFFB1_21B0),
          .u64(0x47800))
      ])
    XCTAssertEqual(sent(0xFA0F), [bytes(.u32(40), .u32(0), .u8(0), .u8(4), .u16(7), .zeros(28))])
    // Exact sizes; three more for looking at tile after tile.
    XCTAssertEqual(
      sent(0xFA0B), [1, 1, 1, 2, 16, 1, 1, 1].map { bytes(.u64($0 << 20), .zeros(40)) })
    let pin = try XCTUnwrap(sent(0xFA07).first)
    XCTAssertEqual(Array(pin[0..<8]), bytes(.u32(16), .u32(2)))
    XCTAssertEqual(Array(pin[16..<24]), bytes(.u64(2 << 20)))
    XCTAssertEqual(transport.hostMemory.address, 0x8_0000_0000)
    XCTAssertEqual(transport.hostMemory.count, 2 << 20)
    XCTAssertEqual(card.hostMemoryNodes, [0])

    // The first move is the multicast that holds all tiles; then each is looked at.
    let moves = sent(0xFA0D)
    XCTAssertEqual(
      Array(try XCTUnwrap(moves.first)[8..<48]),
      bytes(
        .u64(0xFFB0_0000), .u16(9), .u16(11), .u16(1), .u16(1), .u8(0), .u8(1), .u8(1), .u8(0),
        .u8(0), .zeros(19)))
    XCTAssertEqual(
      Array(try XCTUnwrap(moves.dropFirst().first)[8..<48]),
      bytes(
        .u64(0xFFB0_0000), .u16(1), .u16(1), .u16(0), .u16(0), .u8(0), .u8(0), .u8(1), .u8(0),
        .u8(0), .zeros(19)))
    XCTAssertEqual(moves.count, 81)

    // Registers and words uncached, the rest combined; of BAR 0 its last 3 MiB.
    XCTAssertEqual(card.maps.map { $0.offset >> 36 }, [0, 6, 6, 6, 7, 7, 6, 6, 6])
    XCTAssertEqual(card.maps.map { $0.size >> 20 }, [3, 1, 1, 1, 2, 16, 1, 1, 1])
  }

  func testMemory() throws {
    let card = try FakeCard()
    let transport = try open(card)
    defer { finish(card, transport) }
    try exerciseMemory(of: transport)
    exerciseRefusals(of: transport)
    XCTAssertEqual(transport.counters.reads, 6 * 8 * 2)
    // What is there is there for everybody: the third port of a DRAM controller sees the first's.
    try transport.write32(0xABCD, to: TileCoordinate(x: 0, y: 0), at: 0x100)
    XCTAssertEqual(card.word(TileCoordinate(x: 0, y: 11), 0x100), 0xABCD)
    try transport.write32(0x1234, to: TileCoordinate(x: 9, y: 11), at: 0xFFB1_2000)
    XCTAssertEqual(card.word(TileCoordinate(x: 9, y: 11), 0xFFB1_2000), 0x1234)
  }

  func testMulticastAndRing() throws {
    let card = try FakeCard()
    let transport = try open(card)
    defer { finish(card, transport) }
    try transport.multicast((0..<700).map { UInt32($0) }, at: 0x2000)
    for tile in transport.layout.tiles {
      XCTAssertEqual(card.word(tile, 0x2000 + 4 * 699), 699)
    }
    let tile = TileCoordinate(x: 3, y: 4)
    try transport.ring([7, 8, 9, 10], at: tile, address: 0x2004)
    XCTAssertEqual(try transport.readWords(6, from: tile, at: 0x2000), [0, 7, 8, 9, 10, 5])
    // A doorbell that was rung before costs no request.
    let before = card.requests.count
    try transport.ring([11], at: tile, address: 0x2004)
    XCTAssertEqual(card.requests.count, before)
    XCTAssertEqual(card.word(tile, 0x2004), 11)
  }

  /// Pages go round twelve banks: after the first round no window moves.
  func testWindowsStayWhereTheyAre() throws {
    let card = try FakeCard()
    let transport = try open(card)
    defer { finish(card, transport) }
    let page = [UInt8](repeating: 1, count: 2048)
    let ports = [(0, 0), (0, 5), (5, 0), (5, 2), (5, 3), (5, 5)].map {
      TileCoordinate(x: $0, y: $1)
    }
    func round(_ base: UInt64) throws {
      for port in ports {
        for channel in [0, 0x4000_0000] as [UInt64] {
          try transport.write(page, to: port, at: base + channel)
        }
      }
    }
    try round(0x10_0000)
    let moves = transport.counters.windowMoves
    for index in 1..<50 { try round(0x10_0000 + 2048 * UInt64(index)) }
    XCTAssertEqual(transport.counters.windowMoves, moves)
    XCTAssertEqual(card.windows.values.filter { $0.size == 16 << 20 }.count, 12)
  }

  func testExitWrite() throws {
    let card = try FakeCard()
    var transport = try open(card)
    try transport.setExitWrite(0, to: TileCoordinate(x: 4, y: 7), at: 0x1_8130)
    XCTAssertEqual(
      card.cleanup,
      bytes(
        .u32(32), .u32(0), .u8(1), .u8(4), .u8(7), .u8(0), .u32(0), .u64(0x1_8130), .u64(0)))
    finish(card, transport)
    XCTAssertEqual(
      card.requests.last { $0.number == 0xFA0E }?.bytes, bytes(.u32(32), .zeros(28)))
    card.unknown = [0xFA0E]
    transport = try open(card)
    XCTAssertNoThrow(try transport.setExitWrite(0, to: TileCoordinate(x: 4, y: 7), at: 0x1_8130))
    finish(card, transport)
  }

  func testHarvestedRows() throws {
    for (bits, rows, count) in [
      (0, [], 80), (1 << 0, [11], 72), (1 << 5 | 1 << 9, [3, 5], 64),
      (0x3FE, [1, 2, 3, 4, 5, 7, 8, 9, 10], 8),
    ] as [(UInt32, [Int], Int)] {
      let card = try FakeCard()
      card.harvesting = bits
      let transport = try open(card)
      XCTAssertEqual(transport.layout.harvestedRows, rows)
      XCTAssertEqual(transport.layout.tiles.count, count)
      XCTAssertEqual(transport.layout.aiClock, 1000)
      try transport.multicast([5] as [UInt32], at: 0x40)
      for tile in FakeCard.allTiles {
        let isOn = !rows.contains(tile.y)
        XCTAssertEqual(transport.layout.isOn(tile), isOn)
        XCTAssertEqual(card.word(tile, 0x40), isOn ? 5 : 0)
        if isOn { continue }
        XCTAssertThrowsError(try transport.write32(1, to: tile, at: 0)) {
          XCTAssertEqual(
            ($0 as? CardError)?.seen, "tile \(tile) is harvested or does not exist")
        }
      }
      finish(card, transport)
    }
    let card = try FakeCard()
    card.harvesting = 0x3FF
    XCTAssertEqual(try failure(card).seen, "all rows of tiles harvested")
  }

  func testCloseAndOpenAgain() throws {
    let card = try FakeCard()
    var transport: KernelDriverTransport? = try open(card)
    try transport?.hostMemory.store32(77, at: 0)
    transport.map { finish(card, $0) }
    transport.map(exerciseClosed)
    let again = try open(card)
    XCTAssertEqual(try again.hostMemory.load32(at: 0), 0, "no completion of an earlier run")
    transport = nil
    try again.write32(1, to: TileCoordinate(x: 1, y: 1), at: 0)
    finish(card, again)
    // Forgotten, it closes itself.
    _ = try open(card)
    XCTAssertTrue(card.isIdle)
    XCTAssertEqual(card.sins, [])
  }

  // MARK: Who else has the card

  func testSecondProcess() throws {
    let card = try FakeCard()
    let first = try open(card)
    try write("1\n\(getpid())\n", to: "proc/0/pids")
    var seen: CardError?
    XCTAssertThrowsError(try open(card)) { seen = $0 as? CardError }
    XCTAssertEqual(seen?.call, "LOCK_CONTROL")
    let name = SystemFiles.text(at: "/proc/1/comm").map { " (\($0))" } ?? ""
    XCTAssertEqual(seen?.seen, "in use by process 1\(name)")
    XCTAssertEqual(seen?.remedy, "end that one first, or use another card")

    // Two objects of this process.
    try write("\(getpid())\n\(getpid())\n", to: "proc/0/pids")
    XCTAssertThrowsError(try open(card)) { seen = $0 as? CardError }
    XCTAssertEqual(seen?.seen, "in use by this process, \(getpid())")

    try write("0\n\(getpid())\nnonsense -3\n", to: "proc/0/pids")
    XCTAssertThrowsError(try open(card)) { seen = $0 as? CardError }
    XCTAssertEqual(seen?.seen, "in use by a process of another container")
    try FileManager.default.removeItem(atPath: "\(root)/proc")
    XCTAssertThrowsError(try open(card)) { seen = $0 as? CardError }
    XCTAssertEqual(seen?.seen, "in use by a process of which the driver does not tell")

    // The first one goes on undisturbed.
    XCTAssertEqual(card.openDescriptors.count, 1)
    try first.write32(3, to: TileCoordinate(x: 2, y: 2), at: 8)
    XCTAssertEqual(try first.read32(from: TileCoordinate(x: 2, y: 2), at: 8), 3)
    finish(card, first)
  }

  /// Others that do not ask for the lock.
  func testAlsoOpenElsewhere() throws {
    let card = try FakeCard()
    try write("\(getpid())\n1\n", to: "proc/0/pids")
    let transport = try open(card)
    defer { finish(card, transport) }
    XCTAssertEqual(transport.notes.count, 2)
    XCTAssertTrue(transport.notes[0].hasPrefix("also open in process 1"), transport.notes[0])
  }

  func testNoWindowLeft() throws {
    let card = try FakeCard()
    card.windowsOfOthers = 156
    try write("1\n\(getpid())\n", to: "proc/0/pids")
    let error = try failure(card)
    XCTAssertEqual(error.call, "ALLOCATE_TLB")
    XCTAssertEqual(error.code, ENOMEM)
    XCTAssertTrue(error.seen.hasPrefix("no window left, the card is open in process 1"), error.seen)
    XCTAssertEqual(error.remedy, "end a process that uses the card")
  }

  /// One window of a kind is enough, if slower.
  func testFewWindows() throws {
    let card = try FakeCard()
    card.windowsOfOthers = 9
    let transport = try open(card)
    try exerciseMemory(of: transport)
    XCTAssertEqual(card.windows.values.filter { $0.size == 2 << 20 }.count, 1)
    finish(card, transport)

    card.windowsOfOthers = 0
    var calls = card.calls
    let allocate = calls.allocateWindow
    calls.allocateWindow = { [card] descriptor, size, window in
      card.windows.values.contains { $0.size == size && size > 2 << 20 }
        ? -ENOMEM : allocate(descriptor, size, &window)
    }
    let slow = try open(card, calls)
    try exerciseMemory(of: slow)
    XCTAssertEqual(card.windows.values.filter { $0.size == 16 << 20 }.count, 1)
    finish(card, slow)
  }

  // MARK: No card, no permission, too old

  func testNoCardNoPermission() throws {
    let card = try FakeCard()
    func refusing(_ code: Int32) -> DriverCalls {
      var calls = card.calls
      calls.open = { _ in -code }
      return calls
    }
    var error = try failure(card, refusing(EACCES))
    XCTAssertEqual(error.call, "open")
    XCTAssertTrue(error.remedy.contains("udev"), error.remedy)
    error = try failure(card, refusing(EAGAIN))
    XCTAssertTrue(error.remedy.contains("to itself"), error.remedy)
    error = try failure(card, refusing(ENOENT))  // sysfs has it
    XCTAssertTrue(error.remedy.contains("--device"), error.remedy)
    try FileManager.default.removeItem(atPath: "\(root)/class")
    error = try failure(card, refusing(ENOENT))
    XCTAssertEqual(error.seen, "no such card")
    XCTAssertTrue(error.remedy.contains("modprobe tenstorrent"), error.remedy)

    // The real calls, where there is no such file.
    XCTAssertThrowsError(
      try KernelDriverTransport(card: 0, under: roots, calls: .kernel)
    ) { XCTAssertEqual(($0 as? CardError)?.seen, "no such card") }
  }

  func testDriverVersions() throws {
    let card = try FakeCard()
    for version in [(1, 0, 0), (2, 1, 34)] as [(UInt32, UInt8, UInt8)] {
      card.version = version
      let error = try failure(card)
      XCTAssertEqual(error.call, "GET_DRIVER_INFO")
      XCTAssertTrue(error.remedy.hasPrefix("2.0.0 is needed"), error.remedy)
    }
    // 2.0 has neither cleanup nor power states.
    card.version = (2, 2, 0)
    card.unknown = [0xFA0E, 0xFA0F]
    var transport = try open(card)
    XCTAssertEqual(
      transport.notes,
      [
        "driver 2.0.0: 2.6.0 or later is recommended",
        "driver 2.0.0: the card runs on if this process dies", "host memory: a 2 MiB huge page",
      ])
    XCTAssertEqual(card.messages, [0x57, 0x34, 0x52], "the clock goes up by message")
    finish(card, transport)
    XCTAssertEqual(card.messages, [0x57, 0x34, 0x52, 0x54], "and down again")

    card.version = (2, 2, 8)
    card.unknown = []
    transport = try open(card)
    XCTAssertEqual(transport.notes, ["host memory: a 2 MiB huge page"])
    XCTAssertEqual(card.messages.count, 6)
    finish(card, transport)
  }

  func testNotAWormhole() throws {
    let card = try FakeCard()
    card.identity = (0x1E52, 0xB140)
    XCTAssertEqual(try failure(card).seen, "PCI device 1e52:b140")
  }

  // MARK: Host memory

  func testHostMemoryFallbacks() throws {
    let kinds: [(pages: Set<Int32>, iommu: Bool, refusing: Set<UInt>, kind: String, count: Int)] = [
      ([21, 30], false, [], "a 2 MiB huge page", 2 << 20),
      ([30], false, [], "a 1 GiB huge page", 1 << 30),
      ([], true, [], "2 MiB behind an IOMMU", 2 << 20),
      ([], false, [], "2 MiB of the driver's", 2 << 20),
      ([], false, [0xFA03], "one page of 4 KiB", 4096),
    ]
    for (pages, iommu, refusing, kind, count) in kinds {
      let card = try FakeCard()
      card.hugePages = pages
      card.hasIOMMU = iommu
      card.unknown = refusing
      let transport = try open(card, lean(card))
      XCTAssertEqual(transport.notes.last, "host memory: \(kind)")
      XCTAssertEqual(transport.hostMemory.count, count)
      XCTAssertEqual(transport.hostMemory.address, 0x8_0000_0000)
      try transport.hostMemory.store32(4, at: count - 4)
      XCTAssertEqual(try transport.hostMemory.load32(at: count - 4), 4)
      finish(card, transport)
    }
  }

  /// A gigabyte that is not touched until it is used.
  private func lean(_ card: FakeCard) -> DriverCalls {
    var calls = card.calls
    let mapHostMemory = calls.mapHostMemory
    calls.mapHostMemory = { size, pageLog2, node, start in
      if pageLog2 != 30 || !card.hugePages.contains(30) {
        return mapHostMemory(size, pageLog2, node, &start)
      }
      return card.addLeanMemory(size, &start)
    }
    return calls
  }

  func testNoHostMemory() throws {
    let card = try FakeCard()
    card.hugePages = []
    card.unknown = [0xFA03, 0xFA07]
    let error = try failure(card)
    XCTAssertEqual(error.call, "PIN_PAGES")
    for part in [
      "a 2 MiB huge page: mmap: Cannot allocate memory", "2 MiB behind an IOMMU: PIN_PAGES: ",
      "2 MiB of the driver's: ALLOCATE_DMA_BUFFER: ", "one page of 4 KiB: PIN_PAGES: ",
    ] { XCTAssertTrue(error.seen.contains(part), error.seen) }
    XCTAssertTrue(error.remedy.contains("vm.nr_hugepages"), error.remedy)
    XCTAssertTrue(error.remedy.contains("iommu=on"), error.remedy)
  }

  func testMemoryNearTheCard() throws {
    try write("1\n", to: "class/tenstorrent!0/device/numa_node")
    let card = try FakeCard()
    var calls = card.calls
    let mapHostMemory = calls.mapHostMemory
    calls.mapHostMemory = { size, pageLog2, node, start in
      let result = mapHostMemory(size, pageLog2, -1, &start)
      if node < 0 || result < 0 { return result }
      // A container.
      if let memory = start { _ = card.calls.unmap(memory, size) }
      start = nil
      return -EPERM
    }
    let transport = try open(card, calls)
    XCTAssertEqual(card.hostMemoryNodes, [-1, -1], "asked for node 1, then for any")
    finish(card, transport)

    try write("-1\n", to: "class/tenstorrent!0/device/numa_node")
    let unknown = try FakeCard()
    finish(unknown, try open(unknown))
    XCTAssertEqual(unknown.hostMemoryNodes, [-1])
  }

  // MARK: Tiles that do not stop

  func testTileThatDoesNotStop() throws {
    let card = try FakeCard()
    card.startTiles()
    card.stuck = [TileCoordinate(x: 7, y: 8)]
    let error = try failure(card)
    XCTAssertEqual(error.call, "reset of tile (7, 8)")
    XCTAssertEqual(error.seen, "0x7000 instead of 0x47800: the tile does not stop")
    XCTAssertTrue(error.remedy.contains("tt-smi -r"))
  }

  func testTileThatTakesNoPartInMulticasts() throws {
    let card = try FakeCard()
    card.startTiles()
    card.deaf = [TileCoordinate(x: 7, y: 8), TileCoordinate(x: 1, y: 1)]
    finish(card, try open(card))
    XCTAssertEqual(card.running, [])
  }

  /// As long as a tile may write to memory, nobody else gets it.
  func testTileThatDoesNotStopAtTheEnd() throws {
    let card = try FakeCard()
    let transport = try open(card)
    card.stuck = [TileCoordinate(x: 7, y: 8)]
    exerciseClosed(transport)
    XCTAssertEqual(card.pins.count, 1)
    XCTAssertEqual(card.openDescriptors.count, 1)
    XCTAssertEqual(card.hostMemories.count, 1)
    XCTAssertEqual(card.sins, [])
  }

  // MARK: A card that goes

  func testFirmwareThatDoesNotRun() throws {
    let card = try FakeCard()
    card.bootCode = 0x1234
    let error = try failure(card)
    XCTAssertEqual(error.call, "ARC message")
    XCTAssertEqual(error.seen, "boot code 0x00001234")
    card.bootCode = .max
    XCTAssertEqual(try failure(card).seen, "0xffffffff: the card fell off the bus")
  }

  func testCardFallsOffTheBus() throws {
    let card = try FakeCard()
    let transport = try open(card)
    let tile = TileCoordinate(x: 2, y: 3)
    // All ones may be data.
    try transport.write([UInt32](repeating: .max, count: 64), to: tile, at: 0x100)
    XCTAssertEqual(try transport.read32(from: tile, at: 0x100), .max)
    XCTAssertEqual(try transport.readWords(64, from: tile, at: 0x100).last, .max)

    card.fallOffTheBus()
    for use in [
      { _ = try transport.read32(from: tile, at: 0) },
      { try transport.write32(0, to: tile, at: 0) },  // once it is known
      { _ = try transport.readWords(64, from: tile, at: 0) },
    ] {
      XCTAssertThrowsError(try use()) {
        XCTAssertEqual(($0 as? CardError)?.seen, "0xffffffff: the card fell off the bus")
        XCTAssertTrue(($0 as? CardError)?.remedy.contains("tt-smi -r") == true)
      }
    }
    finish(card, transport)

    // Found out while closing.
    card.recover()
    let again = try open(card)
    card.fallOffTheBus()
    finish(card, again)
  }

  /// Windows that vanish raise SIGBUS: the process lives, and the access throws.
  func testSomebodyResetsTheCard() throws {
    let tile = TileCoordinate(x: 2, y: 3)
    let uses: [(String, (KernelDriverTransport) throws -> Void)] = [
      ("long write", { try $0.write([UInt32](repeating: 1, count: 4096), to: tile, at: 0) }),
      ("write", { try $0.write32(1, to: tile, at: 0) }),
      ("edge", { try $0.write([1] as [UInt8], to: tile, at: 1) }),
      ("read", { _ = try $0.read32(from: tile, at: 0) }),
      ("long read", { _ = try $0.readWords(4096, from: tile, at: 0) }),
      ("multicast", { try $0.multicast([1] as [UInt32], at: 0) }),
      ("ring", { try $0.ring([1], at: tile, address: 0) }),
    ]
    for (name, use) in uses {
      let card = try FakeCard()
      let transport = try open(card)
      try use(transport)  // the window points there
      card.resetBySomebody()
      for _ in 0..<2 {
        XCTAssertThrowsError(try use(transport), name) {
          XCTAssertEqual(
            ($0 as? CardError)?.seen, "the driver took the card away: somebody reset it", name)
        }
      }
      finish(card, transport)
      card.recover()
      let again = try open(card)
      try use(again)
      finish(card, again)
    }
    // A window that has to move hears it from the driver.
    let card = try FakeCard()
    let transport = try open(card)
    card.resetBySomebody()
    XCTAssertThrowsError(try transport.write32(1, to: tile, at: 0)) {
      XCTAssertEqual(($0 as? CardError)?.call, "CONFIGURE_TLB")
      XCTAssertEqual(($0 as? CardError)?.code, ENODEV)
    }
    finish(card, transport)
  }

  // MARK: What else there is

  func testTelemetry() throws {
    let card = try FakeCard()
    let transport = try open(card)
    defer { finish(card, transport) }
    XCTAssertEqual(transport.telemetry(), CardTelemetry())
    try write("19.4.0.0\n", to: "class/tenstorrent!0/tt_fw_bundle_ver")
    try write("1000\n", to: "class/tenstorrent!0/tt_aiclk")
    try write("45300\n", to: "class/tenstorrent!0/device/hwmon/hwmon3/temp1_input")
    try write("22000000\n", to: "class/tenstorrent!0/device/hwmon/hwmon3/power1_input")
    XCTAssertEqual(
      transport.telemetry().description, "firmware 19.4.0.0, 1000 MHz, 45 °C, 22 W")
    XCTAssertEqual(transport.telemetry().temperature, 45.3)
    try write("hot\n", to: "class/tenstorrent!0/device/hwmon/hwmon3/temp1_input")
    XCTAssertNil(transport.telemetry().temperature)

    let found = try CardDiscovery.cards(under: roots, calls: card.calls)
    XCTAssertEqual(found.map(\.telemetry), [transport.telemetry()])
    XCTAssertTrue(found[0].description.contains(", firmware 19.4.0.0, 1000 MHz, 22 W"))
  }

  func testThreadNearTheCard() throws {
    let card = try FakeCard()
    let transport = try open(card)
    defer { finish(card, transport) }
    guard let machine = MachineTopology() else { return XCTFail("hwloc cannot read this machine") }
    let all = machine.coresOfThread
    defer { _ = machine.bindThread(to: all) }
    try transport.bindThread()
    XCTAssertEqual(machine.coresOfThread, machine.cores(nearest: nil, node: 0))
    XCTAssertEqual(machine.bindThread(to: [all[0]]), 0)
    XCTAssertEqual(machine.coresOfThread, [all[0]])
    XCTAssertLessThan(machine.bindThread(to: []), 0)
    XCTAssertEqual(machine.coresOfThread, [all[0]])
  }

  #if DEBUG
    /// The trace that the environment asks for.
    func testTraceToStandardError() throws {
      XCTAssertNil(DriverTrace.toStandardError)
      setenv("PI0KIT_TRACE_DRIVER", "1", 1)
      defer { unsetenv("PI0KIT_TRACE_DRIVER") }
      let trace = try XCTUnwrap(DriverTrace.toStandardError)
      let pipe = Pipe()
      let standardError = dup(STDERR_FILENO)
      dup2(pipe.fileHandleForWriting.fileDescriptor, STDERR_FILENO)
      trace("/dev/tenstorrent/0: open")
      dup2(standardError, STDERR_FILENO)
      close(standardError)
      XCTAssertEqual(
        String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self),
        "/dev/tenstorrent/0: open\n")
    }

    // MARK: Every call fails once

    /// Whichever call of opening fails: an error that names it, or a card that works without; and in
    /// the end nobody holds anything.
    func testEveryCallFails() throws {
      let good = try FakeCard()
      finish(good, try open(good))
      let order = good.trace.map { String($0.dropFirst(root.count + 8).prefix { $0 != " " }) }
      XCTAssertGreaterThan(order.count, 90)
      // Of calls that follow their like, such as the looks at eighty tiles, the first and the last.
      let tried = order.indices.filter { index in
        index == 0 || index == order.count - 1 || order[index] != order[index - 1]
          || order[index] != order[index + 1]
      }
      let optional: Set<String> = ["SET_POWER_STATE", "close", "munmap", "FREE_TLB", "UNPIN_PAGES"]
      var names: Set<String> = []
      for index in tried {
        for code in [EIO, ENODEV] {
          let card = try FakeCard()
          var calls = card.calls
          let calling = Counter()
          calls.force = { name in
            defer { calling.next() }
            if calling.value != index { return nil }
            calling.name = name
            return code
          }
          do {
            let transport = try open(card, calls)
            transport.close()
          } catch let error as CardError {
            XCTAssertTrue(
              error.code == code || error.seen.contains("errno \(code)"),
              "\(index): \(error)")
            XCTAssertFalse(optional.contains(calling.name), "\(index): \(error)")
          }
          names.insert(calling.name)
          // What is not given back because giving back fails goes with the process.
          let leaks = ["close", "munmap", "FREE_TLB", "UNPIN_PAGES"].contains(calling.name)
          let closing =
            calling.name == "CONFIGURE_TLB" && card.requests.contains { $0.number == 0xFA07 }
          if leaks || closing { continue }
          XCTAssertTrue(card.isIdle, "call \(index), \(calling.name)")
          XCTAssertEqual(card.sins, [], "call \(index), \(calling.name)")
        }
      }
      XCTAssertEqual(
        names,
        [
          "open", "close", "mmap", "munmap", "GET_DEVICE_INFO", "GET_DRIVER_INFO", "LOCK_CONTROL",
          "SET_POWER_STATE", "QUERY_MAPPINGS", "ALLOCATE_TLB", "CONFIGURE_TLB", "FREE_TLB",
          "SET_NOC_CLEANUP", "PIN_PAGES", "UNPIN_PAGES",
        ])
    }

    func testTrace() throws {
      let card = try FakeCard()
      let transport = try open(card)
      let path = "\(root)/dev/0"
      XCTAssertEqual(
        Array(card.trace.prefix(8)),
        [
          "\(path): open", "\(path): GET_DEVICE_INFO", "\(path): GET_DRIVER_INFO",
          "\(path): LOCK_CONTROL acquire 17", "\(path): SET_POWER_STATE flags 0x7 of 4",
          "\(path): QUERY_MAPPINGS", "\(path): mmap 3145728 bytes at 0x1fd00000",
          "\(path): ALLOCATE_TLB 1 MiB",
        ])
      XCTAssertTrue(
        card.trace.contains("\(path): CONFIGURE_TLB window 2 at 0xffb00000 of (1, 1) to (9, 11)"))
      XCTAssertTrue(
        card.trace.contains("\(path): SET_NOC_CLEANUP 0x47800 to 0xffb121b0 of (1, 1)"))
      finish(card, transport)
      XCTAssertEqual(card.trace.suffix(2), ["\(path): close", "\(path): munmap 2097152 bytes"])

      let refused = try FakeCard()
      var calls = refused.calls
      calls.force = { $0 == "LOCK_CONTROL" ? EIO : nil }
      _ = try failure(refused, calls)
      XCTAssertTrue(
        refused.trace.contains(
          "\(path): LOCK_CONTROL acquire 17: Input/output error (errno \(EIO))"))
    }
  #endif

  /// On a machine with a card: that opening, memory of every kind, and closing work.
  func testRealCard() throws {
    let cards = try CardDiscovery.cards().filter(\.isUsable)
    guard let card = cards.first else {
      throw XCTSkip("runs on a card: none that can be used is in this machine")
    }
    let transport = try KernelDriverTransport(card: card.index)
    defer { transport.close() }
    XCTAssertFalse(transport.layout.tiles.isEmpty)
    try exerciseMemory(of: transport)
    exerciseRefusals(of: transport)
    try transport.multicast([1, 2, 3] as [UInt32], at: 0x2000)
    for tile in transport.layout.tiles {
      XCTAssertEqual(try transport.readWords(3, from: tile, at: 0x2000), [1, 2, 3])
    }
    XCTAssertThrowsError(try KernelDriverTransport(card: card.index)) {
      XCTAssertEqual(($0 as? CardError)?.call, "LOCK_CONTROL")
    }
  }
}

private final class Counter: @unchecked Sendable {
  var value = 0
  var name = ""
  func next() { value += 1 }
}
