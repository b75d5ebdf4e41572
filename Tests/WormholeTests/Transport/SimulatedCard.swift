#if arch(x86_64)
  import CTTDevice
  import Foundation
  import XCTest

  @testable import Wormhole

  /// A kernel driver over a card of this process: what the processor does to a mapped window happens on
  /// the simulated card's bus.
  ///
  /// The mappings cannot be touched. Each access traps, goes to that bus, and is then let through
  /// for the one instruction, whose size its prefix tells. Windows are pointed by the card's own
  /// registers, as the driver does it, and memory that is pinned is the host's.
  final class SimulatedCard: @unchecked Sendable {
    private let bus: any SimulatedBus
    private let bar: UInt64
    private let descriptor: Int32 = 3_000_000
    private var regions: [Region] = []
    private var pending: (access: Access, isWrite: Bool)?
    private var nextWindow: [UInt64: UInt32] = [1 << 20: 0, 2 << 20: 156, 16 << 20: 166]
    private var cleanup: (tile: TileCoordinate, address: UInt64, value: UInt32)?
    private(set) var accesses = 0
    private(set) var busErrors: [CardError] = []

    var strayBytes: Int { bus.strayBytes }

    private struct Region {
      let start: UInt
      let size: UInt64
      let offset: UInt64
    }

    private struct Access {
      let place: UnsafeMutableRawPointer
      let bus: UInt64
      let size: Int
    }

    init(bus: any SimulatedBus) throws {
      self.bus = bus
      bar = try bus.firstBAR()
      trapping = self
      var action = sigaction()
      action.sa_flags = SA_SIGINFO | Int32(bitPattern: 0x4000_0000)  // SA_NODEFER
      action.__sigaction_handler.sa_sigaction = { _, info, context in
        trapping?.handleFault(info, context)
      }
      sigaction(SIGSEGV, &action, nil)
      action.__sigaction_handler.sa_sigaction = { _, _, context in
        trapping?.handleStep(context)
      }
      sigaction(SIGTRAP, &action, nil)
    }

    /// No access traps any more.
    func end() {
      trapping = nil
      signal(SIGSEGV, SIG_DFL)
      signal(SIGTRAP, SIG_DFL)
      answerRequests(on: descriptor, with: nil)
    }

    // MARK: Accesses

    private enum Register {
      static let instruction = 16
      static let flags = 17
      static let error = 19
    }
    private static let singleStep: Int64 = 0x100

    private func registers(
      _ context: UnsafeMutableRawPointer?
    ) -> UnsafeMutablePointer<Int64>? {
      guard let context = context?.assumingMemoryBound(to: ucontext_t.self) else { return nil }
      return withUnsafeMutablePointer(to: &context.pointee.uc_mcontext.gregs) {
        UnsafeMutableRawPointer($0).assumingMemoryBound(to: Int64.self)
      }
    }

    private func handleFault(
      _ info: UnsafeMutablePointer<siginfo_t>?, _ context: UnsafeMutableRawPointer?
    ) {
      guard let registers = registers(context),
        let place = info?.pointee._sifields._sigfault.si_addr,
        let region = regions.first(where: {
          UInt(bitPattern: place) &- $0.start < UInt($0.size)
        }),
        let instruction = UnsafePointer<UInt8>(bitPattern: Int(registers[Register.instruction]))
      else {
        signal(SIGSEGV, SIG_DFL)  // it faults again, and ends the process
        return
      }
      // A REX prefix with W makes it eight bytes.
      let access = Access(
        place: place, bus: bar + region.offset + UInt64(UInt(bitPattern: place) - region.start),
        size: instruction.pointee & 0xF8 == 0x48 ? 8 : 4)
      let isWrite = registers[Register.error] & 2 != 0
      mprotect(page(place), 4096, PROT_READ | PROT_WRITE)
      if !isWrite { read(access) }
      pending = (access, isWrite)
      accesses += 1
      registers[Register.flags] |= Self.singleStep
    }

    private func handleStep(_ context: UnsafeMutableRawPointer?) {
      guard let registers = registers(context), let (access, isWrite) = pending else { return }
      registers[Register.flags] &= ~Self.singleStep
      if isWrite { write(access) }
      mprotect(page(access.place), 4096, PROT_NONE)
      pending = nil
    }

    private func read(_ access: Access) {
      attempt { () throws(CardError) in
        try bus.read(
          access.bus,
          into: UnsafeMutableRawBufferPointer(start: access.place, count: access.size))
      }
    }

    private func write(_ access: Access) {
      write(UnsafeRawBufferPointer(start: access.place, count: access.size), access.bus)
    }

    private func write(_ bytes: UnsafeRawBufferPointer, _ address: UInt64) {
      attempt { () throws(CardError) in try bus.write(bytes, address) }
    }

    /// A processor learns nothing of what goes wrong on a bus.
    private func attempt(_ body: () throws(CardError) -> Void) {
      do { try body() } catch { busErrors.append(error) }
    }

    private func page(_ place: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
      place - Int(UInt(bitPattern: place) % 4096)
    }

    // MARK: The driver

    /// The process dies: what the kernel does then. Drivers before 2.2 write nothing.
    func die(writing: Bool = true) {
      if !writing { cleanup = nil }
      _ = calls.close(descriptor)
    }

    var calls: DriverCalls {
      var calls = DriverCalls()
      calls.open = { _ in
        answerRequests(on: self.descriptor) { self.answer($0, $1) }
        return self.descriptor
      }
      calls.close = { _ in
        if let cleanup = self.cleanup {
          self.write(cleanup.value, to: cleanup.tile, at: cleanup.address)
        }
        self.cleanup = nil
        self.bus.detachHostMemory()
        self.nextWindow = [1 << 20: 0, 2 << 20: 156, 16 << 20: 166]
        return 0
      }
      calls.map = { _, offset, size, start in
        let memory = mmap(
          nil, Int(size), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let memory, memory != MAP_FAILED else { return -ENOMEM }
        self.regions.append(
          Region(start: UInt(bitPattern: memory), size: size, offset: offset % (1 << 36)))
        start = memory
        return 0
      }
      calls.unmap = { start, size in
        self.regions.removeAll { $0.start == UInt(bitPattern: start) }
        return tt_unmap(start, size)
      }
      calls.mapHostMemory = { size, _, _, start in tt_map_host_memory(size, 12, -1, &start) }
      calls.yield = { self.attempt { () throws(CardError) in try self.bus.advance() } }
      return calls
    }

    /// The kernel's own window, the last of 16 MiB.
    private func write(_ value: UInt32, to tile: TileCoordinate, at address: UInt64) {
      var value = value
      point(185, at: address & ~0xFF_FFFF, UInt64(tile.x) | UInt64(tile.y) << 6)
      withUnsafeMutableBytes(of: &value) { bytes in
        write(UnsafeRawBufferPointer(bytes), bar + 0x1E00_0000 + address & 0xFF_FFFF)
      }
    }

    private func point(_ window: UInt32, at address: UInt64, _ rest: UInt64) {
      let bits: UInt64 = window < 156 ? 20 : window < 166 ? 21 : 24
      var words = [address >> bits | rest << (36 - bits)]
      words.withUnsafeMutableBytes { bytes in
        for half in [0, 4] {
          write(
            UnsafeRawBufferPointer(rebasing: bytes[half..<half + 4]),
            bar + 0x1FC0_0000 + 8 * UInt64(window) + UInt64(half))
        }
      }
    }

    private func answer(_ number: UInt, _ argument: UnsafeMutableRawPointer) -> Int32 {
      func get<T: BitwiseCopyable>(_ offset: Int, as type: T.Type) -> T {
        argument.loadUnaligned(fromByteOffset: offset, as: type)
      }
      func put<T: BitwiseCopyable>(_ value: T, _ offset: Int) {
        argument.storeBytes(of: value, toByteOffset: offset, as: T.self)
      }
      switch number {
      case 0xFA00:
        let identity = (try? bus.readConfiguration(0)) ?? .max
        put(UInt16(truncatingIfNeeded: identity), 8)
        put(UInt16(truncatingIfNeeded: identity >> 16), 10)
      case 0xFA02:
        put(1 as UInt32, 8)
        put(512 << 20 as UInt64, 24)
      case 0xFA05:
        put(2 as UInt32, 8)
        put(2 as UInt8, 12)
        put(10 as UInt8, 13)
      case 0xFA07:
        let memory = UnsafeMutableRawBufferPointer(
          start: UnsafeMutableRawPointer(bitPattern: UInt(get(8, as: UInt64.self))),
          count: Int(get(16, as: UInt64.self)))
        do { try bus.attachHostMemory(memory) } catch { return ENOSPC }
        put(0x8_0000_0000 as UInt64, 32)
      case 0xFA08: put(1 as UInt8, 12)
      case 0xFA0A: bus.detachHostMemory()
      case 0xFA0B:
        let size = get(0, as: UInt64.self)
        guard let id = nextWindow[size], id < 185 else { return ENOMEM }
        nextWindow[size] = id + 1
        let offset: UInt64 =
          switch id {
          case 0..<156: UInt64(id) << 20
          case 156..<166: 0x9C0_0000 + UInt64(id - 156) << 21
          default: 0xB00_0000 + UInt64(id - 166) << 24
          }
        put(id, 16)
        put(6 << 36 + offset, 24)
        put(7 << 36 + offset, 32)
      case 0xFA0C: break
      case 0xFA0D:
        let fields: [(offset: Int, shift: UInt64)] = [(16, 0), (18, 6), (20, 12), (22, 18)]
        var rest = fields.reduce(0) { $0 | UInt64(get($1.offset, as: UInt16.self)) << $1.shift }
        rest |= UInt64(get(24, as: UInt8.self)) << 24 | UInt64(get(25, as: UInt8.self)) << 25
        rest |= UInt64(get(26, as: UInt8.self)) << 26 | UInt64(get(27, as: UInt8.self)) << 28
        point(get(0, as: UInt32.self), at: get(8, as: UInt64.self), rest)
      case 0xFA0E:
        cleanup =
          get(8, as: UInt8.self) == 0
          ? nil
          : (
            TileCoordinate(x: Int(get(9, as: UInt8.self)), y: Int(get(10, as: UInt8.self))),
            get(16, as: UInt64.self), get(24, as: UInt32.self)
          )
      case 0xFA0F: return EINVAL  // the firmware has no queue
      default: return ENOTTY
      }
      return 0
    }
  }

  private nonisolated(unsafe) var trapping: SimulatedCard?
#endif
