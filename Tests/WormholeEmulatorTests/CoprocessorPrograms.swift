import TensixISA

/// Random programs, all of which the official simulator accepts.
enum CoprocessorPrograms {
  typealias Generator = @Sendable (inout CoprocessorProgram, inout SplitMix64) -> Void

  static let all: [(name: String, generate: Generator)] = [
    ("pack-32", packWide), ("pack-16", packNarrow), ("pack-modes", packModes),
    ("unpack-a", { unpack(&$0, &$1, unpacker: 0) }),
    ("unpack-b", { unpack(&$0, &$1, unpacker: 1) }),
    ("unpack-moved", unpackMoved), ("expanders", expanders), ("configuration", configuration),
    ("pipeline", pipeline),
  ]

  static func program(_ name: String, seed: UInt64) -> CoprocessorProgram? {
    guard let generate = all.first(where: { $0.name == name })?.generate else { return nil }
    var random = SplitMix64(state: seed)
    var program = CoprocessorProgram()
    generate(&program, &random)
    return program
  }

  // MARK: - Data

  /// fp32 bit patterns: anything, numbers near one another, and the edges of the format.
  private static func floats(_ count: Int, _ random: inout SplitMix64) -> [UInt32] {
    (0..<count).map { _ in
      let bits = UInt32(truncatingIfNeeded: random.next())
      switch random.next() % 8 {
      case 0: return bits
      case 1: return bits & 0x807F_FFFF  // zeros and denormals
      case 2: return bits | 0x7F80_0000  // infinities and NaNs
      case 3: return bits & 0x8000_0000 | 0x7F7F_8000 | bits & 0xFFFF  // rounded to infinity
      case 4: return bits & 0xFFFF_0000 | 0x8000  // halfway
      default: return bits & 0x807F_FFFF | (120 + bits >> 8 & 15) << 23
      }
    }
  }

  private static func bytes(_ words: [UInt32]) -> [UInt8] {
    words.flatMap { word in (0..<4).map { UInt8(truncatingIfNeeded: word >> (8 * UInt32($0))) } }
  }

  private static func bytes(_ count: Int, _ random: inout SplitMix64) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
  }

  private static func chance(_ random: inout SplitMix64) -> Bool { random.next() & 1 == 0 }

  // MARK: - Instructions

  private static func unpacr(_ unpacker: UInt32, valid: Bool, steps: UInt32 = 0) -> UInt32 {
    0x42 << 24 | unpacker << 23 | steps << 15 | 1 << 7 | (valid ? 1 << 6 : 0) | 1
  }

  private static func unpacrNop(_ unpacker: UInt32, _ mode: UInt32) -> UInt32 {
    0x43 << 24 | unpacker << 23 | mode
  }

  private static func pacr(
    _ selected: UInt32, last: Bool, flush: Bool = false, mode: UInt32 = 0
  ) -> UInt32 {
    0x41 << 24 | mode << 15 | selected << 8 | 1 << 4 | (flush ? 2 : 0) | (last ? 1 : 0)
  }

  /// `result` = `a` + `b`, or the product of their lower halves.
  private static func arithmetic(
    _ multiplies: Bool, _ result: UInt32, _ a: UInt32, _ b: UInt32
  ) -> UInt32 { (multiplies ? 0x5A : 0x58) << 24 | result << 12 | b << 6 | a }

  private static func setAddress(
    engines: UInt32, channel: UInt32, dimension: UInt32, _ value: UInt32
  ) -> UInt32 { 0x50 << 24 | engines << 21 | channel << 20 | dimension << 18 | value }

  // MARK: - Configuration

  private static let packerWords: [UInt32] = [56, 84, 96, 124]

  private static let threadRegisters: [UInt32] = [
    0, 1, 2, 5, 6, 7, 9, 11, 13, 15, 17, 19, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 39,
    48, 49, 50, 51, 52, 53, 54, 55,
  ]
  private static let unchanged: [(word: UInt32, value: UInt32)] = [
    (0, 0), (2, 0), (53, 0x4_0001), (93, 0x4_0001), (61, 0xF_000F), (101, 0xF_000F),
    (74, 0x100_0100), (72, 0x40_0040), (41, 0), (44, 0), (45, 512), (47, 512), (80, 0), (81, 0),
    (16, 0), (17, 0), (20, 0xFFFF), (21, 0),
  ]

  /// Everything that no program sets, as the card's own programs have it.
  private static func begin(_ program: inout CoprocessorProgram, thread: Int = 0) {
    for register in threadRegisters { program.push(Tensix.setc16(register, 0), thread: thread) }
    program.push(Tensix.setadcxyZero(units: 7), thread: thread)
    program.push(Tensix.setadczwZero(units: 7), thread: thread)
    program.drain(thread)
    for (word, value) in unchanged { program.configure(word, value, thread: thread) }
    for packer: UInt32 in 0..<4 {
      program.configure(24 + packer, 16 << 8, thread: thread)
      program.configure(packerWords[Int(packer)], 0, thread: thread)
      program.configure(packerWords[Int(packer)] + 3, 0, thread: thread)
      program.configure(152 + packer, 16 * packer, thread: thread)
    }
  }

  /// Formats of the packers; the thread is drained.
  private static func configurePackers(
    _ program: inout CoprocessorProgram, wide: Bool, from: UInt32, to: UInt32, sources: UInt32 = 5,
    thread: Int = 0
  ) {
    let bytes: UInt32 = [0, 4, 8].contains(from) ? 4 : [1, 5, 9].contains(from) ? 2 : 1
    program.configure(
      1, sources << 17 | sources << 21 | from << 25 | 1 << 29 | 1 << 30, thread: thread)
    program.configure(8, 16 * bytes << 12, thread: thread)
    program.configure(9, 256 * bytes | 1024 * bytes << 12, thread: thread)
    program.configure(14, wide ? 1 : 0, thread: thread)
    for word in packerWords { program.configure(word + 2, to << 4 | from << 8 | 1, thread: thread) }
  }

  private static func setPackAddresses(
    _ program: inout CoprocessorProgram, _ addresses: [UInt32], thread: Int = 0
  ) {
    for (word, address) in zip(packerWords, addresses) {
      program.configure(word + 1, address >> 4 &- 1, thread: thread)
    }
  }

  private static let toDst: UInt32 = 0xFF | 0xFF << 16
  private static let toSource: UInt32 = 0xF | 0xF << 16

  /// All of Dst, eight tiles of 32 bits.
  private static func fillDst(_ program: inout CoprocessorProgram, _ random: inout SplitMix64) {
    // No row reads as zero any more: lower halves of 32 bits do not end that.
    program.configure(1, 5 << 17 | 5 << 21 | 5 << 25)
    for unpacker: UInt32 in 0...1 {
      program.push(unpacrNop(unpacker, 1))
      program.push(unpacrNop(unpacker, 7))
    }
    program.push(Tensix.setc16(23, 8))
    program.push(Tensix.setrwcZero())
    for _ in 0..<128 { program.push(Tensix.elwadd(addressMode: 0, broadcast: 0)) }
    program.push(Tensix.setrwcZero(release: 3))
    program.drain()
    program.configure(52, 0 | 1 << 4 | 256 << 16)
    program.configure(60, 0 | 2 << 4)
    program.configure(61, toDst)
    program.push(Tensix.setc16(3, 0))
    program.push(Tensix.setadcxx(units: 3, last: 1023))
    for tile: UInt32 in 0..<8 {
      let address = program.input(bytes(floats(1024, &random)))
      program.drain()
      program.configure(64, address >> 4 &- 1)
      program.configure(72, 64 + 1024 * tile | 64 << 16)
      program.push(unpacr(0, valid: false))
    }
    program.drain()
    program.configure(72, 64 | 64 << 16)
    program.configure(61, toSource)
  }

  // MARK: - Packers

  static let wideModes: [(UInt32, UInt32)] = [
    (0, 0), (0, 1), (0, 6), (0, 7), (0, 15), (5, 5), (6, 6), (6, 7), (8, 8), (9, 9), (14, 14),
  ]
  static let narrowModes: [(UInt32, UInt32)] = [
    (1, 0), (1, 1), (1, 5), (2, 6), (5, 0), (5, 5), (5, 6), (5, 7), (5, 15), (6, 0), (6, 5), (6, 6),
    (6, 7), (9, 9),
  ]

  private static func packWide(_ program: inout CoprocessorProgram, _ random: inout SplitMix64) {
    packAll(&program, &random, wide: true, wideModes)
  }

  private static func packNarrow(_ program: inout CoprocessorProgram, _ random: inout SplitMix64) {
    packAll(&program, &random, wide: false, narrowModes)
  }

  /// A tile in each format.
  private static func packAll(
    _ program: inout CoprocessorProgram, _ random: inout SplitMix64, wide: Bool,
    _ modes: [(UInt32, UInt32)]
  ) {
    begin(&program)
    fillDst(&program, &random)
    program.push(Tensix.setadcxx(units: 4, last: 255))
    for (from, to) in modes {
      program.drain()
      configurePackers(&program, wide: wide, from: from, to: to)
      let output = program.output(8192)
      // Block formats: 16 bytes of exponents in front of each face.
      for word in packerWords { program.configure(word, 1 << 16) }
      setPackAddresses(&program, (0..<4).map { output + 2048 * $0 })
      program.push(Tensix.selectPackedTile(UInt32(random.next() % 4)))
      program.push(pacr(15, last: true))
    }
    program.drain()
  }

  /// Parts of tiles, several instructions a tile, edge masks, ReLU, accumulation, address modes.
  private static func packModes(_ program: inout CoprocessorProgram, _ random: inout SplitMix64) {
    begin(&program)
    fillDst(&program, &random)
    for _ in 0..<48 {
      let wide = chance(&random)
      let (from, to) = (wide ? wideModes : narrowModes).randomElement(using: &random) ?? (5, 5)
      program.drain()
      configurePackers(&program, wide: wide, from: from, to: to)
      let isBlock = [6, 7, 14, 15].contains(to)
      setPackOptions(&program, &random, from: from, to: to)
      let selected: UInt32 = [1, 3, 15].randomElement(using: &random) ?? 15
      let output = program.changed(outputBytes(to, &random))
      setPackAddresses(&program, (0..<4).map { output + 4096 * $0 })
      for packer: UInt32 in 0..<4 {
        program.configure(152 + packer, UInt32(random.next() % 700))
      }
      for mode: UInt32 in 0..<4 {
        program.push(
          Tensix.setc16(31 + mode, UInt32(random.next() & 0xFFFF) & ~(1 << 10)))
      }
      program.push(Tensix.setadcxyZero(units: 4))
      program.push(Tensix.setadczwZero(units: 4))
      for part in 0...random.next() % 3 {
        let power = chance(&random) ? 8 : isBlock ? 4 + random.next() % 5 : random.next() % 9
        program.push(Tensix.setadcxx(units: 4, last: 1 << UInt32(power) - 1))
        // Long parts end the tile, so that it stays within its bytes.
        let last = part == 2 || chance(&random)
        program.push(pacr(selected, last: last, mode: UInt32(random.next() % 4)))
        if last { break }
      }
      program.push(Tensix.setadcxyZero(units: 4))
      program.push(Tensix.setadczwZero(units: 4))
      program.push(pacr(selected, last: chance(&random), flush: true))
    }
    program.drain()
  }

  /// Four packers' 4 KiB: numbers that can be added to.
  private static func outputBytes(_ format: UInt32, _ random: inout SplitMix64) -> [UInt8] {
    format == 0 ? bytes(floats(4096, &random)) : bytes(16384, &random)
  }

  private static func setPackOptions(
    _ program: inout CoprocessorProgram, _ random: inout SplitMix64, from: UInt32, to: UInt32
  ) {
    let accumulates = [0, 1, 5].contains(to) && chance(&random)
    for word in packerWords {
      program.configure(word, UInt32(1 + random.next() % 8) << 16)
      program.configure(word + 3, accumulates ? 1 << 21 : 0)
    }
    var relu: UInt32 = 0
    if from == 8 {
      relu = UInt32(random.next() % 2)
    } else if [0, 1, 2, 5, 6].contains(from) {
      relu = UInt32(random.next() % 4)
    }
    program.configure(2, relu << 2 | UInt32(random.next() & 0x7FFF) << 6)
    let masks: [UInt32] = [0, 1, 0xFFFF]
    let rowSets = chance(&random) ? UInt32(truncatingIfNeeded: random.next()) & 0x55 : 0
    let rows = chance(&random) ? UInt32(truncatingIfNeeded: random.next()) & 0x5555_5555 : 0
    program.configure(16, rows)
    program.configure(17, rows ^ 0x5555_5555)
    program.configure(
      20, (chance(&random) ? masks.randomElement(using: &random) ?? 0 : 0xFFFF) | rowSets << 17)
    program.configure(21, masks.randomElement(using: &random) ?? 0)
    let height = UInt32(1 + random.next() % 16)
    for packer: UInt32 in 0..<4 { program.configure(24 + packer, height << 8) }
  }

  // MARK: - Unpackers

  /// From L1's format to the register's, and what the matrix unit takes it for.
  private static let sourceFormats: [(input: UInt32, output: UInt32, arithmetic: UInt32)] = [
    (0, 4, 4), (0, 5, 5), (5, 5, 5), (6, 6, 5), (7, 7, 5), (15, 15, 5),
  ]

  private static func tile(_ format: UInt32, _ random: inout SplitMix64) -> [UInt8] {
    switch format {
    case 0: bytes(floats(2048, &random))
    case 5: bytes(floats(2048, &random)).enumerated().filter { $0.offset % 4 > 1 }.map(\.element)
    default: bytes(64 + 4096, &random)
    }
  }

  /// Tiles of each format, whole; SrcA also transposed. The matrix unit adds zero, in fp32.
  private static func unpack(
    _ program: inout CoprocessorProgram, _ random: inout SplitMix64, unpacker: UInt32
  ) {
    begin(&program)
    for (input, output, arithmetic) in sourceFormats {
      for transposes in unpacker == 0 ? [false, true] : [false] {
        program.drain()
        beginUnpack(&program, &random, unpacker, input, output, modes: transposes ? 1 << 8 : 0)
        program.push(Tensix.setadcxx(units: 3, last: 1023))
        program.push(unpacr(unpacker, valid: true))
        addOther(&program, unpacker)
        packSource(&program, arithmetic)
      }
    }
  }

  private static func beginUnpack(
    _ program: inout CoprocessorProgram, _ random: inout SplitMix64, _ unpacker: UInt32,
    _ input: UInt32,
    _ output: UInt32, modes: UInt32, descriptor: UInt32 = 256
  ) {
    let address = program.input(tile(input, &random))
    program.configure(unpacker == 0 ? 52 : 92, input | 1 << 4 | descriptor << 16)
    program.configure(unpacker == 0 ? 60 : 100, output | 2 << 4 | modes)
    program.configure(unpacker == 0 ? 64 : 104, address >> 4 &- 1)
    program.push(Tensix.setc16(3, 4))
    program.push(unpacrNop(unpacker, 1))
  }

  /// Zeros in the other source.
  private static func addOther(_ program: inout CoprocessorProgram, _ unpacker: UInt32) {
    program.push(unpacrNop(1 - unpacker, 1))
    program.push(unpacrNop(1 - unpacker, 7))
  }

  /// SrcA + SrcB to Dst, and that to L1 as it is.
  private static func packSource(_ program: inout CoprocessorProgram, _ arithmetic: UInt32) {
    program.drain()
    configurePackers(&program, wide: true, from: 0, to: 0, sources: arithmetic)
    let output = program.output(4096)
    setPackAddresses(&program, (0..<4).map { output + 1024 * $0 })
    program.push(Tensix.setc16(7, 8 | 8 << 8))
    program.push(Tensix.setc16(23, 8))
    program.push(Tensix.zeroaccAll)
    program.push(Tensix.setrwcZero())
    for _ in 0..<8 { program.push(Tensix.elwadd(addressMode: 0, broadcast: 0)) }
    program.push(Tensix.setrwcZero(release: 3))
    program.push(Tensix.setadcxyZero(units: 4))
    program.push(Tensix.setadczwZero(units: 4))
    program.push(Tensix.setadcxx(units: 4, last: 255))
    program.push(pacr(15, last: true))
    program.drain()
  }

  /// Parts of tiles from and to anywhere, tilized or not, in several instructions.
  private static func unpackMoved(_ program: inout CoprocessorProgram, _ random: inout SplitMix64) {
    begin(&program)
    for _ in 0..<32 {
      let (input, output, arithmetic) =
        sourceFormats.randomElement(using: &random) ?? sourceFormats[0]
      let unpacker = UInt32(random.next() % 2)
      let tilizes = unpacker == 0 && ![7, 15].contains(input) && chance(&random)
      let transposes = unpacker == 0 && ![7, 15].contains(input) && chance(&random)
      program.drain()
      // Tilizing, rows of 16 lie 48 bytes apart.
      let modes: UInt32 = (tilizes ? 1 << 9 | 3 << 16 : 0) | (transposes ? 1 << 8 : 0)
      beginUnpack(
        &program, &random, unpacker, input, output, modes: modes, descriptor: 16)
      program.configure(74, 16 | 16 << 16)
      program.configure(unpacker == 0 ? 53 : 93, 4 | 2 << 16)
      let context = UInt32(unpacker == 0 ? random.next() % 2 : 0)
      // Aligned to the bursts of eight rows.
      program.configure(72, (64 + 128 * UInt32(random.next() % 3)) * 0x1_0001)
      program.configure(41, 1 << 8)
      program.configure(44, 0)
      let bytes: UInt32 = output == 4 ? 4 : output == 5 ? 2 : 1
      program.configure(unpacker == 0 ? 45 : 47, 128 * bytes)
      program.configure(65, program.word(unpacker == 0 ? 64 : 104))
      program.push(Tensix.setc16(39, context))
      for dimension: UInt32 in 1...3 {
        program.push(
          setAddress(
            engines: 1 << unpacker, channel: 0, dimension: dimension, UInt32(random.next() % 3)))
      }
      let part = UInt32(tilizes ? 1 + random.next() % 8 : 1 + random.next() % 16)
      let firstX = tilizes || transposes ? 0 : UInt32(random.next() % 20)
      for last in [false, true] {
        let count = 8 * part + UInt32(chance(&random) ? 0 : random.next() % 8)
        program.push(
          0x5E << 24 | (1 << unpacker) << 21 | (firstX + count - 1) << 10 | firstX)
        program.push(unpacr(unpacker, valid: last, steps: chance(&random) ? 0b0110_0001 & 0x31 : 0))
      }
      program.push(Tensix.setadcxyZero(units: 3))
      program.push(Tensix.setadczwZero(units: 3))
      addOther(&program, unpacker)
      packSource(&program, arithmetic)
    }
  }

  // MARK: - Expanders

  private static func anyArithmetic(_ random: inout SplitMix64) -> UInt32 {
    arithmetic(
      random.next() % 4 == 0, UInt32(random.next() % 16), UInt32(random.next() % 16),
      UInt32(random.next() % 16))
  }

  /// Sums and products of registers, whose result is that of one order alone.
  private static func expanders(_ program: inout CoprocessorProgram, _ random: inout SplitMix64) {
    for register: UInt32 in 0..<16 {
      for half: UInt32 in 0...1 {
        program.push(
          Tensix.setdmareg(half: 2 * register + half, UInt32(random.next() & 0xFFFF)))
      }
    }
    program.push(Tensix.replayRecord(start: 0, count: 32))
    for _ in 0..<32 { program.push(anyArithmetic(&random)) }
    for _ in 0..<12 {
      let start = UInt32(random.next() % 32), count = UInt32(1 + random.next() % 32)
      switch random.next() % 4 {
      case 0:
        let executes: UInt32 = chance(&random) ? 2 : 0
        program.push(Tensix.replayRecord(start: start, count: count) | executes)
        for _ in 0..<count { program.push(anyArithmetic(&random)) }
      case 1: program.push(Tensix.replay(start: start, count: count), expands: 32)
      case 2: mop(&program, &random, masked: true)
      default: mop(&program, &random, masked: false)
      }
    }
    let output = program.output(64)
    program.drain()
    for register: UInt32 in 0..<16 {
      program.copy(0xFFE0_0000 + 4 * register, to: output + 4 * register)
    }
  }

  private static func mop(
    _ program: inout CoprocessorProgram, _ random: inout SplitMix64, masked: Bool
  ) {
    func word(_ canBeNothing: Bool, _ random: inout SplitMix64) -> UInt32 {
      switch random.next() % 6 {
      case 0 where canBeNothing: Tensix.nop
      case 1: Tensix.replay(start: UInt32(random.next() % 32), count: UInt32(1 + random.next() % 3))
      default: anyArithmetic(&random)
      }
    }
    program.drain()
    var words = (0..<9).map { _ in word(true, &random) }
    if masked {
      words[1] = UInt32(random.next() % 4)
    } else {
      words[0] = UInt32(1 + random.next() % 4)
      words[1] = UInt32(1 + random.next() % 5)
    }
    for (index, value) in words.enumerated() {
      program.store(value, 0xFFB8_0000 + 4 * UInt32(index))
    }
    if masked {
      program.push(0x03 << 24 | UInt32(random.next() & 0xFFFF))
      program.push(
        0x01 << 24 | UInt32(random.next() % 24) << 16 | UInt32(random.next() & 0xFFFF), expands: 360
      )
    } else {
      program.push(Tensix.mop(), expands: 360)
    }
  }

  // MARK: - Configuration and scalar unit

  /// Words written, changed and read in both banks, by instructions and by the core.
  private static func configuration(_ program: inout CoprocessorProgram, _ random: inout SplitMix64)
  {
    let words: [UInt32] = [52, 53, 56, 57, 64, 65, 72, 74, 84, 85, 92, 93, 96, 97]
    for register: UInt32 in 32..<48 { setRegister(&program, register, 0, thread: 0) }
    for bank: UInt32 in [0, 1, 0] {
      program.push(Tensix.setc16(0, bank))
      for word in words {
        let register = UInt32(random.next() % 32)
        program.push(Tensix.setdmareg(half: 2 * register, UInt32(random.next() & 0xFFFF)))
        program.push(Tensix.setdmareg(half: 2 * register + 1, UInt32(random.next() & 0xFFFF)))
        switch random.next() % 3 {
        case 0: program.push(0x48 << 24 | 1 << 22 | (word - 52) << 6 | register)
        default: program.push(Tensix.wrcfg(word, register: register))
        }
        program.push(
          (0xB3 + UInt32(random.next() % 4)) << 24 | UInt32(random.next() & 0xFF) << 16
            | UInt32(random.next() & 0xFF) << 8 | word)
        program.push(0xB1 << 24 | (32 + UInt32(random.next() % 16)) << 16 | word)
      }
      for register: UInt32 in 0..<4 {
        program.push(Tensix.setdmareg(half: 2 * register, UInt32(random.next() & 0xFFFF)))
        program.push(Tensix.setdmareg(half: 2 * register + 1, UInt32(random.next() & 0xFF7F)))
      }
      program.push(Tensix.wrcfg(24, register: 0) | 1 << 15)
    }
    let output = program.output(4 * 64)
    program.drain()
    for (index, word) in (words + [24, 25, 26, 27]).enumerated() {
      program.copy(0xFFEF_0000 + 4 * word, to: output + 4 * UInt32(index))
    }
    for register: UInt32 in 32..<48 {
      program.copy(0xFFE0_0000 + 4 * register, to: output + 4 * register)
    }
  }

  // MARK: - Three threads

  /// Thread 0 unpacks tiles to Dst, thread 2 packs them, thread 1 stands between.
  private static func pipeline(_ program: inout CoprocessorProgram, _ random: inout SplitMix64) {
    begin(&program)
    configurePackers(&program, wide: true, from: 0, to: 0)
    program.configure(52, 0 | 1 << 4 | 256 << 16)
    program.configure(60, 0 | 2 << 4)
    program.configure(61, toDst)
    program.push(Tensix.setc16(3, 0))
    program.push(Tensix.seminit(4, value: 2, maximum: 2))
    program.push(Tensix.seminit(5, value: 0, maximum: 2))
    program.push(Tensix.seminit(6, value: 0, maximum: 2))
    program.push(Tensix.setadcxx(units: 1, last: 1023))
    // The others begin when a word in L1 says so: a semaphore's state lasts from run to run.
    for thread in 1...2 {
      program.push(Tensix.setc16(0, 0), thread: thread)
      program.push(Tensix.setc16(31, 0), thread: thread)
    }
    program.push(Tensix.setadcxyZero(units: 4), thread: 2)
    program.push(Tensix.setadczwZero(units: 4), thread: 2)
    program.push(Tensix.setadcxx(units: 4, last: 255), thread: 2)
    for tile: UInt32 in 0..<6 {
      let input = program.input(bytes(floats(1024, &random)))
      let output = program.output(4096)
      setRegister(&program, 0, input >> 4 - 1, thread: 0)
      setRegister(&program, 1, 64 + 1024 * (tile & 1) | 64 << 16, thread: 0)
      program.push(Tensix.semwaitWhileZero(4, blocking: Block.unpack | Block.sync))
      program.push(Tensix.semget(4))
      program.push(
        Tensix.stallwait(until: Idle.thcon | Idle.unpackers, blocking: Block.configuration))
      program.push(Tensix.wrcfg(64, register: 0))
      program.push(Tensix.wrcfg(72, register: 1))
      program.push(Tensix.nop)
      program.push(unpacr(0, valid: false))
      program.push(Tensix.stallwait(until: Idle.unpackers, blocking: Block.sync))
      program.push(Tensix.sempost(5))

      program.push(0xA0 << 24, thread: 1)
      program.push(Tensix.semwaitWhileZero(5, blocking: Block.sync), thread: 1)
      program.push(Tensix.semget(5), thread: 1)
      program.push(Tensix.semwaitWhileFull(6, blocking: Block.sync), thread: 1)
      program.push(Tensix.sempost(6), thread: 1)
      program.push(0xA1 << 24, thread: 1)

      for face: UInt32 in 0..<4 {
        setRegister(&program, 8 + face, (output + 1024 * face) >> 4 - 1, thread: 2)
      }
      program.push(Tensix.semwaitWhileZero(6, blocking: Block.tdma | Block.sync), thread: 2)
      program.push(Tensix.semget(6), thread: 2)
      program.push(
        Tensix.stallwait(until: Idle.thcon | Idle.packers, blocking: Block.configuration), thread: 2
      )
      for (index, word) in packerWords.enumerated() {
        program.push(Tensix.wrcfg(word + 1, register: 8 + UInt32(index)), thread: 2)
      }
      program.push(Tensix.selectPackedTile(tile & 1), thread: 2)
      program.push(pacr(15, last: true), thread: 2)
      program.push(Tensix.stallwait(until: Idle.packers, blocking: Block.sync), thread: 2)
      program.push(Tensix.sempost(4), thread: 2)
    }
  }

  private static func setRegister(
    _ program: inout CoprocessorProgram, _ register: UInt32, _ value: UInt32, thread: Int
  ) {
    program.push(Tensix.setdmareg(half: 2 * register, value), thread: thread)
    program.push(Tensix.setdmareg(half: 2 * register + 1, value >> 16), thread: thread)
  }
}
