import CTensixImages
import Foundation
import TensixISA
import XCTest

@testable import WormholeEmulator

/// What cores and their coprocessor threads can do to each other in the wrong order; each check is
/// provoked, and what is right passes.
final class HazardTests: XCTestCase {
  private static let code: UInt32 = 0x10_0000
  private static let configuration: UInt32 = 0xFFEF_0000
  private static let instructions: UInt32 = 0xFFE4_0000
  private static let drained: UInt32 = 0xFFE8_0004
  private static let ram: UInt32 = 0xFFB0_0000

  // x5 configuration, x6 instructions, x7 synchronisation, x8 private memory.
  private static let bases =
    RISCV.li(5, configuration) + RISCV.li(6, instructions) + RISCV.li(7, drained)
    + RISCV.li(8, ram)
  private static let configure = RISCV.li(9, 0) + [RISCV.sw(9, 4 * 60, 5)]
  private static let readBack = RISCV.lw(10, 4 * 60, 5)
  private static let use = RISCV.sw(10, 0, 8)
  private static let drain = [RISCV.sw(0, 0, 7), RISCV.lw(10, 0, 7), use]

  private func push(_ instruction: UInt32) -> [UInt32] {
    RISCV.li(9, instruction) + [RISCV.sw(9, 0, 6)]
  }
  private let zeroes = Tensix.zeroaccAll

  /// Runs it on T1 of a tile, and then in circles: nil, or what it stops or waits with before.
  private func run(
    _ program: [UInt32]..., tile prepare: (Tile) -> Void = { _ in }
  ) throws -> EmulatorError? {
    let card = try WormholeEmulator()
    let tile = card.tiles[0]
    prepare(tile)
    tile.l1.write(Self.bases + program.flatMap { $0 } + [RISCV.jump(0, 0)], at: Self.code)
    tile.cores[RISCVCore.Kind.t1.rawValue].reset(to: Self.code)
    do throws(EmulatorError) {
      for horizon: UInt64 in 1...20 { try tile.run(until: 1000 * horizon) }
    } catch {
      return error
    }
    let waits = tile.waits
    if waits.contains("T1 loops forever"), (try? tile.coprocessor.drained(thread: 1)) != nil {
      return nil
    }
    return EmulatorError(tile: nil, actor: .host, clock: 0, Violation("it waits: \(waits)"))
  }

  private func assertPasses(
    _ program: [UInt32]..., file: StaticString = #filePath, line: UInt = #line
  ) throws {
    let error = try run(program.flatMap { $0 })
    XCTAssertNil(error, "\(error.map(\.description) ?? "")", file: file, line: line)
  }

  func testConfigurationBeforeAnInstructionThatGoesByIt() throws {
    let error = try XCTUnwrap(run(Self.configure, push(zeroes)))
    XCTAssertEqual(error.actor, .thread(1))
    XCTAssertTrue(error.text.contains("ZEROACC may begin before"), error.text)

    let stall = Tensix.stallwait(until: Idle.configuration, blocking: Block.matrix)
    try assertPasses(Self.configure, push(stall), push(zeroes))
    try assertPasses(Self.configure, [Self.readBack, Self.use], push(zeroes))
    // Neither goes by it.
    try assertPasses(Self.configure, push(Tensix.setc16(1, 0)), push(Tensix.nop))

    // The stall blocks another unit; the result is not used; nothing is read.
    let other = Tensix.stallwait(until: Idle.configuration, blocking: Block.pack)
    XCTAssertNotNil(try run(Self.configure, push(other), push(zeroes)))
    XCTAssertNotNil(try run(Self.configure, [Self.readBack], push(zeroes)))
    // Read before it is written.
    XCTAssertNotNil(
      try run(Self.configure, [Self.readBack, Self.use], Self.configure, push(zeroes)))
  }

  func testConfigurationBehindAnInstructionThatIsQueued() throws {
    let error = try XCTUnwrap(run(push(zeroes), Self.configure))
    XCTAssertEqual(error.actor, .core("T1"))
    XCTAssertTrue(error.text.contains("word 60"), error.text)
    XCTAssertTrue(error.text.contains("ZEROACC"), error.text)
    XCTAssertEqual(error.instruction, "sw s1, 240(t0)")

    try assertPasses(push(zeroes), Self.drain, Self.configure)
    try assertPasses(push(Tensix.setc16(1, 0)), Self.configure)
  }

  func testTheDrainOfARealTile() throws {
    try assertPasses(push(zeroes), Self.drain)
    let unordered = try XCTUnwrap(run(push(zeroes), [RISCV.lw(10, 0, 7), Self.use]))
    XCTAssertTrue(unordered.text.contains("overtake"), unordered.text)
    let unused = try XCTUnwrap(
      run(push(zeroes), [RISCV.sw(0, 0, 7), RISCV.lw(10, 0, 7), RISCV.sw(0, 0, 7)]))
    XCTAssertTrue(unused.text.contains("not used"), unused.text)
  }

  func testTheConfigurationOfLoopsWaitsForTheirExpansion() throws {
    let words = [1, 4, Tensix.nop, Tensix.nop, Tensix.nop, zeroes, Tensix.nop, zeroes, zeroes]
    let loop: UInt32 = 0xFFB8_0000
    let configure = words.enumerated().flatMap { store($0.element, loop + 4 * UInt32($0.offset)) }
    let wait = [RISCV.sw(0, 4, 7), RISCV.lw(10, 4, 7), Self.use]
    try assertPasses(configure, push(Tensix.mop()), wait, configure, push(Tensix.mop()))
    let error = try XCTUnwrap(run(configure, push(Tensix.mop()), configure))
    XCTAssertTrue(error.text.contains("MOP configuration word 0"), error.text)
  }

  // MARK: - The NoC

  /// Stores a word, and has NoC 0 write 16 bytes around it to another place of the same tile.
  func testWhatTheNoCSendsHasArrived() throws {
    let source: UInt32 = 0x12_0000, noc: UInt32 = 0xFFB2_0000
    let own: UInt32 = 1 << 4 | 1 << 10  // tile (1, 1)
    let registers: [(UInt32, UInt32)] = [
      (0x00, source), (0x04, own), (0x0C, source + 64), (0x10, own), (0x18, 0), (0x1C, 0x4092),
      (0x20, 16),
    ]
    let request = registers.flatMap { store($0.1, noc + $0.0) }
    let go = RISCV.li(9, 1) + RISCV.li(10, noc + 0x28) + [RISCV.sw(9, 0, 10)]
    func fill(_ tile: Tile) { tile.l1.write([1, 2, 3, 4], at: source) }
    let stored = RISCV.li(11, source) + [RISCV.sw(11, 8, 11)]
    let confirm = [RISCV.lw(12, 8, 11), RISCV.addi(0, 12, 0)]

    XCTAssertNil(try run(request, go, tile: fill))
    let error = try XCTUnwrap(run(request, stored, go, tile: fill))
    XCTAssertTrue(error.text.contains("0x00120008"), error.text)
    XCTAssertEqual(error.instruction, "sw s1, 0(a0)")
    XCTAssertNil(try run(request, stored, confirm, go, tile: fill))
    // Loaded from elsewhere, not used, stored again.
    XCTAssertNotNil(
      try run(request, stored, [RISCV.lw(12, 0, 11), RISCV.addi(0, 12, 0)], go, tile: fill))
    XCTAssertNotNil(try run(request, stored, [RISCV.lw(12, 8, 11)], go, tile: fill))
    XCTAssertNotNil(try run(request, stored, confirm, [RISCV.sw(0, 8, 11)], go, tile: fill))
    // Another word.
    XCTAssertNil(try run(request, stored, confirm, [RISCV.sw(0, 16, 11)], go, tile: fill))
  }

  // MARK: - Circular buffers

  /// The sequencer's image: its counters are where the check looks.
  private func prepare(_ tile: Tile) {
    guard let image = tx_image(0)?.pointee else { return XCTFail("no image") }
    tile.l1.write(
      Array(UnsafeBufferPointer(start: image.words, count: Int(image.count))), at: image.address)
    tile.l1.write([7, 7, 0, 0, 0, 0], at: Control.leftPushed)
  }

  private func store(_ value: UInt32, _ address: UInt32) -> [UInt32] {
    RISCV.li(9, value) + RISCV.li(10, address) + [RISCV.sw(9, 0, 10)]
  }

  func testCircularBuffers() throws {
    let fits = 7 + Buffer.leftDepth
    XCTAssertNil(
      try run(store(fits, Control.leftPushed), store(fits, Control.leftPopped), tile: prepare))
    let full = try XCTUnwrap(run(store(fits + 1, Control.leftPushed), tile: prepare))
    XCTAssertTrue(full.text.contains("left buffer"), full.text)
    XCTAssertEqual(full.instruction, "sw s1, 0(a0)")
    let empty = try XCTUnwrap(run(store(1, Control.outputPopped), tile: prepare))
    XCTAssertTrue(empty.text.contains("output buffer"), empty.text)
    // Another program has there what it likes.
    try assertPasses(store(fits + 1, Control.leftPushed))
  }

  // MARK: - Reports

  func testFunctionsOfOurPrograms() throws {
    let l1 = L1()
    var index: Int32 = 0
    while let image = tx_image(index)?.pointee {
      XCTAssertNil(ProgramFunctions.name(at: image.address, in: l1))
      l1.write(
        Array(UnsafeBufferPointer(start: image.words, count: Int(image.count))), at: image.address)
      XCTAssertEqual(ProgramFunctions.name(at: image.address, in: l1), "start")
      let main = try XCTUnwrap(
        UnsafeBufferPointer(start: image.functions, count: Int(image.function_count))
          .first { String(cString: $0.name) == String(cString: image.name) + "()" })
      XCTAssertEqual(
        ProgramFunctions.name(at: main.address + 8, in: l1), String(cString: main.name))
      index += 1
    }
    XCTAssertEqual(index, 5)
    XCTAssertNil(ProgramFunctions.name(at: 0x17_0000, in: l1))
    XCTAssertNil(ProgramFunctions.name(at: 2, in: l1))
  }

  func testAStandstillSaysWhatEverybodyWaitsFor() throws {
    let wait = Tensix.semwaitWhileFull(Semaphore.mathToPack, blocking: Block.matrix)
    let error = try XCTUnwrap(
      run(
        push(Tensix.seminit(Semaphore.mathToPack, value: 2, maximum: 2)), push(wait),
        push(zeroes), Self.drain))
    XCTAssertTrue(error.text.contains("T1 waits for its load from 0xffe80004"), error.text)
    XCTAssertTrue(error.text.contains("thread 1 semaphore 1 (2 of 2)"), error.text)
  }

  func testATraceTellsEachInstruction() throws {
    let path = NSTemporaryDirectory() + "pi0-trace-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    do {
      let trace = try XCTUnwrap(Trace(path: path))
      XCTAssertNil(try run(push(zeroes), Self.drain, tile: trace.attach))
    }
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    // The load is tried twice, and the circle gone round three times before it is one.
    XCTAssertEqual(lines.count, 8 + 3 + 4 + 4 + 1, "\(lines)")
    XCTAssertTrue(lines[0].hasSuffix("(1,1) T1: 0x00100000 : lui t0, 0xffef0000"), "\(lines[0])")
    XCTAssertTrue(lines.contains { $0.contains("thread 1: ZEROACC \(zeroes.hexadecimal)") })
  }
}
