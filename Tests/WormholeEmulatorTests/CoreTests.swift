import XCTest

@testable import WormholeEmulator

/// What a core refuses, what it does not, and how it waits.
final class CoreTests: XCTestCase {
  private static let code: UInt32 = 0x1000
  private static let data: UInt32 = 0x2000
  private static let ram: UInt32 = 0xFFB0_0000

  private let l1 = L1()
  private lazy var core = RISCVCore(kind: .t0, l1: l1)

  /// Leaves reset with this program.
  private func start(_ program: [UInt32]...) {
    l1.write(program.flatMap { $0 }, at: Self.code)
    core.reset(to: Self.code)
  }

  private func violation(
    until horizon: UInt64 = 10000, on bus: any CoreBus = NoBus(), file: StaticString = #filePath,
    line: UInt = #line
  ) -> String {
    do throws(Violation) {
      try core.run(until: horizon, bus: bus)
      XCTFail("no violation", file: file, line: line)
      return ""
    } catch {
      return error.text
    }
  }

  /// Runs to its `ecall`, which stops a core.
  private func finish(
    on bus: any CoreBus = NoBus(), file: StaticString = #filePath, line: UInt = #line
  ) {
    let text = violation(on: bus, file: file, line: line)
    XCTAssertTrue(text.hasPrefix("0x00000073"), text, file: file, line: line)
  }

  // MARK: - Registers and memory that hold nothing

  func testAnUndefinedRegisterIsNotComputedWith() {
    start([RISCV.addi(5, 6, 1)])
    XCTAssertTrue(violation().contains("t1"))
    XCTAssertEqual(core.programCounter, Self.code)
    XCTAssertEqual(core.currentInstruction, "addi t0, t1, 1")
    start([RISCV.bne(8, 0, 8)])
    XCTAssertTrue(violation().contains("s0"))
    start([RISCV.lw(5, 0, 8)])
    XCTAssertTrue(violation().contains("s0"))
  }

  /// As a function does with registers of its caller, whatever they hold.
  func testAnUndefinedRegisterIsSavedAndRestored() {
    start(
      RISCV.li(2, Self.ram + 64),
      [RISCV.sw(8, 0, 2), RISCV.addi(8, 0, 5), RISCV.lw(8, 0, 2), RISCV.addi(9, 8, 0), RISCV.ecall])
    finish()
    XCTAssertNil(core.register(8))
    XCTAssertNil(core.register(9))
    start(
      RISCV.li(2, Self.ram + 64),
      [RISCV.sw(8, 0, 2), RISCV.lw(8, 0, 2), RISCV.addi(8, 8, 1)])
    XCTAssertTrue(violation().contains("s0"))
  }

  func testAnUndefinedRegisterIsNotGivenToOthers() {
    start(RISCV.li(5, Self.data), [RISCV.sw(6, 0, 5)])
    XCTAssertTrue(violation().contains("t1"))
  }

  func testMemoryThatWasNeverWritten() {
    start(RISCV.li(5, Self.data), [RISCV.lw(6, 0, 5)])
    XCTAssertTrue(violation().contains("0x00002000"))
    // Half of it was written: a program may load the word and take that half, but not the other.
    start(
      RISCV.li(5, Self.data),
      [
        RISCV.store(1, 5, 2, 0), RISCV.lw(6, 0, 5), RISCV.addi(6, 6, 1),
        0x03 | 7 << 7 | 1 << 12 | 5 << 15,  // lh
      ])
    XCTAssertTrue(violation().contains("2 bytes at L1 0x00002000"))
    XCTAssertEqual(core.register(6), 1)
    // Private memory that was never written is undefined, like a register.
    start(RISCV.li(5, Self.ram), [RISCV.lw(6, 0, 5), RISCV.addi(6, 6, 1)])
    XCTAssertTrue(violation().contains("t1"))
  }

  func testRangesKnowTheirBytes() throws {
    for _ in 0..<300 {
      let l1 = L1()
      let address = UInt32.random(in: 0..<500), count = UInt32.random(in: 1..<700)
      l1.didWrite(address, count, clock: 0)
      for _ in 0..<30 {
        let from = UInt32.random(in: 0..<1400), bytes = UInt32.random(in: 0..<700)
        let isInside = bytes == 0 || (from >= address && from + bytes <= address + count)
        XCTAssertEqual((try? l1.checkRead(from, bytes)) != nil, isInside)
      }
    }
    let end = L1.byteCount
    XCTAssertNoThrow(try l1.checkWrite(end - 16, 16))
    XCTAssertThrowsError(try l1.checkWrite(end - 16, 17))
    XCTAssertThrowsError(try l1.checkWrite(.max, 2))
    XCTAssertThrowsError(try l1.checkRead(0, .max))
  }

  // MARK: - Instructions

  func testWhatIsNoInstruction() {
    for word: UInt32 in [
      0x73, 0x0010_0073, 0x0000_000F, 0x3020_0073, 0x4000_1013, 0x4000_4033, 0x0000_200F,
      0x1000_202F,
      0xFFFF_FFFF, 0x0000_3003, 0x0000_3023, 0x0000_2063, 0x0000_1067,
    ] {
      start([word])
      XCTAssertTrue(violation().contains(word.hexadecimal), word.hexadecimal)
    }
  }

  func testWhereInstructionsAre() {
    start([RISCV.jump(0, 6)])
    XCTAssertTrue(violation().contains("0x00001006"))
    start([RISCV.jump(0, 64)])
    XCTAssertTrue(violation().contains("0x00001040"))
    start(RISCV.li(5, Self.ram), [0x67 | 5 << 15])
    XCTAssertTrue(violation().contains("0xffb00000"))
  }

  func testMisalignedAccesses() {
    for (function, offset): (UInt32, Int32) in [(1, 1), (2, 2), (2, 1), (2, 3)] {
      start(RISCV.li(5, Self.data), [RISCV.store(function, 5, offset, 0)])
      XCTAssertTrue(violation().contains((Self.data + UInt32(offset)).hexadecimal))
    }
  }

  // MARK: - Instruction cache

  /// A loop of which another core changes an instruction.
  private func startChangingLoop() throws {
    start([RISCV.addi(5, 0, 1), RISCV.nop, RISCV.store(2, 0, 0x700, 5), RISCV.jump(0, -8)])
    try core.run(until: 100, bus: NoBus())
    XCTAssertFalse(core.isParked)
    l1.write([RISCV.ecall], at: Self.code + 4)
  }

  func testAChangedInstructionIsNotRun() throws {
    try startChangingLoop()
    let text = violation()
    XCTAssertTrue(text.contains("has changed"), text)
    XCTAssertTrue(text.contains("0x00001004"), text)
  }

  func testAChangedInstructionIsRunAfterAFlush() throws {
    try startChangingLoop()
    core.flushInstructionCache()
    finish()
  }

  func testAChangedInstructionIsRunAfterAReset() throws {
    try startChangingLoop()
    core.hold()
    core.reset(to: Self.code)
    finish()
  }

  func testTheSameInstructionWrittenAgainIsNotStale() throws {
    start([RISCV.addi(5, 0, 1), RISCV.nop, RISCV.store(2, 0, 0x700, 5), RISCV.jump(0, -8)])
    try core.run(until: 100, bus: NoBus())
    l1.write([RISCV.nop], at: Self.code + 4)
    try core.run(until: 200, bus: NoBus())
  }

  // MARK: - Waiting

  func testAPollingLoopParksUntilItsWordChanges() throws {
    l1.write([0, 0, 0], at: Self.data)
    start(
      RISCV.li(5, Self.data),
      [RISCV.lw(6, 4, 5), RISCV.branch(0, 6, 0, -4), RISCV.ecall])
    try core.run(until: 1_000_000, bus: NoBus())
    XCTAssertTrue(core.isParked)
    XCTAssertLessThan(core.instructions, 20)
    XCTAssertEqual(core.watches, [Self.data + 4])
    XCTAssertTrue(core.waitsOn.contains("0x00002004"), core.waitsOn)

    // Neither another word nor a register wakes it.
    XCTAssertFalse(l1.didWrite(Self.data, 4, clock: 500))
    XCTAssertFalse(l1.didWrite(Self.data + 8, 4, clock: 500))
    core.wake(500)
    XCTAssertTrue(core.isParked)

    // The word, written with the same: it parks again.
    XCTAssertTrue(l1.didWrite(Self.data, 12, clock: 5000))
    XCTAssertFalse(core.isParked)
    XCTAssertEqual(core.clock, 5000)
    try core.run(until: 1_000_000, bus: NoBus())
    XCTAssertTrue(core.isParked)
    XCTAssertGreaterThan(core.polledCycles, 4000)

    l1.write([1], at: Self.data + 4)
    finish()
    XCTAssertFalse(l1.didWrite(Self.data + 4, 4, clock: 6000))
  }

  /// Another core's store is such a change, too.
  func testAStoreOfAnotherCoreWakes() throws {
    l1.write([0], at: Self.data)
    start(RISCV.li(5, Self.data), [RISCV.lw(6, 0, 5), RISCV.branch(0, 6, 0, -4), RISCV.ecall])
    try core.run(until: 1_000_000, bus: NoBus())
    XCTAssertTrue(core.isParked)
    let other = RISCVCore(kind: .b, l1: l1)
    l1.write(
      RISCV.li(5, Self.data) + [RISCV.addi(6, 0, 1), RISCV.sw(6, 0, 5), RISCV.ecall], at: 0x800)
    other.clock = 7000
    other.reset(to: 0x800)
    XCTAssertThrowsError(try other.run(until: 10000, bus: NoBus()))
    XCTAssertFalse(core.isParked)
    XCTAssertGreaterThanOrEqual(core.clock, 7000)
    finish()
  }

  /// A loop that counts, or stores, is no polling.
  func testALoopThatDoesSomethingDoesNotPark() throws {
    l1.write([0], at: Self.data)
    for body in [
      [RISCV.lw(6, 0, 5), RISCV.addi(7, 7, 1)], [RISCV.lw(6, 0, 5), RISCV.sw(0, 4, 5)],
    ] {
      start(RISCV.li(5, Self.data), RISCV.li(7, 0), body, [RISCV.branch(0, 6, 0, -8)])
      core.clock = 0
      try core.run(until: 5000, bus: NoBus())
      XCTAssertFalse(core.isParked)
      XCTAssertGreaterThanOrEqual(core.clock, 5000)
    }
  }

  func testALoopOverRegistersOfTheTileParksUntilOneChanges() throws {
    let bus = Registers()
    start(
      RISCV.li(5, 0xFFB2_0200), [RISCV.lw(6, 0, 5), RISCV.branch(0, 6, 0, -4), RISCV.ecall])
    try core.run(until: 1_000_000, bus: bus)
    XCTAssertTrue(core.isParked)
    bus.values[0xFFB2_0200] = 3
    core.wake(900)
    finish(on: bus)
    XCTAssertEqual(core.register(6), 3)
    XCTAssertGreaterThanOrEqual(core.clock, 900)
  }

  /// Time passes in a loop that reads a clock.
  func testALoopOverWhatIsNotPureDoesNotPark() throws {
    let bus = Registers()
    bus.isPure = false
    start(RISCV.li(5, 0xFFB1_21F0), [RISCV.lw(6, 0, 5), RISCV.branch(0, 6, 0, -4)])
    try core.run(until: 5000, bus: bus)
    XCTAssertFalse(core.isParked)
  }

  func testWhatIsNotAcceptedIsTriedAgain() throws {
    let bus = Registers()
    bus.isFull = true
    // A word of the instruction stream whose lower bits are not 11, turned to the right.
    start(
      [0x0800_0004], RISCV.li(5, 0xFFE4_0000), RISCV.li(6, 0x0200_0000),
      [RISCV.sw(6, 0, 5), RISCV.ecall])
    try core.run(until: 5000, bus: bus)
    XCTAssertTrue(core.isParked)
    XCTAssertEqual(core.currentInstruction, "push NOP 0x02000001")
    // It waits for its thread alone, and its own clock tells when that was.
    let clock = core.clock
    core.wake(clock + 300)
    XCTAssertTrue(core.isParked)
    bus.isFull = false
    core.resume(thread: try XCTUnwrap(core.kind.thread))
    finish(on: bus)
    XCTAssertEqual(bus.pushed, [0x0200_0001, 0x0200_0000])
    XCTAssertLessThan(core.clock, clock + 300)
  }

  // MARK: - Store, load, use

  private static let drain: [UInt32] = RISCV.li(5, 0xFFE8_0004) + RISCV.li(7, 0xFFB0_0000)

  func testADrainIsStoreLoadUse() {
    start(
      [0x0800_0000], Self.drain,
      [RISCV.sw(0, 0, 5), RISCV.lw(6, 0, 5), RISCV.sw(6, 0, 7), RISCV.ecall])
    finish(on: Registers())
    start(
      [0x0800_0000], Self.drain,
      [
        RISCV.sw(0, 0, 5), RISCV.lw(6, 0, 5), RISCV.immediate(6, 7, 6, 0), RISCV.sw(0, 0, 7),
        RISCV.ecall,
      ])
    finish(on: Registers())
    // Seven instructions later, what was loaded is there.
    start(
      [0x0800_0000], Self.drain, [RISCV.sw(0, 0, 5), RISCV.lw(6, 0, 5)],
      [UInt32](repeating: RISCV.nop, count: 7), [RISCV.sw(0, 0, 7), RISCV.ecall])
    finish(on: Registers())
    // Nothing was pushed since the last one.
    start(Self.drain, [RISCV.lw(6, 0, 5), RISCV.sw(6, 0, 7), RISCV.ecall])
    finish(on: Registers())
  }

  func testADrainWithoutItsUse() {
    for access in [RISCV.sw(0, 0, 5), RISCV.lw(9, 0, 5), RISCV.sw(5, 0x700, 0), 0x0800_0000] {
      start([0x0800_0000], Self.drain, [RISCV.sw(0, 0, 5), RISCV.lw(6, 0, 5), RISCV.nop, access])
      let text = violation(on: Registers())
      XCTAssertTrue(text.contains("t1"), text)
    }
    start([0x0800_0000], Self.drain, [RISCV.sw(0, 0, 5), RISCV.lw(0, 0, 5), RISCV.sw(0, 0, 5)])
    XCTAssertTrue(violation(on: Registers()).contains("x0"))
  }

  func testADrainWithoutItsStore() {
    start([0x0800_0000], Self.drain, [RISCV.lw(6, 0, 5), RISCV.sw(6, 0, 7)])
    let text = violation(on: Registers())
    XCTAssertTrue(text.contains("overtake"), text)
  }

  // MARK: - Costs

  func testClocks() {
    // An L1 load takes eight cycles, which other instructions can fill.
    l1.write([1], at: Self.data)
    start(RISCV.li(5, Self.data), [RISCV.lw(6, 0, 5), RISCV.addi(6, 6, 1), RISCV.ecall])
    core.clock = 0
    finish()
    XCTAssertEqual(core.clock, 2 + 8 + 1)
    start(
      RISCV.li(5, Self.data), [RISCV.lw(6, 0, 5)], [UInt32](repeating: RISCV.nop, count: 7),
      [RISCV.addi(6, 6, 1), RISCV.ecall])
    core.clock = 0
    finish()
    XCTAssertEqual(core.clock, 2 + 8 + 1)
    // mul 2, div by the dividend
    start(
      RISCV.li(5, 1000), RISCV.li(6, 10), [0x0262_83B3, 0x0262_C3B3, RISCV.ecall])
    core.clock = 0
    finish()
    XCTAssertEqual(core.clock, 4 + 2 + 11)
  }
}

/// Registers that hold what they are given.
private final class Registers: CoreBus {
  var values: [UInt32: UInt32] = [:]
  var isPure = true
  var isFull = false
  var pushed: [UInt32] = []

  func load(_ address: UInt32, size: Int, core: RISCVCore) throws(Violation) -> BusLoad {
    .value(values[address] ?? 0, pure: isPure)
  }
  func store(_ value: UInt32, _ address: UInt32, size: Int, core: RISCVCore) throws(Violation)
    -> Bool
  {
    if address == 0xFFE4_0000 { return try push(value, core: core) }
    values[address] = value
    return true
  }
  func push(_ instruction: UInt32, core: RISCVCore) throws(Violation) -> Bool {
    if !isFull { pushed.append(instruction) }
    return !isFull
  }
}
