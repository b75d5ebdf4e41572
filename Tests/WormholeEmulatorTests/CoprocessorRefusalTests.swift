import TensixISA
import XCTest

@testable import WormholeEmulator

/// What a program may not do, and what the counters say of one that does what it may.
final class CoprocessorRefusalTests: XCTestCase {
  private var coprocessor = Coprocessor(l1: L1(), wake: { _ in }, resume: { _ in })

  /// When a core has what it pushed last in the queue.
  private var clock: UInt64 = 0

  private func push(_ instruction: UInt32, thread: Int) throws -> Bool {
    clock = 0
    return try coprocessor.push(instruction, thread: thread, bypassingMOP: false, clock: &clock)
  }

  private func run(_ instructions: [UInt32], thread: Int = 0) throws {
    for instruction in instructions {
      XCTAssertTrue(try push(instruction, thread: thread))
      try coprocessor.run(thread: thread, until: .max)
    }
  }

  /// The last of the instructions is refused, with a text that contains `text`.
  private func assertRefused(
    _ instructions: UInt32..., text: String, file: StaticString = #filePath, line: UInt = #line
  ) {
    coprocessor = Coprocessor(l1: L1(), wake: { _ in }, resume: { _ in })
    do {
      try run(Array(instructions.dropLast()))
    } catch {
      return XCTFail("refused early: \(error)", file: file, line: line)
    }
    XCTAssertThrowsError(try run([instructions.last ?? 0]), file: file, line: line) { error in
      let seen = (error as? Violation)?.text ?? ""
      XCTAssertTrue(seen.contains(text), seen, file: file, line: line)
    }
  }

  func testSemaphores() {
    assertRefused(
      Tensix.seminit(2, value: 1, maximum: 2), Tensix.sempost(2), Tensix.sempost(2),
      text: "semaphore 2 is posted beyond its maximum 2")
    assertRefused(
      Tensix.seminit(3, value: 0, maximum: 2), Tensix.semget(3), text: "taken while it is 0")
    assertRefused(Tensix.seminit(3, value: 3, maximum: 2), text: "above its maximum")
    assertRefused(0xA4 << 24 | 3 << 2, text: "selected together")
  }

  func testMutexes() {
    assertRefused(0xA1 << 24, text: "does not hold it")
    assertRefused(0xA0 << 24, 0xA0 << 24, text: "by the thread that holds it")
    assertRefused(0xA0 << 24 | 2, text: "mutex 2")
  }

  func testUnknownInstructionsAndBits() {
    assertRefused(0x46 << 24, text: "unknown")  // FLUSHDMA
    assertRefused(0x40 << 24, text: "unknown")  // XMOV
    assertRefused(0xFF << 24, text: "unknown")
    assertRefused(0x02 << 24 | 1, text: "unknown")
    assertRefused(Tensix.stallwait(until: 0x1000, blocking: 1), text: "STALLWAIT")
    assertRefused(Tensix.setadcxyZero(units: 0), text: "no engine")
    assertRefused(Tensix.setadcxyZero(units: 1) | 1 << 18, text: "mean nothing")
    assertRefused(Tensix.setc16(8, 0), text: "register 8")
    assertRefused(Tensix.setc16(2, 2), text: "whose bits are 0x1")
  }

  func testRegistersAreWrittenBeforeTheyAreRead() {
    assertRefused(Tensix.wrcfg(64, register: 9), text: "nothing was written")
    assertRefused(
      Tensix.setdmareg(half: 18, 1), Tensix.wrcfg(64, register: 9), text: "only half")
  }

  func testConfiguration() {
    XCTAssertThrowsError(try coprocessor.writeConfiguration(4 * 120, 0, thread: nil, clock: 0))
    XCTAssertThrowsError(try coprocessor.writeConfiguration(4 * 1, 1, thread: nil, clock: 0))
    XCTAssertThrowsError(try coprocessor.writeConfiguration(4 * 14, 0x10, thread: nil, clock: 0))
    XCTAssertThrowsError(try coprocessor.writeConfiguration(2, 0, thread: nil, clock: 0))
    XCTAssertThrowsError(try coprocessor.readConfiguration(4 * 152))
    XCTAssertNoThrow(try coprocessor.writeConfiguration(4 * 14, 1, thread: nil, clock: 0))
    XCTAssertEqual(try coprocessor.readConfiguration(4 * 14), 1)
  }

  func testExpanders() throws {
    assertRefused(Tensix.replay(start: 0, count: 1), text: "which holds nothing")
    assertRefused(Tensix.replay(start: 32, count: 1), text: "REPLAY of 1 instructions from 32")
    assertRefused(Tensix.mop(), text: "never written")
    XCTAssertTrue(try push(Tensix.mop(), thread: 1))
    XCTAssertThrowsError(try coprocessor.writeMOPConfiguration(0, 1, thread: 1))
  }

  func testUnpackersAndPackers() {
    assertRefused(Tensix.unpacr(unpacker: 0) | 1 << 4, text: "UNPACR")
    assertRefused(Tensix.unpacr(unpacker: 0), text: "compressed")
    assertRefused(Tensix.pacrTile | 1 << 12, text: "PACR")
    assertRefused(Tensix.pacrTile, text: "rows a face")
    assertRefused(0x57 << 24 | 1, text: "SETDVALID")
  }

  func testAThreadWaitsAndSaysForWhat() throws {
    try run([
      Tensix.seminit(1, value: 0, maximum: 1), Tensix.semwaitWhileZero(1, blocking: Block.sync),
    ])
    XCTAssertFalse(coprocessor.hasWork(thread: 0))
    XCTAssertNil(try coprocessor.drained(thread: 0))
    XCTAssertEqual(coprocessor.describeWait(thread: 0), "semaphore 1 (0 of 1) above zero")
    try coprocessor.writeSemaphore(1, 0, clock: 500)
    XCTAssertTrue(coprocessor.hasWork(thread: 0))
    try coprocessor.run(thread: 0, until: .max)
    XCTAssertNotNil(try coprocessor.drained(thread: 0))
    try run([Tensix.semget(1)])
    XCTAssertGreaterThan(coprocessor.clock(thread: 0), 500)
    XCTAssertGreaterThan(coprocessor.work[0, .semaphore], 490)
  }

  /// A scalar addition holds its thread for four cycles, other instructions for one each.
  func testCyclesAreCounted() throws {
    try run([Tensix.setdmareg(half: 0, 1), Tensix.setdmareg(half: 1, 0)])
    let start = coprocessor.clock(thread: 0)
    try run([0x58 << 24, 0x58 << 24, Tensix.setc16(0, 0)])
    XCTAssertEqual(coprocessor.clock(thread: 0) - start, 9)
    XCTAssertEqual(coprocessor.work[.scalar].instructions, 4)
    XCTAssertEqual(coprocessor.work[.scalar].busyCycles, 10)
    XCTAssertEqual(coprocessor.work[.configuration].instructions, 1)
    // STALLWAIT until the scalar unit is idle keeps nothing back that it does not name.
    try run([Tensix.stallwait(until: Idle.thcon, blocking: Block.pack), Tensix.setc16(0, 0)])
    XCTAssertEqual(coprocessor.work[0, .idle], 0)
  }

  /// A place in the queue is free from when its instruction begins, however far the thread is when the
  /// core asks.
  func testAFullQueueRefuses() throws {
    for _ in 0..<InstructionStream.capacity { XCTAssertTrue(try push(Tensix.nop, thread: 2)) }
    XCTAssertFalse(try push(Tensix.nop, thread: 2))
    XCTAssertThrowsError(try push(Tensix.nop, thread: 3))
    XCTAssertEqual(clock, 0)
    try coprocessor.run(thread: 2, until: .max)
    for expected: UInt64 in 0..<4 {
      XCTAssertTrue(try push(Tensix.nop, thread: 2))
      XCTAssertEqual(clock, expected)
    }
  }
}
