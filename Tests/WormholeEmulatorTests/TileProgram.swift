import TensixISA
import Wormhole

/// Work for one tile: core B stores words where they are told to, configuration and instructions for
/// the three coprocessor threads, and waits for registers in between. The same on every card.
struct TileProgram {
  /// Pairs that B carries out: an address and the word to store there; or an odd address, and the
  /// word to wait for at the even one below.
  private(set) var steps: [UInt32] = []
  /// What the host writes to L1 before.
  var inputs: [(address: UInt64, words: [UInt32])] = []

  static let output: UInt64 = 0x60000
  static func input(_ number: Int) -> UInt64 { 0x40000 + 0x2000 * UInt64(number) }

  // MARK: - Steps

  mutating func store(_ value: UInt32, at address: UInt32) { steps += [address, value] }

  mutating func configure(_ word: UInt32, _ value: UInt32) {
    store(value, at: 0xFFEF_0000 + 4 * word)
  }

  mutating func push(_ instructions: UInt32..., thread: UInt32) {
    for instruction in instructions { store(instruction, at: 0xFFE4_0000 + thread << 16) }
  }

  /// B goes on when the thread's instructions have been carried out. It cannot see semaphores: core
  /// T1 counts them for it.
  mutating func drain(thread: UInt32) {
    push(Tensix.stallwait(until: 0x40FF, blocking: Block.sync), thread: thread)
    push(Tensix.sempost(Self.semaphore), thread: thread)
    drains += 1
    steps += [UInt32(Self.drained) | 1, drains]
  }

  private var drains: UInt32 = 0
  static let semaphore: UInt32 = 7
  static let drained: UInt64 = 0x1008

  // MARK: - Between L1 and the registers

  /// Counters and formats that all programs share.
  mutating func begin() {
    store(0, at: UInt32(Self.drained))
    for thread: UInt32 in 0..<3 { push(Tensix.setc16(0, 0), thread: thread) }
    push(
      Tensix.seminit(Self.semaphore, value: 0, maximum: 15), Tensix.setc16(39, 0),
      Tensix.setadcxyZero(units: 3), Tensix.setadczwZero(units: 3),
      Tensix.setadcxx(units: 3, last: 1023), thread: 0)
    push(
      Tensix.setc16(31, 0), Tensix.setc16(32, 0), Tensix.setadcxyZero(units: 4),
      Tensix.setadczwZero(units: 4), Tensix.setadcxx(units: 4, last: 255), thread: 2)
    for (word, value): (UInt32, UInt32) in [
      (0, 0), (2, 0), (53, 1 | 4 << 16), (93, 1 | 4 << 16), (74, 256 | 256 << 16), (41, 0), (44, 0),
      (45, 512), (47, 512), (80, 0), (81, 0), (14, 1), (16, 0), (17, 0), (20, 0xFFFF), (21, 0),
    ] { configure(word, value) }
    configure(101, 0xF | 0xF << 16)
    // Packers take 32 bits of Dst as they are.
    configure(8, 64 << 12)
    configure(9, 1024 | 4096 << 12)
    for (packer, word) in [UInt32(56), 84, 96, 124].enumerated() {
      let packer = UInt32(packer)
      configure(24 + packer, 16 << 8)
      configure(word, 0)
      configure(word + 2, 1)
      configure(word + 3, 0)
      configure(152 + packer, 16 * packer)
    }
  }

  /// A tile of 1024 words of 32 bits to tile `tile` of Dst, as they are.
  mutating func unpackToDst(_ number: Int, tile: UInt32) {
    drain(thread: 0)
    configure(52, 1 << 4 | 256 << 16)
    configure(60, 2 << 4)
    configure(61, 0xFF | 0xFF << 16)
    configure(72, 64 + 1024 * tile | 64 << 16)
    configure(64, UInt32(Self.input(number) >> 4) - 1)
    push(Tensix.setc16(3, 0), Tensix.unpacrToDst, thread: 0)
    drain(thread: 0)
  }

  /// A tile to SrcA (unpacker 0) or SrcB (1), from the format in L1 to that in the registers.
  mutating func unpack(_ number: Int, unpacker: UInt32, from format: UInt32, to source: UInt32) {
    drain(thread: 0)
    let address = UInt32(Self.input(number) >> 4) - 1
    if unpacker == 0 {
      configure(52, format | 1 << 4 | 256 << 16)
      configure(60, source | 2 << 4)
      configure(61, 0xF | 0xF << 16)
      configure(72, 64 | 64 << 16)
      configure(64, address)
      push(Tensix.setc16(3, 4), thread: 0)
    } else {
      configure(92, format | 1 << 4 | 256 << 16)
      configure(100, source | 2 << 4)
      configure(104, address)
    }
    push(Tensix.unpacr(unpacker: unpacker), thread: 0)
    drain(thread: 0)
  }

  /// Tile 0 of Dst as 32-bit words, to ``output``.
  mutating func pack() {
    drain(thread: 1)
    for (face, word) in [UInt32(57), 85, 97, 125].enumerated() {
      configure(word, UInt32((Self.output + UInt64(1024 * face)) >> 4) - 1)
    }
    push(Tensix.selectPackedTile(0), Tensix.pacrTile, thread: 2)
    drain(thread: 2)
  }
}

/// A tile whose core B carries out one ``TileProgram`` after the other, with core T1's help.
final class TileRunner {
  private let transport: SimulatedTransport
  private let tile = TileCoordinate(x: 1, y: 1)
  private var count: UInt32 = 0

  private static let command: UInt64 = 0x1000
  private static let done: UInt64 = 0x1004
  private static let list: UInt64 = 0x10000

  init(_ bus: any SimulatedBus) throws {
    transport = try SimulatedTransport(bus: bus)
    try transport.write(Self.program, to: tile, at: 0)
    try transport.write(Self.counter, to: tile, at: 0xA000)
    try transport.write([UInt32(0), 0, 0], to: tile, at: Self.command)
    // Where T1 begins may have been said by programs that ran here before.
    try transport.write32(TileMemory.allHeld & ~0x800, to: tile, at: TileMemory.softReset)
    var start = TileProgram()
    start.configure(161, 0)
    _ = try run(start)
    try transport.write32(TileMemory.allHeld & ~0x2800, to: tile, at: TileMemory.softReset)
  }

  deinit { transport.close() }

  func run(_ program: TileProgram) throws -> [UInt32] {
    for input in program.inputs {
      try transport.write(input.words, to: tile, at: input.address)
    }
    try transport.write(program.steps + [0, 0], to: tile, at: Self.list)
    count += 1
    try transport.write32(count, to: tile, at: Self.command)
    var rounds = 0
    while try transport.read32(from: tile, at: Self.done) != count {
      try transport.advance()
      rounds += 1
      guard rounds < 100_000 else { throw TileHangs() }
    }
    return try transport.readWords(1024, from: tile, at: TileProgram.output)
  }

  struct TileHangs: Error {}

  /// Registers: 5 command, 6 done, 7 count, 9 next step, 10 address, 11 word.
  private static let program: [UInt32] = {
    var words = RISCV.li(5, UInt32(command)) + RISCV.li(6, UInt32(done)) + [RISCV.addi(7, 0, 0)]
    let loop = words.count
    words += [RISCV.addi(7, 7, 1), RISCV.lw(8, 0, 5), RISCV.bne(8, 7, -4)]
    words += RISCV.li(9, UInt32(list))
    let next = words.count
    func back(to target: Int, from here: Int) -> Int32 { Int32(4 * (target - here)) }
    words += [RISCV.lw(10, 0, 9), RISCV.lw(11, 4, 9), RISCV.addi(9, 9, 8)]
    words += [RISCV.bne(10, 0, 12), RISCV.sw(7, 0, 6)]  // the list's end
    words.append(RISCV.jump(0, back(to: loop, from: words.count)))
    words.append(RISCV.immediate(12, 7, 10, 1))
    words += [RISCV.bne(12, 0, 12), RISCV.sw(11, 0, 10)]
    words.append(RISCV.jump(0, back(to: next, from: words.count)))
    words += [RISCV.addi(10, 10, -1), RISCV.lw(12, 0, 10), RISCV.bne(12, 11, -4)]
    words.append(RISCV.jump(0, back(to: next, from: words.count)))
    return words
  }()

  /// T1: takes the semaphore whenever somebody has posted it, and counts.
  private static let counter: [UInt32] =
    RISCV.li(5, 0xFFE8_0020 + 4 * TileProgram.semaphore) + RISCV.li(6, UInt32(TileProgram.drained))
    + [
      RISCV.addi(8, 0, 1),
      RISCV.lw(7, 0, 5), RISCV.branch(0, 7, 0, -4), RISCV.sw(8, 0, 5),
      RISCV.lw(9, 0, 6), RISCV.addi(9, 9, 1), RISCV.sw(9, 0, 6), RISCV.jump(0, -24),
    ]
}
