import CEmulatorKernels

/// One of a tile's five RV32IM cores: registers, private RAM and what its instruction cache holds.
final class RISCVCore {
  enum Kind: Int, CaseIterable {
    case b, nc, t0, t1, t2

    var name: String { ["B", "NC", "T0", "T1", "T2"][rawValue] }
    /// Of the private RAM at 0xFFB00000.
    var privateBytes: UInt32 { self == .b || self == .nc ? 4096 : 2048 }
    /// The coprocessor thread that is its own.
    var thread: Int? { self == .b || self == .nc ? nil : rawValue - Kind.t0.rawValue }
  }

  let kind: Kind
  let l1: L1
  let core: UnsafeMutablePointer<ek_core>
  private let cache: UnsafeMutablePointer<ek_decoded>
  /// What it waits for in an access that was not accepted.
  private(set) var blockedAccess: ek_stop = ek_stop_load

  private var order = AccessOrder()
  /// Told each instruction before it runs, if anybody listens.
  var trace: ((_ clock: UInt64, _ text: String) -> Void)?

  /// A core in reset.
  init(kind: Kind, l1: L1) {
    self.kind = kind
    self.l1 = l1
    core = .allocate(capacity: 1)
    core.initialize(to: ek_core())
    cache = Zeroed.allocate(Int(ek_cache_entries))
    ek_core_initialise(core, l1.kernel, cache, kind.privateBytes)
    withUnsafeMutablePointer(to: &l1.kernel.pointee.cores) {
      $0.withMemoryRebound(to: UnsafeMutablePointer<ek_core>?.self, capacity: 5) {
        $0[kind.rawValue] = core
      }
    }
  }

  deinit {
    withUnsafeMutablePointer(to: &l1.kernel.pointee.cores) {
      $0.withMemoryRebound(to: UnsafeMutablePointer<ek_core>?.self, capacity: 5) {
        $0[kind.rawValue] = nil
      }
    }
    Zeroed.deallocate(cache, Int(ek_cache_entries))
    core.deallocate()
  }

  // MARK: - State

  var clock: UInt64 {
    @inline(__always) get { core.pointee.clock }
    @inline(__always) set { core.pointee.clock = newValue }
  }
  var programCounter: UInt32 {
    get { core.pointee.pc }
    set { core.pointee.pc = newValue }
  }
  /// In reset.
  var isHeld: Bool { core.pointee.state == ek_held }
  /// Out of reset, and nothing to do until it is woken.
  var isParked: Bool {
    @inline(__always) get {
      core.pointee.state == ek_polling || core.pointee.state == ek_waiting
    }
  }
  /// Neither in reset nor parked.
  var canRun: Bool { @inline(__always) get { core.pointee.state == ek_running } }

  /// Instructions executed.
  var instructions: UInt64 { core.pointee.instructions }
  /// Cycles spent in loops that waited for something.
  var polledCycles: UInt64 { core.pointee.polled_cycles }
  /// Cycles spent on accesses that could not be accepted or answered at once.
  var waitedCycles: UInt64 { core.pointee.waited_cycles }

  /// Register `number`; nil where it has no defined value.
  func register(_ number: Int) -> UInt32? {
    guard (0..<32).contains(number) else { return nil }
    if (core.pointee.blocked & ~core.pointee.loading) >> UInt64(number) & 1 != 0 { return nil }
    return withUnsafePointer(to: &core.pointee.x) {
      $0.withMemoryRebound(to: UInt32.self, capacity: 33) { $0[number] }
    }
  }

  // MARK: - Control

  /// Leaves reset: registers are undefined, the instruction cache is empty. Private RAM stays.
  func reset(to programCounter: UInt32) {
    ek_core_reset(core, programCounter)
    order = AccessOrder()
  }

  /// Enters reset.
  func hold() { ek_core_hold(core) }

  func flushInstructionCache() { ek_core_flush(core) }

  /// A register of the tile changed at that clock: who waits for one looks again.
  @inline(__always)
  func wake(_ clock: UInt64) {
    let state = core.pointee.state
    guard
      state == ek_waiting && !awaitsThread
        || (state == ek_polling && core.pointee.reads_registers)
    else { return }
    ek_core_wake(core, clock)
  }

  /// A thread of the coprocessor has what this core may wait for; the access, made again, says since when.
  @inline(__always)
  func resume(thread: Int) {
    guard core.pointee.state == ek_waiting, awaitsThread,
      kind.thread == thread || kind == .b
    else { return }
    ek_core_wake(core, 0)
  }

  /// Whether it waits for a thread of the coprocessor: for room, or for the end of what it pushed.
  private var awaitsThread: Bool {
    blockedAccess == ek_stop_push
      || AccessOrder.synchronisation.contains(core.pointee.address)
      || AccessOrder.instructions.contains(core.pointee.address)
  }

  /// Whether all configuration that this core has stored is there before what it pushes next. It is
  /// not where nothing but the program's order says so.
  var isConfigured: Bool {
    order.isConfigured(instructions: core.pointee.instructions) { register in
      core.pointee.loading >> UInt64(register) & 1 != 0
    }
  }

  /// Throws where a request of this core to a NoC could overtake its own stores to what is sent.
  func checkArrived(_ address: UInt32, _ count: UInt32) throws(Violation) {
    let first = ek_core_first_unconfirmed(core, address, count)
    if first == address &+ count { return }
    throw Violation(
      "The NoC is to send \(count) bytes at L1 \(address.hexadecimal), and may read"
        + " \(first.hexadecimal) before this core's store to it is there.",
      remedy: "Load what was stored last, and use the result, before asking.")
  }

  // MARK: - Running

  /// Runs until it parks or its clock has reached `horizon`.
  func run(until horizon: UInt64, bus: any CoreBus) throws(Violation) {
    while true {
      let stop = trace == nil ? ek_core_run(core, horizon) : step(horizon)
      if stop == ek_stop_stepped { continue }
      if stop == ek_stop_horizon || stop == ek_stop_parked { return }
      if try !access(stop, bus: bus) { return }
    }
  }

  private func step(_ horizon: UInt64) -> ek_stop {
    if canRun, let instruction = currentInstruction {
      trace?(clock, "\(programCounter.hexadecimal) \(currentFunction ?? ""): \(instruction)")
    }
    let stop = ek_core_step(core, horizon)
    if stop == ek_stop_parked { trace?(clock, waitsOn) }
    return stop
  }

  /// Carries out what the interpreter leaves to the bus. False where it has to wait.
  private func access(_ stop: ek_stop, bus: any CoreBus) throws(Violation) -> Bool {
    switch stop {
    case ek_stop_load:
      let address = core.pointee.address
      try order.checkLoad(address)
      switch try bus.load(address, size: Int(core.pointee.size), core: self) {
      case .value(let value, let pure):
        ek_core_loaded(core, value, pure, RISCVCore.latency(of: address))
        order.didLoad(
          address, register: core.pointee.destination, instructions: core.pointee.instructions)
        if AccessOrder.synchronisation.contains(address) {
          core.pointee.synchronising = core.pointee.destination
          core.pointee.synchronised_at = core.pointee.instructions
          core.pointee.is_synchronising = true
        }
        return true
      case .wait: break
      }
    case ek_stop_store:
      if try bus.store(
        core.pointee.value, core.pointee.address, size: Int(core.pointee.size), core: self)
      {
        order.didStore(core.pointee.address)
        ek_core_stored(core)
        return true
      }
    case ek_stop_push:
      if try bus.push(core.pointee.value, core: self) {
        order.didPush()
        ek_core_stored(core)
        return true
      }
    case ek_stop_counted:
      try BufferCounters.check(core.pointee.address, in: l1)
      ek_core_stored(core)
      return true
    default: throw violation(stop)
    }
    blockedAccess = stop
    ek_core_wait(core)
    return false
  }

  /// Cycles from a load to its result: BabyRISCV/README.md, "Load/Store Unit".
  private static func latency(of address: UInt32) -> UInt32 {
    switch address {
    case 0xFFE8_0000...0xFFEC_FFFF: 3
    case 0xFFE0_0000...0xFFEF_FFFF: 4
    default: 7
    }
  }
}
