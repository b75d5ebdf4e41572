/// The backend configuration of a tile: words that all threads share (two banks of some of them) and
/// each thread's own 16-bit registers.
///
/// Only what is known can be written, and only bits that mean something
/// (tt-isa-documentation, TensixCoprocessor/BackendConfiguration.md).
final class Configuration {
  static let bankStride = 256
  static let threadStride = 64
  static let threadCount = 3

  /// Two banks of ``bankStride`` words. Words from 152 on are shared: both banks hold the same.
  let banks: UnsafeMutablePointer<UInt32>
  /// Three threads of ``threadStride`` registers, as SETC16 writes them.
  let threadRegisters: UnsafeMutablePointer<UInt32>
  /// Counts writes to words other than tile addresses: what was derived from them is still right
  /// while this has not moved.
  private(set) var version = 0
  /// Counts a thread's SETC16.
  private(set) var threadVersion = [0, 0, 0]
  /// Bank that the thread being run uses.
  private(set) var selectedBank = 0

  /// Forgets what the cores' instruction caches hold; bit i is core i (B, T0, T1, T2, NC).
  var invalidateInstructionCaches: ((UInt32) throws(Violation) -> Void)?
  /// Seeds the vector unit's random numbers.
  var seedRandomNumbers: ((UInt32) -> Void)?

  init() {
    banks = .allocate(capacity: 2 * Self.bankStride)
    banks.initialize(repeating: 0, count: 2 * Self.bankStride)
    threadRegisters = .allocate(capacity: Self.threadCount * Self.threadStride)
    threadRegisters.initialize(repeating: 0, count: Self.threadCount * Self.threadStride)
  }

  deinit {
    banks.deallocate()
    threadRegisters.deallocate()
  }

  // MARK: - Reading, for the units

  /// A word, or 0 where there is none, of the bank that the running thread uses.
  subscript(word: Int) -> UInt32 { banks[selectedBank * Self.bankStride + word & 0xFF] }

  /// A field of the bank that the running thread uses.
  subscript(field: ConfigurationField) -> UInt32 {
    self[field.word] >> field.shift & field.mask
  }

  func thread(_ thread: Int, _ register: Int) -> UInt32 {
    threadRegisters[thread * Self.threadStride + register & 0x3F]
  }

  func thread(_ thread: Int, _ field: ThreadField) -> UInt32 {
    self.thread(thread, field.register) >> field.shift & field.mask
  }

  /// Units called from now on work for `thread`.
  func select(thread: Int) { selectedBank = Int(self.thread(thread, .configurationBank)) }

  // MARK: - Words

  /// What RDCFG and the cores read.
  func read(_ word: Int, bank: Int) throws(Violation) -> UInt32 {
    switch word {
    case 0...3, 8, 9, 14, 20...27, 44, 45, 47, 52, 53, 56...61, 64, 65, 72, 74, 84...87, 92, 93,
      96...101, 104, 105, 124...127:
      return banks[bank * Self.bankStride + word]
    case 10, 11, 54, 55, 62, 63, 94, 95, 102, 103: return 0
    default:
      throw Violation(
        "read of configuration word \(word)", remedy: "this word cannot be read: keep a copy")
    }
  }

  /// What WRCFG, RMWCIB, REG2FLOP and the cores write.
  func write(_ word: Int, _ value: UInt32, bank: Int) throws(Violation) {
    guard let mask = Self.writable(word) else {
      throw Violation(
        "write of 0x\(String(value, radix: 16)) to configuration word \(word)",
        remedy: "no program here uses this word: write those that Configuration.swift lists")
    }
    let refused = value & ~mask | value & Self.refusedBits(word)
    guard refused == 0 else {
      throw Violation(
        "configuration word \(word) = 0x\(String(value, radix: 16)) sets bits "
          + "0x\(String(refused, radix: 16))",
        remedy: "these do nothing, or nothing that is modelled: leave them 0")
    }
    switch word {
    case 157: return try invalidate(value)
    case 164:
      guard let seedRandomNumbers else {
        throw Violation("configuration word 164 seeds random numbers that nothing draws")
      }
      return seedRandomNumbers(value)
    case 152...: banks[word] = value; banks[Self.bankStride + word] = value
    default: banks[bank * Self.bankStride + word] = value
    }
    if !Self.isTileAddress(word) { version &+= 1 }
  }

  private func invalidate(_ cores: UInt32) throws(Violation) {
    guard cores != 0 else {
      throw Violation(
        "configuration word 157 = 0 invalidates no instruction cache",
        remedy: "set the bit of each core whose code has changed")
    }
    try invalidateInstructionCaches?(cores)
  }

  /// Words that change with every tile.
  private static func isTileAddress(_ word: Int) -> Bool {
    switch word {
    case 57, 64, 65, 72, 85, 97, 104, 105, 125: true
    default: false
    }
  }

  /// Bits of a word that exist; nil where no program of ours needs the word.
  private static func writable(_ word: Int) -> UInt32? {
    switch word {
    case 0: 0x7FFF
    case 1, 2, 16, 17, 24...27, 52, 53, 56, 57, 60, 64, 65, 72, 74, 80, 81, 84, 85, 92, 93, 96, 97,
      100, 104, 105, 124, 125, 158...160, 162, 164:
      0xFFFF_FFFF
    case 3: 0x3FFF
    case 8, 44: 0xFF_FFFF
    case 9, 45, 47: 0xFFF_FFFF
    case 14: 0xF
    case 20: 0x1FF_FFFF
    case 21...23: 0xFFFF
    case 41: 0x1FF
    case 58, 59, 87, 98, 99, 127: 0xFF7F_FFFF
    case 61, 101: 0xFF_01FF
    case 86, 126: 0xFF03_FFFF
    case 152...155: 0x3_FFFF
    case 157: 0x1F
    case 161: 7
    case 163: 1
    default: nil
    }
  }

  /// Bits whose effect the official simulator leaves out: overrides of formats, stochastic rounding,
  /// padding.
  private static func refusedBits(_ word: Int) -> UInt32 {
    switch word {
    case 0: 1 << 9 | 1 << 14
    case 1: 0x7FFF
    default: 0
    }
  }

  // MARK: - A thread's registers

  /// What SETC16 writes.
  func set(_ register: Int, _ value: UInt32, thread: Int) throws(Violation) {
    guard let mask = Self.writableThreadRegister(register) else {
      throw Violation(
        "SETC16 of register \(register)",
        remedy: "no program here uses it: set those that Configuration.swift lists")
    }
    guard value & ~mask == 0 else {
      throw Violation(
        "SETC16 sets register \(register) to 0x\(String(value, radix: 16)), whose bits are "
          + "0x\(String(mask, radix: 16))",
        remedy: "leave the others 0")
    }
    threadRegisters[thread * Self.threadStride + register] = value
    threadVersion[thread] &+= 1
    if register == 0 { select(thread: thread) }
  }

  private static func writableThreadRegister(_ register: Int) -> UInt32? {
    switch register {
    case 0, 2: 1
    case 1: 0xFFF
    case 3: 7
    case 5, 6: 3
    case 7, 9, 11, 13, 15, 17, 19, 21, 23...34: 0xFFFF
    case 39: 0x3F3F
    case 48...55: 0x1F
    default: nil
    }
  }
}
