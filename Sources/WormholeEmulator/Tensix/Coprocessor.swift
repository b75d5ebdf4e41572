/// The Tensix coprocessor of a tile: three threads that carry out what the cores push
/// (tt-isa-documentation, TensixCoprocessor/README.md).
///
/// Instructions act at once and in order; each thread and each unit has a clock, which documented
/// throughputs advance.
final class Coprocessor {
  private enum Awaited { case nothing, room, expansion, end }

  /// One thread's front end and clocks.
  private final class Thread {
    let stream = InstructionStream()
    /// When its next instruction can go on.
    var clock: UInt64 = 0
    /// When its last instructions in each unit have ended.
    var idle = [UInt64](repeating: 0, count: CoprocessorUnit.allCases.count)
    /// Block mask of the last STALLWAIT or SEMWAIT, and until when it holds.
    var gateMask: UInt32 = 0
    var gateEnd: UInt64 = 0
    var gateCause = Stall.idle
    /// Changes of the tile's state that the thread had seen when its instruction had to wait.
    var waitsSince: Int?
    /// Bits of a block mask: units whose instructions may not see what the core has stored in the
    /// configuration.
    var unsettled: UInt32 = 0
    /// What a core waits for that has asked whether it is drained, or found the queue full.
    var awaited = Awaited.nothing
  }

  let configuration = Configuration()
  let counters: RegisterCounters
  let addressCounters = AddressCounters()
  let sourceA = SourceRegisters(name: "SrcA")
  let sourceB = SourceRegisters(name: "SrcB")
  let destination = Destination()
  let scalarUnit: ScalarUnit
  let syncUnit = SyncUnit()
  private let configurationUnit: ConfigurationUnit
  private let matrixUnit: MatrixUnit
  private let vectorUnit: VectorUnit
  private let unpacker: Unpacker
  private let packer: Packer

  /// Work done since the card was switched on.
  private(set) var work = CoprocessorCounters()
  /// A scalar unit's store (STOREREG) to a register of the tile.
  var storeRegister: ((_ address: UInt32, _ value: UInt32) throws(Violation) -> Void)?

  /// Told each instruction that was carried out, if anybody listens.
  var trace: ((_ clock: UInt64, _ thread: Int, _ instruction: UInt32) -> Void)?

  private let threads = [Thread(), Thread(), Thread()]
  private let costs = Costs.table
  private let wake: (UInt64) -> Void
  private let resume: (Int) -> Void
  /// Until when each unit is at work.
  private var unitFree = [UInt64](repeating: 0, count: CoprocessorUnit.allCases.count)
  private var unpackPortFree: UInt64 = 0
  /// When each bank of SrcA (0, 1) and SrcB (2, 3) was handed over, and released.
  private var bankReady = [UInt64](repeating: 0, count: 4)
  private var bankFree = [UInt64](repeating: 0, count: 4)
  /// Counts changes that can end a wait.
  private var changes = 0

  /// - Parameters:
  ///   - wake: called when state that cores can look at has changed, with the clock of that.
  ///   - resume: called with a thread's number when it has what a core waits for that found it full, or
  ///     at work. The core asks again and is told when that was.
  init(l1: L1, wake: @escaping (UInt64) -> Void, resume: @escaping (Int) -> Void) {
    self.wake = wake
    self.resume = resume
    counters = RegisterCounters(configuration: configuration)
    scalarUnit = ScalarUnit(configuration: configuration)
    configurationUnit = ConfigurationUnit(configuration: configuration, scalarUnit: scalarUnit)
    matrixUnit = MatrixUnit(
      sourceA: sourceA, sourceB: sourceB, destination: destination, counters: counters,
      configuration: configuration)
    vectorUnit = VectorUnit(
      destination: destination, counters: counters, configuration: configuration)
    unpacker = Unpacker(
      l1: l1, sourceA: sourceA, sourceB: sourceB, destination: destination,
      counters: addressCounters, configuration: configuration)
    packer = Packer(
      l1: l1, destination: destination, counters: addressCounters, configuration: configuration)
    configuration.seedRandomNumbers = { [unowned vectorUnit] in vectorUnit.seedRandomNumbers($0) }
  }

  // MARK: - From the cores

  /// False where the queue is full: the core is resumed when there is room. `clock` is raised to when
  /// there was.
  func push(_ instruction: UInt32, thread: Int, bypassingMOP: Bool, clock: inout UInt64)
    throws(Violation) -> Bool
  {
    let thread = try self.thread(thread)
    guard !thread.stream.isFull else {
      thread.awaited = .room
      return false
    }
    thread.stream.push(instruction, bypassingMOP: bypassingMOP, clock: &clock)
    return true
  }

  func writeMOPConfiguration(_ word: Int, _ value: UInt32, thread: Int) throws(Violation) {
    try self.thread(thread).stream.writeMOPConfiguration(word, value)
  }

  func readRegister(_ index: Int, thread: Int) throws(Violation) -> UInt32 {
    _ = try self.thread(thread)
    return try scalarUnit.read(index, thread: thread)
  }

  func writeRegister(_ index: Int, _ value: UInt32, thread: Int) throws(Violation) {
    _ = try self.thread(thread)
    try scalarUnit.write(index, value, thread: thread)
  }

  /// `offset` in bytes from 0xFFEF0000, in bank 0.
  func readConfiguration(_ offset: UInt32) throws(Violation) -> UInt32 {
    try configuration.read(Self.word(offset), bank: 0)
  }

  /// `thread` is the core's own; nil for B, which has none.
  func writeConfiguration(_ offset: UInt32, _ value: UInt32, thread: Int?, clock: UInt64)
    throws(Violation)
  {
    let word = try Self.word(offset)
    if let thread {
      let thread = try self.thread(thread)
      let queued = thread.stream.queued { costs[Int($0 >> 24)].blocks & Self.moving != 0 }
      if let queued {
        throw Violation(
          "Configuration word \(word) is written while the thread's \(queued.instructionName) is"
            + " queued: it may see the old value or the new one.",
          remedy: "Drain the thread first.")
      }
      thread.unsettled = Self.moving
    }
    try configuration.write(word, value, bank: 0)
  }

  /// What the thread's core has stored in the configuration is there.
  @inline(__always)
  func settleConfiguration(thread: Int) { threads[thread].unsettled = 0 }

  /// Bits of a block mask: packers, unpackers, matrix and vector unit, which go by the configuration.
  private static let moving: UInt32 = 0x14C

  private static func word(_ offset: UInt32) throws(Violation) -> Int {
    guard offset & 3 == 0 else {
      throw Violation("access to byte \(offset) of the configuration", remedy: "access whole words")
    }
    return Int(offset >> 2)
  }

  func readSemaphore(_ index: Int) throws(Violation) -> UInt32 { try syncUnit.value(index) }

  /// A core's store to a semaphore: 0 posts, 1 takes.
  func writeSemaphore(_ index: Int, _ value: UInt32, clock: UInt64) throws(Violation) {
    switch value {
    case 0: try syncUnit.post(index, byCore: true, clock: clock)
    case 1: try syncUnit.get(index, clock: clock)
    default:
      throw Violation("store of \(value) to semaphore \(index)", remedy: "0 posts, 1 takes")
    }
    changes += 1
    wake(clock)
  }

  /// When everything pushed had been carried out; a core that hears nil is resumed then.
  func drained(thread number: Int) throws(Violation) -> UInt64? {
    let thread = try thread(number)
    guard thread.stream.isEmpty else {
      thread.awaited = .end
      return nil
    }
    return thread.idle.reduce(thread.clock, max)
  }

  /// When the last MOP pushed had been expanded; a core that hears nil is resumed then.
  func expanded(thread number: Int) throws(Violation) -> UInt64? {
    let thread = try thread(number)
    guard thread.stream.isExpanded else {
      thread.awaited = .expansion
      return nil
    }
    return thread.stream.expansionEnd
  }

  // MARK: - Running

  /// Whether the thread can go on now.
  func hasWork(thread: Int) -> Bool {
    let thread = threads[thread]
    guard !thread.stream.isEmpty else { return false }
    return thread.waitsSince != changes
  }

  /// When the thread carries out its next instruction, at the earliest.
  func clock(thread: Int) -> UInt64 {
    let thread = threads[thread]
    return max(thread.clock, thread.stream.nextArrival)
  }

  /// The instruction that the thread is at.
  func instruction(thread: Int) -> UInt32? {
    let stream = threads[thread].stream
    return stream.hasInstruction ? stream.instruction : nil
  }

  /// What the thread waits for, in words.
  func describeWait(thread: Int) -> String {
    let stream = threads[thread].stream
    guard stream.hasInstruction else { return "instructions" }
    let instruction = stream.instruction
    switch instruction >> 24 {
    case 0xA6:
      let semaphore = (instruction >> 2 & 0xFF).trailingZeroBitCount
      return "\(syncUnit.describe(semaphore: semaphore)) "
        + (instruction & 1 != 0 ? "above zero" : "below its maximum")
    case 0xA0: return "mutex \(instruction & 0xFFFF)"
    case 0x42, 0x43:
      return "the matrix unit to release \(instruction >> 23 & 1 == 0 ? "SrcA" : "SrcB")"
    case 0xA2: return "STALLWAIT, conditions 0x\(String(instruction & 0x7FFF, radix: 16))"
    default: return "\(instruction.instructionName) for its operands"
    }
  }

  /// A core's reset does not reach its thread.
  func reset(thread: Int) {}

  /// Carries out the thread's instructions until its clock passes `horizon` or it has to wait.
  func run(thread number: Int, until horizon: UInt64) throws(Violation) {
    let thread = threads[number]
    let stream = thread.stream
    configuration.select(thread: number)
    let changesBefore = changes
    thread.waitsSince = nil
    while thread.clock <= horizon, try stream.fetch(clock: thread.clock) {
      if stream.arrival > thread.clock {
        work[number, .queue] += stream.arrival - thread.clock
        thread.clock = stream.arrival
      }
      guard try execute(stream.instruction, number, thread) else {
        thread.waitsSince = changes
        break
      }
      trace?(thread.clock, number, stream.instruction)
      stream.consume()
      counters.countInstruction(thread: number)
    }
    if changes != changesBefore { wake(thread.clock) }
    let isThere =
      switch thread.awaited {
      case .nothing: false
      case .room: !stream.isFull
      case .expansion: stream.isExpanded
      case .end: stream.isEmpty
      }
    if isThere {
      thread.awaited = .nothing
      resume(number)
    }
  }

  private func thread(_ number: Int) throws(Violation) -> Thread {
    guard threads.indices.contains(number) else {
      throw Violation("coprocessor thread \(number)", remedy: "there are 3")
    }
    return threads[number]
  }

  // MARK: - One instruction

  /// False where it has to wait for another thread.
  private func execute(_ instruction: UInt32, _ number: Int, _ thread: Thread) throws(Violation)
    -> Bool
  {
    let opcode = UInt8(truncatingIfNeeded: instruction >> 24)
    let cost = costs[Int(opcode)]
    if thread.unsettled & cost.blocks != 0 {
      throw Violation(
        "\(instruction.instructionName) may begin before what its core has stored in the"
          + " configuration is there.",
        remedy: "Push a STALLWAIT on the core's accesses (bit 13) that blocks it, or read the"
          + " configuration back and use the result, before pushing it.")
    }
    switch cost.unit {
    case .matrix: return try multiply(instruction, opcode, cost, number, thread)
    case .vector:
      guard try vectorUnit.execute(instruction, opcode: opcode, thread: number) else {
        return false
      }
      complete(cost.unit, cost.occupancy, cost.latency, start(cost, number, thread), thread)
    case .scalar:
      let start = start(cost, number, thread)
      if opcode == 0x67 {
        try storeRegister(instruction, number)
      } else {
        try scalarUnit.execute(
          instruction, opcode: opcode, thread: number, bank: configuration.selectedBank)
      }
      complete(.scalar, cost.occupancy, cost.latency, start, thread)
      thread.clock = start + cost.occupancy
    case .counters:
      let start = start(cost, number, thread)
      if opcode == 0x57 {
        try setValid(instruction, start)
      } else {
        try addressCounters.execute(instruction, opcode: opcode, thread: number)
      }
      complete(.counters, cost.occupancy, cost.latency, start, thread)
    case .unpackerA, .unpackerB: return try unpack(instruction, opcode, cost, number, thread)
    case .packer: try pack(instruction, cost, number, thread)
    case .sync: return try synchronise(instruction, opcode, cost, number, thread)
    case .configuration:
      switch opcode {
      case 0x02:
        guard instruction & 0xFF_FFFF == 0 else { throw unknown(instruction) }
        thread.clock += 1
      case 0xB0...0xB6:
        let start = start(cost, number, thread)
        try configurationUnit.execute(instruction, opcode: opcode, thread: number)
        complete(.configuration, cost.occupancy, cost.latency, start, thread)
      default: throw unknown(instruction)
      }
    }
    return true
  }

  private func unknown(_ instruction: UInt32) -> Violation {
    Violation(
      "instruction 0x\(String(instruction, radix: 16)) is unknown, or not for this place",
      remedy: "MOP, MOP_CFG and REPLAY may not come out of an expander behind theirs")
  }

  /// When the instruction can begin: past the gate that it is subject to, and when its unit is free.
  @inline(__always)
  private func start(_ cost: Cost, _ number: Int, _ thread: Thread) -> UInt64 {
    var start = thread.clock
    if thread.gateMask & cost.blocks != 0, thread.gateEnd > start {
      work[number, thread.gateCause] += thread.gateEnd - start
      start = thread.gateEnd
    }
    let free = unitFree[cost.unit.rawValue]
    if free > start {
      work[number, .unit] += free - start
      start = free
    }
    return start
  }

  @inline(__always)
  private func complete(
    _ unit: CoprocessorUnit, _ occupancy: UInt64, _ latency: UInt64, _ start: UInt64,
    _ thread: Thread
  ) {
    unitFree[unit.rawValue] = start + occupancy
    let end = start + latency
    if thread.idle[unit.rawValue] < end { thread.idle[unit.rawValue] = end }
    work.units[unit.rawValue].instructions += 1
    work.units[unit.rawValue].busyCycles += occupancy
    thread.clock = start + 1
  }

  // MARK: Matrix unit

  @inline(__always)
  private func multiply(
    _ instruction: UInt32, _ opcode: UInt8, _ cost: Cost, _ number: Int, _ thread: Thread
  ) throws(Violation) -> Bool {
    let bankA = sourceA.matrixBank, bankB = sourceB.matrixBank
    guard try matrixUnit.execute(instruction, opcode: opcode, thread: number) else { return false }
    var start = start(cost, number, thread)
    if cost.readsA { wait(&start, for: bankReady[bankA], .sources, number) }
    if cost.readsB { wait(&start, for: bankReady[2 + bankB], .sources, number) }
    complete(.matrix, cost.occupancy, cost.latency, start, thread)
    if sourceA.matrixBank != bankA {
      bankFree[bankA] = start + cost.latency
      changes += 1
    }
    if sourceB.matrixBank != bankB {
      bankFree[2 + bankB] = start + cost.latency
      changes += 1
    }
    return true
  }

  @inline(__always)
  private func wait(
    _ start: inout UInt64, for clock: UInt64, _ cause: Stall, _ number: Int
  ) {
    if clock > start {
      work[number, cause] += clock - start
      start = clock
    }
  }

  // MARK: Unpackers and packers

  private func unpack(
    _ instruction: UInt32, _ opcode: UInt8, _ cost: Cost, _ number: Int, _ thread: Thread
  ) throws(Violation) -> Bool {
    let isB = instruction >> 23 & 1 != 0
    let registers = isB ? sourceB : sourceA
    let bank = registers.unpackBank
    let transfer: Unpacker.Transfer?
    if opcode == 0x42 {
      transfer = try unpacker.unpack(instruction, thread: number)
    } else {
      transfer = try unpacker.fill(instruction)
    }
    guard let transfer else { return false }
    let unit = isB ? CoprocessorUnit.unpackerB : .unpackerA
    let unitCost = Cost(unit, cost.occupancy, latency: cost.latency, blocks: cost.blocks)
    var start = start(unitCost, number, thread)
    let index = (isB ? 2 : 0) + bank
    if transfer.usesBank { wait(&start, for: bankFree[index], .banks, number) }
    var occupancy = Costs.unpackStart
    if transfer.bytes > 0 {
      wait(&start, for: unpackPortFree, .unit, number)
      unpackPortFree = start + Costs.unpackPort(bytes: transfer.bytes)
      occupancy += Costs.unpack(bytes: transfer.bytes, throttleMode: transfer.throttleMode)
      work.unpackedBytes += transfer.bytes
    }
    complete(unit, occupancy, occupancy, start, thread)
    thread.clock = start + Costs.unpackStart
    if registers.unpackBank != bank {
      bankReady[index] = start + occupancy
      changes += 1
    }
    return true
  }

  private func pack(_ instruction: UInt32, _ cost: Cost, _ number: Int, _ thread: Thread)
    throws(Violation)
  {
    let start = start(cost, number, thread)
    // Whoever reads what is packed finds the packers idle first.
    let transfer = try packer.pack(instruction, thread: number, clock: start)
    let occupancy = max(
      1, Costs.pack(bytesEach: transfer.bytesEach, accumulates: transfer.accumulates))
    work.packedBytes += transfer.bytesEach * transfer.packers
    complete(.packer, occupancy, occupancy, start, thread)
  }

  /// SETDVALID.
  private func setValid(_ instruction: UInt32, _ start: UInt64) throws(Violation) {
    let selected = instruction & 3
    guard instruction & 0xFF_FFFC == 0, selected >= 2 else {
      throw Violation(
        "SETDVALID 0x\(String(instruction & 0xFF_FFFF, radix: 16))",
        remedy: "2 hands over SrcB, 3 both; SrcA alone is not modelled")
    }
    if selected & 1 != 0 {
      bankReady[sourceA.unpackBank] = start + 1
      try sourceA.handOver()
    }
    bankReady[2 + sourceB.unpackBank] = start + 1
    try sourceB.handOver()
    changes += 1
  }

  /// STOREREG.
  private func storeRegister(_ instruction: UInt32, _ thread: Int) throws(Violation) {
    let address = 0xFFB0_0000 | (instruction & 0x3FFFF) << 2
    guard let storeRegister, (0xFFB4_0000...0xFFB7_FFFF).contains(address) else {
      throw Violation(
        "STOREREG to \(address.hexadecimal)", remedy: "only overlay registers can be stored to")
    }
    try storeRegister(address, scalarUnit.read(Int(instruction >> 18 & 0x3F), thread: thread))
  }

  // MARK: Sync unit

  private func synchronise(
    _ instruction: UInt32, _ opcode: UInt8, _ cost: Cost, _ number: Int, _ thread: Thread
  ) throws(Violation) -> Bool {
    switch opcode {
    case 0xA0:
      guard instruction & 0xFF_0000 == 0 else { throw unknown(instruction) }
      guard let free = try syncUnit.acquire(Int(instruction & 0xFFFF), thread: number) else {
        return false
      }
      var start = start(cost, number, thread)
      wait(&start, for: free, .mutex, number)
      complete(.sync, 1, 1, start, thread)
    case 0xA1:
      guard instruction & 0xFF_0000 == 0 else { throw unknown(instruction) }
      let start = start(cost, number, thread)
      try syncUnit.release(Int(instruction & 0xFFFF), thread: number, clock: start + 1)
      complete(.sync, 1, 1, start, thread)
      changes += 1
    case 0xA2: return try stallWait(instruction, cost, number, thread)
    case 0xA6: return try semaphoreWait(instruction, cost, number, thread)
    default:
      guard instruction & (opcode == 0xA3 ? 0xFC03 : 0xFF_FC03) == 0 else {
        throw unknown(instruction)
      }
      let start = start(cost, number, thread)
      let semaphore = try SyncUnit.semaphore(of: instruction)
      switch opcode {
      case 0xA3:
        try syncUnit.initialise(
          semaphore, value: instruction >> 16 & 0xF, maximum: instruction >> 20 & 0xF,
          clock: start + 1)
      case 0xA4: try syncUnit.post(semaphore, clock: start + 1)
      default: try syncUnit.get(semaphore, clock: start + 1)
      }
      complete(.sync, 1, 1, start, thread)
      changes += 1
    }
    return true
  }

  private func semaphoreWait(
    _ instruction: UInt32, _ cost: Cost, _ number: Int, _ thread: Thread
  ) throws(Violation) -> Bool {
    guard instruction & 0x7C00 == 0,
      let condition = SyncUnit.Condition(rawValue: instruction & 3)
    else {
      throw Violation(
        "SEMWAIT 0x\(String(instruction & 0xFF_FFFF, radix: 16))",
        remedy: "wait while zero (1) or while full (2), not both")
    }
    let semaphore = try SyncUnit.semaphore(of: instruction)
    guard let end = try syncUnit.ends(condition, of: semaphore) else { return false }
    latch(instruction >> 15 & 0x1FF, until: end, .semaphore, cost, number, thread)
    return true
  }

  /// Conditions are bits: 0 scalar unit idle, 1 and 2 unpackers, 3 to 6 packers, 7 matrix unit, 8 SrcA
  /// and 9 SrcB free for the unpackers, 10 and 11 valid for the matrix unit, 13 the core's accesses
  /// done, 14 vector unit (STALLWAIT.md).
  private func stallWait(
    _ instruction: UInt32, _ cost: Cost, _ number: Int, _ thread: Thread
  ) throws(Violation) -> Bool {
    let conditions = instruction & 0x7FFF, blocks = instruction >> 15 & 0x1FF
    guard conditions != 0, blocks != 0, conditions & 0x1000 == 0 else {
      throw Violation(
        "STALLWAIT with conditions 0x\(String(conditions, radix: 16)) and block mask "
          + "0x\(String(blocks, radix: 16))",
        remedy: "name at least one of each; the mover (bit 12) is not modelled")
    }
    if conditions & 0x100 != 0, sourceA.isUnpackBankValid { return false }
    if conditions & 0x200 != 0, sourceB.isUnpackBankValid { return false }
    if conditions & 0x400 != 0, !sourceA.isMatrixBankValid { return false }
    if conditions & 0x800 != 0, !sourceB.isMatrixBankValid { return false }
    var end: UInt64 = 0
    func include(_ bits: UInt32, _ clock: UInt64) {
      if conditions & bits != 0 { end = max(end, clock) }
    }
    include(0x1, thread.idle[CoprocessorUnit.scalar.rawValue])
    include(0x2, thread.idle[CoprocessorUnit.unpackerA.rawValue])
    include(0x4, thread.idle[CoprocessorUnit.unpackerB.rawValue])
    include(0x78, thread.idle[CoprocessorUnit.packer.rawValue])
    include(0x80, thread.idle[CoprocessorUnit.matrix.rawValue])
    include(0x4000, thread.idle[CoprocessorUnit.vector.rawValue])
    include(0x100, bankFree[sourceA.unpackBank])
    include(0x200, bankFree[2 + sourceB.unpackBank])
    include(0x400, bankReady[sourceA.matrixBank])
    include(0x800, bankReady[2 + sourceB.matrixBank])
    // Bit 0 blocks packers and unpackers, too.
    if conditions & 0x2000 != 0 { thread.unsettled &= ~(blocks | (blocks & 1) * 0xC) }
    latch(blocks, until: end, .idle, cost, number, thread)
    if conditions & 0x80 != 0, blocks & 0x100 != 0 { destination.settle() }
    return true
  }

  /// The thread's wait gate holds one instruction: the next one comes when that is done.
  private func latch(
    _ mask: UInt32, until end: UInt64, _ cause: Stall, _ cost: Cost, _ number: Int,
    _ thread: Thread
  ) {
    var start = start(cost, number, thread)
    wait(&start, for: thread.gateEnd, thread.gateCause, number)
    complete(.sync, 1, 1, start, thread)
    thread.gateMask = mask
    // The block is lifted a cycle after the condition is met.
    thread.gateEnd = max(end, start) + 1
    thread.gateCause = cause
  }
}
