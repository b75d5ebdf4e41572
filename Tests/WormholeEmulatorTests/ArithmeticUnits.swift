@testable import WormholeEmulator

/// The matrix and vector unit with their registers, without a tile around them.
final class ArithmeticUnits {
  enum Source {
    case a, b
  }

  private let configuration = Configuration()
  private let sourceA = SourceRegisters(name: "SrcA")
  private let sourceB = SourceRegisters(name: "SrcB")
  private let destination = Destination()
  private let counters: RegisterCounters
  private let matrix: MatrixUnit
  private let vector: VectorUnit

  init() {
    counters = RegisterCounters(configuration: configuration)
    matrix = MatrixUnit(
      sourceA: sourceA, sourceB: sourceB, destination: destination, counters: counters,
      configuration: configuration)
    vector = VectorUnit(
      destination: destination, counters: counters, configuration: configuration)
  }

  /// bfloat16 everywhere, 32 bits in Dst where `wide`.
  func configure(wide: Bool) throws {
    try configuration.write(1, 5 << 17 | 5 << 21 | (wide ? 1 << 29 : 0), bank: 0)
  }

  /// Fills a source bank with 1.0, or rows of it, and hands it to the matrix unit.
  func fill(_ source: Source, rows: Range<Int>? = nil) throws {
    let registers = source == .a ? sourceA : sourceB
    if let rows {
      registers.didWrite(rows.lowerBound, rows.count, bank: registers.unpackBank)
    } else {
      registers.fill(bank: registers.unpackBank, with: 0x3F80_0000)
    }
    try registers.handOver()
  }

  /// Carries out instructions of thread 1; false where the last one waits.
  @discardableResult func run(_ instructions: UInt32...) throws -> Bool {
    var goesOn = true
    for instruction in instructions {
      let opcode = UInt8(instruction >> 24)
      switch opcode {
      case 0x70...0x95: goesOn = try vector.execute(instruction, opcode: opcode, thread: 1)
      case 0xA2: destination.settle()
      case 0xB2:
        try configuration.set(Int(instruction >> 16 & 0xFF), instruction & 0xFFFF, thread: 1)
      default: goesOn = try matrix.execute(instruction, opcode: opcode, thread: 1)
      }
      counters.countInstruction(thread: 1)
    }
    return goesOn
  }
}
