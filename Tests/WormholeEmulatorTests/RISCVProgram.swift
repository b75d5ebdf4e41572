/// A random RV32IM program: a loop over computation, memory accesses, jumps forward, inner loops and
/// calls, which ends with its registers in memory. The same on a core of the emulator and, as an
/// executable of Linux, anywhere else.
struct RISCVProgram {
  static let codeAddress: UInt32 = 0x20000
  /// Accesses are relative to its middle. In the end, registers 1 to 31 are in words 1 to 31.
  static let dataAddress: UInt32 = 0x80000
  static let dataBytes: UInt32 = 4096
  static let privateAddress: UInt32 = 0xFFB0_0000
  static let privateBytes: UInt32 = 2048

  /// Instructions, and where the first `ecall` lies: registers and memory are final there.
  private(set) var words: [UInt32] = []
  private(set) var end: UInt32 = 0
  let data: [UInt32]

  private var random: SplitMix64
  private var here: UInt32 { RISCVProgram.codeAddress + 4 * UInt32(words.count) }

  // x2 points into the data, x3 counts rounds, x4 serves addresses and inner loops, x9 points at
  // private memory.
  private static let reserved: Set<UInt32> = [0, 2, 3, 4, 9]
  private static let interesting: [UInt32] = [
    0, 1, 2, 3, 31, 32, 0x7FF, 0x800, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFE,
    0xFFFF_FFFF,
  ]

  init(seed: UInt64, length: Int, rounds: UInt32) {
    var random = SplitMix64(state: seed)
    data = (0..<RISCVProgram.dataBytes / 4).map { _ in UInt32(truncatingIfNeeded: random.next()) }
    self.random = random

    for register: UInt32 in 1..<32 {
      let special = RISCVProgram.interesting.randomElement(using: &self.random) ?? 0
      load(register, chance(0.5) ? special : UInt32(truncatingIfNeeded: self.random.next()))
    }
    load(2, RISCVProgram.dataAddress + RISCVProgram.dataBytes / 2)
    load(9, RISCVProgram.privateAddress + RISCVProgram.privateBytes / 2)
    // Private memory is read only after it was written.
    for offset in stride(from: -1024, to: 1024, by: 4) { store(2, 9, Int32(offset), anyRegister) }
    load(3, rounds)
    let start = here
    while here &- start < 4 * UInt32(length) { appendAnything() }
    // Back to the start, too far for a branch.
    emit(RISCV.immediate(3, 0, 3, -1))
    emit(RISCV.branch(0, 3, 0, 12))
    let distance = start &- here
    emit(RISCV.upper(0x17, 4, distance &+ 0x800))
    emit(0x67 | 4 << 15 | (distance & 0xFFF) << 20)
    finish()
  }

  /// Registers to memory; then, on Linux, both memories to standard output, and the end.
  private mutating func finish() {
    for register: UInt32 in 1..<32 { store(2, 2, Int32(register) * 4 - 2048, register) }
    write(RISCVProgram.dataAddress, RISCVProgram.dataBytes)
    write(RISCVProgram.privateAddress, RISCVProgram.privateBytes)
    load(10, 0)
    load(17, 93)
    emit(0x73)
  }

  private mutating func write(_ address: UInt32, _ count: UInt32) {
    load(10, 1)
    load(11, address)
    load(12, count)
    load(17, 64)
    if end == 0 { end = here }
    emit(0x73)
  }

  // MARK: - Instructions

  private mutating func appendAnything() {
    switch random.next() % 100 {
    case 0..<45: emit(computation())
    case 45..<55:
      emit(
        RISCV.upper(
          chance(0.5) ? 0x37 : 0x17, anyDestination, UInt32(truncatingIfNeeded: random.next())))
    case 55..<80: appendAccess()
    case 80..<92: appendSkip()
    case 92..<97: appendInnerLoop()
    default: appendCall()
    }
  }

  private mutating func computation() -> UInt32 {
    let function = UInt32(random.next() % 8)
    if chance(0.35) {
      if function == 1 || function == 5 {
        let arithmetic: Int32 = function == 5 && chance(0.5) ? 0x400 : 0
        return RISCV.immediate(
          anyDestination, function, anyRegister, arithmetic | Int32(random.next() % 32))
      }
      return RISCV.immediate(
        anyDestination, function, anyRegister, Int32(random.next() % 4096) - 2048)
    }
    let top: UInt32 =
      chance(0.4) ? 1 : (function == 0 || function == 5) && chance(0.5) ? 0x20 : 0
    return 0x33 | anyDestination << 7 | function << 12 | anyRegister << 15 | anyRegister << 20
      | top << 25
  }

  private mutating func appendAccess() {
    let function = UInt32(random.next() % 3)
    let size = Int32(1) << Int32(function)
    let isPrivate = chance(0.4)
    let half: Int32 = isPrivate ? 1024 : 2048
    var base: UInt32 = isPrivate ? 9 : 2
    var offset = (Int32(random.next() % UInt64(2 * half)) - half) & -size
    if chance(0.3) {
      // Computed addresses: a multiple of 8 within 1 KiB.
      emit(RISCV.immediate(4, 7, anyRegister, 0x3F8))
      emit(0x33 | 4 << 7 | 4 << 15 | base << 20)
      base = 4
      offset = Int32(random.next() % 8) & -size
    }
    if chance(0.5) {
      store(function, base, offset, anyRegister)
    } else {
      let unsigned: UInt32 = function < 2 && chance(0.5) ? 4 : 0
      emit(
        0x03 | anyDestination << 7 | (function | unsigned) << 12 | base << 15
          | UInt32(bitPattern: offset) << 20)
    }
  }

  /// A jump or a branch over up to seven computations.
  private mutating func appendSkip() {
    let count = Int32(1 + random.next() % 7)
    let distance = 4 * (count + 1)
    switch random.next() % 4 {
    case 0: emit(RISCV.jump(anyDestination, distance))
    case 1:
      emit(RISCV.upper(0x17, 4, 0))
      emit(RISCV.immediate(anyDestination, 0, 4, distance + 4) & ~0x7F | 0x67)
    default:
      let functions: [UInt32] = [0, 1, 4, 5, 6, 7]
      emit(RISCV.branch(functions[Int(random.next() % 6)], anyRegister, anyRegister, distance))
    }
    for _ in 0..<count { emit(computation()) }
  }

  private mutating func appendInnerLoop() {
    load(4, UInt32(1 + random.next() % 12))
    let count = Int32(1 + random.next() % 4)
    for _ in 0..<count { emit(computation()) }
    emit(RISCV.immediate(4, 0, 4, -1))
    emit(RISCV.branch(1, 4, 0, -4 * (count + 1)))
  }

  /// Over a body, back to it as a call, and on.
  private mutating func appendCall() {
    let count = Int32(1 + random.next() % 4)
    emit(RISCV.jump(0, 4 * (count + 2)))
    for _ in 0..<count { emit(computation(keeping: 1)) }
    emit(0x67 | 1 << 15)
    emit(RISCV.jump(1, -4 * (count + 1)))
  }

  private mutating func computation(keeping register: UInt32) -> UInt32 {
    while true {
      let word = computation()
      if word >> 7 & 31 != register { return word }
    }
  }

  private var anyRegister: UInt32 { mutating get { UInt32(random.next() % 32) } }
  private var anyDestination: UInt32 {
    mutating get {
      let register = UInt32(random.next() % 32)
      return register != 0 && RISCVProgram.reserved.contains(register) ? 5 : register
    }
  }
  private mutating func chance(_ probability: Double) -> Bool {
    Double(random.next() >> 11) < probability * 0x1p53
  }

  private mutating func emit(_ word: UInt32) { words.append(word) }

  private mutating func load(_ register: UInt32, _ value: UInt32) {
    words += RISCV.li(register, value)
  }

  private mutating func store(
    _ function: UInt32, _ base: UInt32, _ offset: Int32, _ register: UInt32
  ) {
    emit(RISCV.store(function, base, offset, register))
  }
}

struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
