import Wormhole

/// A Tensix tile: L1, five cores, the coprocessor and its two interfaces to the NoCs.
final class Tile {
  let coordinate: TileCoordinate
  let place: Grid.Place
  let l1: L1
  /// B, NC, T0, T1, T2.
  let cores: [RISCVCore]
  let coprocessor: Coprocessor
  var interfaces: [NetworkInterface]
  var mailboxes = Mailboxes()
  /// The core whose store to a register is being carried out.
  var issuer: RISCVCore?
  /// Bits of the cores that are held.
  private(set) var softReset = TileMemory.allHeld
  /// Whether its cores and coprocessor have stopped for good.
  var isStopped = false
  /// The card outlives its tiles.
  unowned(unsafe) let card: WormholeEmulator

  init(_ coordinate: TileCoordinate, of card: WormholeEmulator) {
    self.coordinate = coordinate
    self.card = card
    place = Grid.Place(x: coordinate.x, y: coordinate.y)
    let l1 = L1()
    self.l1 = l1
    let cores = RISCVCore.Kind.allCases.map { RISCVCore(kind: $0, l1: l1) }
    self.cores = cores
    coprocessor = Coprocessor(l1: l1) { clock in
      for core in cores { core.wake(clock) }
    } resume: { thread in
      for core in cores { core.resume(thread: thread) }
    }
    interfaces = [NetworkInterface](
      repeating: NetworkInterface(harvestedRows: card.grid.harvestedRows), count: 2)
    coprocessor.configuration.invalidateInstructionCaches = { bits in
      // Bit i is core i in this order.
      for (bit, kind) in [RISCVCore.Kind.b, .t0, .t1, .t2, .nc].enumerated()
      where bits >> UInt32(bit) & 1 == 1 {
        cores[kind.rawValue].flushInstructionCache()
      }
    }
  }

  // MARK: - Time

  /// The clock of the actor that is furthest behind; nil where none can go on.
  var lowestClock: UInt64? {
    if isStopped { return nil }
    var lowest = UInt64.max
    for core in cores where core.canRun { lowest = min(lowest, core.clock) }
    for thread in 0..<3 where coprocessor.hasWork(thread: thread) {
      lowest = min(lowest, coprocessor.clock(thread: thread))
    }
    return lowest == .max ? nil : lowest
  }

  /// Lets each actor run until its clock has passed `horizon`, or it waits.
  func run(until horizon: UInt64) throws(EmulatorError) {
    if isStopped { return }
    for core in cores where core.canRun && core.clock < horizon {
      do throws(Violation) {
        try core.run(until: horizon, bus: self)
      } catch {
        throw place(error, of: core)
      }
    }
    for thread in 0..<3 {
      guard coprocessor.hasWork(thread: thread), coprocessor.clock(thread: thread) < horizon else {
        continue
      }
      do throws(Violation) {
        try coprocessor.run(thread: thread, until: horizon)
      } catch {
        throw place(error, ofThread: thread)
      }
    }
  }

  /// A register changed that cores may be waiting for.
  func wakeCores(_ clock: UInt64) { for core in cores { core.wake(clock) } }

  // MARK: - Errors and reports

  private func place(_ violation: Violation, of core: RISCVCore) -> EmulatorError {
    EmulatorError(
      tile: (coordinate.x, coordinate.y), actor: .core(core.kind.name),
      programCounter: core.programCounter, function: core.currentFunction,
      instruction: core.currentInstruction, clock: core.clock, violation)
  }

  private func place(_ violation: Violation, ofThread thread: Int) -> EmulatorError {
    EmulatorError(
      tile: (coordinate.x, coordinate.y), actor: .thread(thread),
      instruction: coprocessor.instruction(thread: thread).map {
        "\($0.instructionName) \($0.hexadecimal)"
      }, clock: coprocessor.clock(thread: thread), violation)
  }

  /// What each actor that is not in reset waits for.
  var waits: String {
    if isStopped { return "has stopped" }
    var waits = cores.filter { !$0.isHeld }.map { "\($0.kind.name) \($0.waitsOn)" }
    for thread in 0..<3 {
      let wait = coprocessor.describeWait(thread: thread)
      if !wait.isEmpty { waits.append("thread \(thread) \(wait)") }
    }
    return waits.joined(separator: "; ")
  }

  // MARK: - Soft reset

  /// Bits of the soft reset register, by core.
  private static let resetBits: [(kind: RISCVCore.Kind, bit: UInt32)] = [
    (.b, 0x800), (.t0, 0x1000), (.t1, 0x2000), (.t2, 0x4000), (.nc, 0x40000),
  ]

  func writeSoftReset(_ value: UInt32, clock: UInt64) throws(Violation) {
    let value = value & 0x7FFF_FFFF  // the user-mode driver sets the top bit
    guard value & ~TileMemory.allHeld == 0 else {
      throw Violation(
        "soft reset \(value.hexadecimal)",
        remedy: "the cores' bits, \(TileMemory.allHeld.hexadecimal), are modelled alone")
    }
    for (kind, bit) in Self.resetBits {
      let core = cores[kind.rawValue]
      if value & bit != 0 {
        guard !core.isHeld else { continue }
        core.hold()
        if let thread = kind.thread { coprocessor.reset(thread: thread) }
      } else if core.isHeld {
        core.clock = max(core.clock, clock)
        core.reset(to: firstInstruction(of: kind))
      }
    }
    softReset = value
  }

  /// Where a core begins: configuration words 158 to 163 say so, else the hardware.
  private func firstInstruction(of kind: RISCVCore.Kind) -> UInt32 {
    func word(_ number: Int) -> UInt32 { coprocessor.configuration.banks[number] }
    switch kind {
    case .b: return 0
    case .t0: return word(161) & 1 != 0 ? word(158) : 0x6000
    case .t1: return word(161) & 2 != 0 ? word(159) : 0xA000
    case .t2: return word(161) & 4 != 0 ? word(160) : 0xE000
    case .nc: return word(163) & 1 != 0 ? word(162) : 0x12000
    }
  }
}
