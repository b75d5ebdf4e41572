import CEmulatorKernels
import TensixISA
import XCTest

/// What the matrix and vector unit refuse, and that they do not refuse what is right.
final class ArithmeticViolationTests: XCTestCase {
  private func assertRefused(
    _ units: ArithmeticUnits, _ instructions: UInt32..., because text: String, line: UInt = #line
  ) {
    XCTAssertThrowsError(
      try { for instruction in instructions { try units.run(instruction) } }(), line: line
    ) {
      XCTAssertTrue("\($0)".contains(text), "\($0)", line: line)
    }
  }

  private static let one = VectorUnit.loadShort(1, 0x3F80_0000)

  // MARK: - Results that come late

  func testResultOfMultiplyAddIsThereOneInstructionLater() throws {
    let late = VectorUnit.add(0, 1, 1)
    let uses = [
      VectorUnit.mad(2, 0, 1, 1), VectorUnit.move(2, 0), VectorUnit.shiftLeft(0, 1),
      VectorUnit.loadLow(0, 1), VectorUnit.sort(larger: 0, smaller: 1),
    ]
    for use in uses {
      assertRefused(
        ArithmeticUnits(), Self.one, VectorUnit.loadShort(0, 0), late, use,
        because: "L0 in the cycle after SFPADD")
      try ArithmeticUnits().run(Self.one, VectorUnit.loadShort(0, 0), late, VectorUnit.nop, use)
    }
    let store = VectorUnit.store(0)
    assertRefused(ArithmeticUnits(), Self.one, late, store, because: "SFPSTORE reads L0")
    // An instruction of another unit takes a cycle, too, and another register does not matter.
    try ArithmeticUnits().run(Self.one, late, Tensix.setc16(1, 0), store)
    try ArithmeticUnits().run(Self.one, late, VectorUnit.move(2, 1), store)
  }

  func testEachMultiplyAddIsLate() throws {
    let instructions: [(UInt32, String)] = [
      (VectorUnit.mad(0, 1, 1, 1), "SFPMAD"), (VectorUnit.multiply(0, 1, 1), "SFPMUL"),
      (VectorUnit.addShort(0, 0x3F80_0000), "SFPADDI"), (0x74 << 24 | 0x3F80 << 8, "SFPMULI"),
      (0x73 << 24 | 4 << 16, "SFPLUT"), (0x95 << 24 | 2, "SFPLUTFP32"),
      (0x94 << 24 | 1 << 8 | 3, "SFPSHFT2"),
    ]
    for (instruction, name) in instructions {
      let units = ArithmeticUnits()
      for register: UInt32 in 0..<8 {
        try units.run(VectorUnit.loadShort(register, 0x3F80_0000))
      }
      assertRefused(
        units, instruction, 0x72 << 24 | 3 << 16, because: "L0 in the cycle after \(name)")
    }
  }

  /// The hardware itself holds back what follows a swap.
  func testResultOfSwapIsNeverEarly() throws {
    try ArithmeticUnits().run(
      Self.one, VectorUnit.loadShort(0, 0), VectorUnit.sort(larger: 0, smaller: 1),
      VectorUnit.mad(2, 0, 1, 1))
  }

  func testRotationKeepsTheSimpleUnit() throws {
    let rotate: UInt32 = 0x94 << 24 | 1 << 8 | 2 << 4 | 3
    assertRefused(
      ArithmeticUnits(), Self.one, rotate, VectorUnit.move(3, 1), because: "SFPSHFT2 rotated lanes")
    try ArithmeticUnits().run(Self.one, rotate, VectorUnit.nop, VectorUnit.move(3, 1))
    try ArithmeticUnits().run(Self.one, rotate, VectorUnit.mad(3, 1, 1, 1))
  }

  // MARK: - Dst after the matrix unit

  func testLoadFromDstWaitsForTheMatrixUnit() throws {
    func multiplied() throws -> ArithmeticUnits {
      let units = ArithmeticUnits()
      try units.configure(wide: true)
      try units.fill(.a)
      try units.fill(.b)
      try units.run(Tensix.zeroaccAll, VectorUnit.allLanesOn, Tensix.mvmul(addressMode: 0))
      return units
    }
    let nop = VectorUnit.nop
    assertRefused(try multiplied(), VectorUnit.load(0), because: "1 instructions after")
    assertRefused(try multiplied(), nop, nop, VectorUnit.load(0), because: "3 instructions after")
    try multiplied().run(nop, nop, nop, VectorUnit.load(0))
    try multiplied().run(
      Tensix.stallwait(until: Idle.matrix, blocking: Block.vector), VectorUnit.load(0))
    // Rows that the product did not touch are there.
    try multiplied().run(VectorUnit.load(0, row: 8))
  }

  // MARK: - What nobody has written

  func testRegistersAreWrittenBeforeTheyAreRead() throws {
    assertRefused(ArithmeticUnits(), VectorUnit.move(0, 1), because: "L1, which was not written")
    assertRefused(ArithmeticUnits(), VectorUnit.move(0, 11), because: "L11, which was not written")
    assertRefused(
      ArithmeticUnits(), VectorUnit.loadLow(0, 1), VectorUnit.move(1, 0),
      because: "L0, which was not written"
    )
    try ArithmeticUnits().run(
      VectorUnit.loadLow(0, 1), VectorUnit.loadHigh(0, 1), VectorUnit.move(1, 0))
    try ArithmeticUnits().run(
      VectorUnit.allLanesOn, VectorUnit.loadShort(0, 1), VectorUnit.setConstant(11),
      VectorUnit.move(0, 11), VectorUnit.move(1, 8), VectorUnit.move(1, 15))
    // Lanes that are off are not written, and not read.
    let negative: UInt32 = 0x7B << 24 | 15 << 8  // none of 0, 2, 4, ... is negative
    let units = ArithmeticUnits()
    try units.run(
      VectorUnit.allLanesOn, negative, VectorUnit.loadShort(3, 0), VectorUnit.move(4, 3))
    assertRefused(
      units, VectorUnit.allLanesOn, VectorUnit.move(4, 3), because: "L3, which was not written")
  }

  func testRowsOfDstAreWrittenOrZeroedBeforeTheyAreRead() throws {
    let units = ArithmeticUnits()
    try units.configure(wide: true)
    assertRefused(units, VectorUnit.load(0), because: "row 0, column 0 of Dst is read as 32 bits")
    try units.run(Tensix.zeroaccAll, VectorUnit.load(0))
    // The other columns of a row come back as they were when one has been written.
    try units.run(VectorUnit.store(0))
    assertRefused(units, VectorUnit.load(1, row: 2), because: "row 0, column 1 of Dst")
    try units.run(VectorUnit.store(0, row: 2), VectorUnit.load(1, row: 2))
    // 16 bits are half of 32.
    let short: UInt32 = 2 << 16
    let next = ArithmeticUnits()
    try next.run(
      VectorUnit.loadShort(0, 0), 0x72 << 24 | short | 4, 0x72 << 24 | short | 6)
    try next.run(0x70 << 24 | short | 4)
    assertRefused(next, VectorUnit.load(0, row: 4), because: "row 4, column 0 of Dst")
  }

  func testSourcesAreWrittenBeforeTheyAreRead() throws {
    let units = ArithmeticUnits()
    try units.configure(wide: false)
    try units.run(Tensix.zeroaccAll)
    try units.fill(.a, rows: 0..<8)
    try units.fill(.b)
    assertRefused(
      units, Tensix.mvmul(addressMode: 0), because: "row 8 of SrcA bank 0 is read and was never")
  }

  func testAMatrixInstructionWaitsForBothBanks() throws {
    let units = ArithmeticUnits()
    try units.configure(wide: false)
    try units.run(Tensix.zeroaccAll)
    XCTAssertFalse(try units.run(Tensix.mvmul(addressMode: 0)))
    try units.fill(.a)
    XCTAssertFalse(try units.run(Tensix.mvmul(addressMode: 0)))
    try units.fill(.b)
    XCTAssertTrue(try units.run(Tensix.mvmul(addressMode: 0)))
    try units.run(Tensix.setrwcZero(release: 3))
    assertRefused(units, Tensix.setrwcZero(release: 1), because: "SrcA bank 1 is released")
  }

  // MARK: - What is not modelled

  func testUnknownInstructionsAndBitsAreRefused() throws {
    let units = ArithmeticUnits()
    try units.configure(wide: true)
    for opcode: UInt32 in [0x09, 0x14, 0x17, 0x18, 0x22, 0x29, 0x39] {
      assertRefused(units, opcode << 24, because: "is not modelled")
    }
    assertRefused(units, 0x93 << 24, because: "SFPLOADMACRO")
    assertRefused(units, Tensix.mvmul(addressMode: 0) | 1 << 20, because: "does not have")
    assertRefused(units, 0x8F00_0001, because: "does not have")
    assertRefused(units, Self.one, 0x94 << 24 | 1 << 8 | 4, because: "Wormhole does wrongly")
    assertRefused(units, 0x88 << 24, because: "empty stack")
    assertRefused(units, Self.one, 0x86 << 24 | 1 << 8, because: "the constant L9")
    assertRefused(units, Self.one, VectorUnit.move(9, 1), because: "writes the constant L9")
    try units.fill(.a)
    try units.fill(.b)
    try units.run(Tensix.zeroaccAll, Tensix.setc16(6, 1))
    assertRefused(
      units, Tensix.elwadd(addressMode: 0, broadcast: 0), because: "in fidelity phase 1")
  }

  // MARK: - Instruction sets

  /// Whatever the processor has, products are the same.
  func testInstructionSetsAgree() throws {
    var random = SplitMix64(state: 7)
    for round in 0..<200 {
      var results: [[UInt16]] = []
      let data = (0..<384).map { _ in UInt32(truncatingIfNeeded: random.next()) & 0xFFFF_E000 }
      let old = (0..<256).map { _ in UInt16(truncatingIfNeeded: random.next()) }
      for instructionSet in 0...ek_instruction_set() {
        var dst = old
        var format = ek_matrix_format(
          kept_a: 0xFFFF_0000, kept_b: round & 2 == 0 ? 0xFFFF_0000 : 0xFFFF_E000,
          wide: round & 1 != 0, short_exponent: false, integer: false)
        let zeroed = [UInt8](repeating: 0, count: 8)
        dst.withUnsafeMutableBufferPointer { dst in
          guard let upper = dst.baseAddress else { return }
          zeroed.withUnsafeBufferPointer { zeroed in
            data.withUnsafeBufferPointer { data in
              guard let a = data.baseAddress else { return }
              let rows = ek_dst_rows(upper: upper, lower: upper + 128, zeroed: zeroed.baseAddress)
              XCTAssertTrue(
                ek_multiply(
                  instructionSet, a, a + 256, rows, 8, Int32(round >> 2 & 3), &format))
            }
          }
        }
        results.append(dst)
      }
      for other in results.dropFirst() { XCTAssertEqual(other, results[0], "round \(round)") }
    }
  }
}
