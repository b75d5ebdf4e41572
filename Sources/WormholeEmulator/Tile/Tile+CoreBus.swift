import Wormhole

/// A core's memory map beside L1 and its private RAM (BabyRISCV/README.md of the ISA documentation).
private enum Region {
  static let tdma = 0xFFB1_1000...0xFFB1_1FFF as ClosedRange<UInt32>
  static let debug = 0xFFB1_2000...0xFFB1_2FFF as ClosedRange<UInt32>
  static let noc = 0xFFB2_0000...0xFFB3_FFFF as ClosedRange<UInt32>
  static let loop = 0xFFB8_0000...0xFFB8_0FFF as ClosedRange<UInt32>
  static let registers = 0xFFE0_0000...0xFFE0_0FFF as ClosedRange<UInt32>
  static let instructions = 0xFFE4_0000...0xFFE6_FFFF as ClosedRange<UInt32>
  static let synchronisation = 0xFFE8_0000...0xFFE8_0FFF as ClosedRange<UInt32>
  static let mailboxes = 0xFFEC_0000...0xFFEC_3FFF as ClosedRange<UInt32>
  static let configuration = 0xFFEF_0000...0xFFEF_0FFF as ClosedRange<UInt32>
}

/// Offsets in the region of the coprocessor's synchronisation.
private enum Synchronisation {
  static let drained: UInt32 = 4
  static let expanded: UInt32 = 8
  static let semaphores: Range<UInt32> = 0x20..<0x40
}

/// Offsets of debug registers.
private enum Debug {
  static let featureDisable: UInt32 = 0x68
  static let softReset: UInt32 = 0x1B0
  static let wallClock: UInt32 = 0x1F0
  static let wallClockHigh: [UInt32] = [0x1F4, 0x1F8]
}

extension Tile: CoreBus {
  func load(_ address: UInt32, size: Int, core: RISCVCore) throws(Violation) -> BusLoad {
    guard size == 4, address & 3 == 0 else { throw partial("load", address, size) }
    switch address {
    case Region.synchronisation:
      return try loadSynchronisation(address - Region.synchronisation.lowerBound, core)
    case Region.noc, Region.tdma, Region.debug:
      // Its own time passes in a loop that looks at the clock, or at requests under way.
      let changes =
        Region.noc.contains(address)
        ? interfaces[Int(address - Region.noc.lowerBound) >> 16]
          .changes(address & 0xFFFF, after: core.clock)
        : Region.debug.contains(address) && address & 0xFFF != Debug.softReset
      return .value(try loadShared(UInt64(address), clock: &core.clock), pure: !changes)
    case Region.registers:
      let thread = try ownThread(of: core, address)
      return .value(
        try coprocessor.readRegister(
          Int(address - Region.registers.lowerBound) / 4, thread: thread), pure: true)
    case Region.configuration:
      try checkConfiguration(core, address)
      return .value(
        try coprocessor.readConfiguration(address - Region.configuration.lowerBound), pure: true)
    case Region.mailboxes:
      let (own, other) = try mailbox(address, core)
      guard let word = mailboxes.receive(by: own, from: other) else { return .wait }
      wakeCores(core.clock)
      return .value(word, pure: false)
    default: throw nothing("load from", address, core)
    }
  }

  func store(
    _ value: UInt32, _ address: UInt32, size: Int, core: RISCVCore
  ) throws(Violation) -> Bool {
    guard size == 4, address & 3 == 0 else { throw partial("store", address, size) }
    switch address {
    case Region.instructions: return try push(value, address, core)
    case Region.noc, Region.tdma, Region.debug:
      issuer = core
      defer { issuer = nil }
      try storeShared(value, UInt64(address), clock: core.clock)
    case Region.synchronisation:
      try storeSynchronisation(value, address - Region.synchronisation.lowerBound, core)
    case Region.configuration:
      try checkConfiguration(core, address)
      try coprocessor.writeConfiguration(
        address - Region.configuration.lowerBound, value, thread: core.kind.thread,
        clock: core.clock)
    case Region.registers:
      let thread = try ownThread(of: core, address)
      try coprocessor.writeRegister(
        Int(address - Region.registers.lowerBound) / 4, value, thread: thread)
    case Region.loop:
      let thread = try ownThread(of: core, address)
      try coprocessor.writeMOPConfiguration(
        Int(address - Region.loop.lowerBound) / 4, value, thread: thread)
    case Region.mailboxes:
      let (own, other) = try mailbox(address, core)
      guard mailboxes.send(value, from: own, to: other) else { return false }
      wakeCores(core.clock)
    default: throw nothing("store to", address, core)
    }
    return true
  }

  func push(_ instruction: UInt32, core: RISCVCore) throws(Violation) -> Bool {
    try push(instruction, Region.instructions.lowerBound, core)
  }

  private func push(
    _ instruction: UInt32, _ address: UInt32, _ core: RISCVCore
  ) throws(Violation) -> Bool {
    let aperture = Int(address - Region.instructions.lowerBound) >> 16
    guard address & 0xFFFF == 0 else { throw nothing("store to", address, core) }
    if core.kind == .b {
      return try coprocessor.push(
        instruction, thread: aperture, bypassingMOP: true, clock: &core.clock)
    }
    guard aperture == 0, let thread = core.kind.thread else {
      throw Violation(
        "core \(core.kind.name) pushes an instruction at \(address.hexadecimal)",
        remedy: "T0 to T2 push to their own thread, at 0xffe40000; B to any; NC to none")
    }
    if core.isConfigured { coprocessor.settleConfiguration(thread: thread) }
    return try coprocessor.push(
      instruction, thread: thread, bypassingMOP: false, clock: &core.clock)
  }

  // MARK: - Synchronisation with the coprocessor

  private func loadSynchronisation(
    _ offset: UInt32, _ core: RISCVCore
  ) throws(Violation) -> BusLoad {
    let thread = try ownThread(of: core, Region.synchronisation.lowerBound + offset)
    switch offset {
    case Synchronisation.drained, Synchronisation.expanded:
      let end =
        offset == Synchronisation.drained
        ? try coprocessor.drained(thread: thread) : try coprocessor.expanded(thread: thread)
      guard let end else { return .wait }
      core.clock = max(core.clock, end)
      return .value(0, pure: true)
    case Synchronisation.semaphores where offset % 4 == 0:
      return .value(
        try coprocessor.readSemaphore(Int(offset - Synchronisation.semaphores.lowerBound) / 4),
        pure: true)
    default:
      throw nothing("load from", Region.synchronisation.lowerBound + offset, core)
    }
  }

  private func storeSynchronisation(
    _ value: UInt32, _ offset: UInt32, _ core: RISCVCore
  ) throws(Violation) {
    _ = try ownThread(of: core, Region.synchronisation.lowerBound + offset)
    switch offset {
    case Synchronisation.drained, Synchronisation.expanded: break
    case Synchronisation.semaphores where offset % 4 == 0:
      try coprocessor.writeSemaphore(
        Int(offset - Synchronisation.semaphores.lowerBound) / 4, value, clock: core.clock)
    default: throw nothing("store to", Region.synchronisation.lowerBound + offset, core)
    }
  }

  // MARK: - Registers that everybody reaches

  /// A register that cores, the NoCs and the host reach. `clock` is when, and is raised to when what
  /// is read was so.
  func loadShared(_ address: UInt64, clock: inout UInt64) throws(Violation) -> UInt32 {
    if let address = UInt32(exactly: address) {
      switch address {
      case Region.noc:
        let noc = Int(address - Region.noc.lowerBound) >> 16
        let offset = address & 0xFFFF
        switch offset {
        case NetworkInterface.Register.identity: return Grid.nodeIdentity(coordinate, noc: noc)
        case NetworkInterface.Register.translatedIdentity: return card.grid.translated(coordinate)
        default: return try interfaces[noc].read(offset, clock: &clock)
        }
      case Region.debug:
        switch address - Region.debug.lowerBound {
        case Debug.softReset: return softReset
        case Debug.wallClock: return UInt32(truncatingIfNeeded: clock)
        case let offset where Debug.wallClockHigh.contains(offset): return UInt32(clock >> 32)
        case Debug.featureDisable: return 0
        default: break
        }
      default: break
      }
    }
    throw Violation(
      "read of 0x\(String(address, radix: 16)) of tile \(coordinate)",
      remedy: "this register is not modelled, or is a core's alone")
  }

  func storeShared(_ value: UInt32, _ address: UInt64, clock: UInt64) throws(Violation) {
    if let address = UInt32(exactly: address) {
      switch address {
      case Region.noc:
        let noc = Int(address - Region.noc.lowerBound) >> 16
        let offset = address & 0xFFFF
        let stride = NetworkInterface.Register.initiatorStride
        guard offset < 4 * stride, offset % stride == NetworkInterface.Register.command else {
          return try interfaces[noc].write(offset, value)
        }
        guard value == 1 else {
          throw Violation("NoC command \(value.hexadecimal)", remedy: "write 1 to send a request")
        }
        return try issue(noc: noc, initiator: Int(offset / stride), clock: clock)
      case Region.debug:
        switch address - Region.debug.lowerBound {
        case Debug.softReset: return try writeSoftReset(value, clock: clock)
        case Debug.featureDisable where value == 0: return
        default: break
        }
      default: break
      }
    }
    throw Violation(
      "write of \(value.hexadecimal) to 0x\(String(address, radix: 16)) of tile \(coordinate)",
      remedy: "this register is not modelled, or is a core's alone")
  }

  // MARK: - Who may

  private func ownThread(of core: RISCVCore, _ address: UInt32) throws(Violation) -> Int {
    guard let thread = core.kind.thread else { throw nothing("access to", address, core) }
    return thread
  }

  private func checkConfiguration(_ core: RISCVCore, _ address: UInt32) throws(Violation) {
    if core.kind == .nc { throw nothing("access to", address, core) }
  }

  private func mailbox(
    _ address: UInt32, _ core: RISCVCore
  ) throws(Violation) -> (own: Int, other: Int) {
    guard address & 0xFFF == 0, let own = Mailboxes.number(of: core.kind) else {
      throw nothing("access to", address, core)
    }
    return (own, Int(address - Region.mailboxes.lowerBound) >> 12)
  }

  private func nothing(_ what: String, _ address: UInt32, _ core: RISCVCore) -> Violation {
    Violation(
      "\(what) \(address.hexadecimal) by core \(core.kind.name)",
      remedy: "there is nothing that this core reaches, or nothing that is modelled")
  }

  private func partial(_ what: String, _ address: UInt32, _ size: Int) -> Violation {
    Violation(
      "\(what) of \(size) bytes at \(address.hexadecimal)",
      remedy: "registers take aligned words alone")
  }
}
