import TensixISA

/// Random but legal instructions on random and extreme operands: what they are follows from a seed.
struct ArithmeticBatch {
  enum Kind: String, CaseIterable {
    /// Four fidelity phases of a 32 x 32 x 32 product: 64 MVMUL, 8192 results.
    case product
    /// Any instruction of the matrix unit.
    case matrix
    /// Any instruction of the vector unit.
    case vector
  }

  let kind: Kind
  private(set) var program = TileProgram()
  private var random: SplitMix64

  init(_ kind: Kind, seed: UInt64) {
    self.kind = kind
    random = SplitMix64(state: seed)
    program.begin()
    switch kind {
    case .product: product()
    case .matrix: matrix()
    case .vector: vector()
    }
    program.pack()
  }

  // MARK: - Random choices

  private mutating func word() -> UInt32 { UInt32(truncatingIfNeeded: random.next()) }
  private mutating func below(_ count: Int) -> Int { Int(word() >> 1) % count }
  private mutating func chance(_ one: Int) -> Bool { below(one) == 0 }
  private mutating func bits(_ count: UInt32) -> UInt32 { word() >> (32 - count) }
  private mutating func pick<Element>(_ choices: [Element]) -> Element {
    choices[below(choices.count)]
  }

  private static let extremes: [UInt32] = [
    0, 0x8000_0000, 0x7F80_0000, 0xFF80_0000, 0x7FC0_0000, 1, 0x8000_0001, 0x3F80_0000,
    0xBF80_0000, 0x0080_0000, 0x7F7F_FFFF, 0xFFFF_FFFF, 0x8080_0000, 0x4B40_0000,
  ]

  /// fp32 patterns: anything, alike, with zeros, extremes, or exponents at the ends.
  private mutating func number(_ style: Int) -> UInt32 {
    let any = word()
    let signAndMantissa = any & 0x807F_FFFF
    switch style {
    case 0: return any
    case 1: return signAndMantissa | UInt32(120 + below(16)) << 23
    case 2: return chance(4) ? any & 0x8000_0000 : signAndMantissa | UInt32(124 + below(6)) << 23
    case 3: return pick(Self.extremes) | (chance(3) ? signAndMantissa : 0)
    case 4: return signAndMantissa | pick([0, 1, 2, 60, 66, 126, 127, 128, 253, 254, 255]) << 23
    default: return signAndMantissa | UInt32(127 + below(2)) << 23
    }
  }

  private mutating func numbers(_ style: Int, count: Int = 1024) -> [UInt32] {
    (0..<count).map { _ in number(style) }
  }

  // MARK: - Operands

  /// Formats of SrcA and SrcB, and whether Dst keeps 32 bits.
  private struct Formats {
    let a: UInt32
    let b: UInt32
    let isWide: Bool
    var isShort: Bool { a == 1 }
    var word: UInt32 { a << 17 | b << 21 | (isWide ? 1 << 29 : 0) | 1 << 30 }
  }

  private mutating func formats() -> Formats {
    if chance(4) { return Formats(a: 1, b: 1, isWide: chance(2)) }
    return Formats(a: pick([0, 4, 5, 6, 7]), b: pick([0, 4, 5, 6, 7]), isWide: chance(2))
  }

  /// Dst, SrcA and SrcB from L1.
  private mutating func operands(_ formats: Formats, ones: Bool) {
    program.configure(1, formats.word)
    let style = below(6)
    program.inputs.append((TileProgram.input(0), numbers(chance(2) ? style : below(6))))
    program.unpackToDst(0, tile: 0)
    for (number, unpacker) in [(1, UInt32(0)), (2, 1)] {
      let isOne = ones && unpacker == 1
      if formats.isShort {
        let halves = (0..<512).map { _ in isOne ? 0x3C00_3C00 : word() }
        program.inputs.append((TileProgram.input(number), halves))
        program.unpack(number, unpacker: unpacker, from: 1, to: 1)
      } else {
        let values = isOne ? [UInt32](repeating: 0x3F80_0000, count: 1024) : numbers(style)
        program.inputs.append((TileProgram.input(number), values))
        program.unpack(number, unpacker: unpacker, from: 0, to: 4)
      }
    }
    for register: UInt32 in [1, 2, 5, 6] { program.push(Tensix.setc16(register, 0), thread: 1) }
    program.push(Tensix.setrwcZero(), thread: 1)
  }

  // MARK: - Products

  private mutating func product() {
    let formats = formats()
    operands(formats, ones: false)
    if chance(4) { program.push(Tensix.zeroaccAll, thread: 1) }
    // As Sources/TensixKernels/Math.swift has them.
    for bank: UInt32 in [0, 4] {
      mode(bank, sources: 8 << 8, destination: 8)
      mode(bank + 1, sources: 1 << 14 | 16, destination: 8)
      mode(bank + 2, sources: 1 << 14 | 32 << 8 | 1 << 6, destination: 8)
    }
    mode(3, sources: 1 << 14 | 48 << 8 | 1 << 6 | 32, destination: 1 << 10, bias: 1)
    mode(7, sources: 1 << 15 | 1 << 7, destination: 1 << 13 | 1 << 11, bias: 1)
    for _ in 0..<4 {
      for _ in 0..<2 {
        for last: UInt32 in 2...3 {
          for mode in [0, 1, 0, last] {
            program.push(Tensix.mvmul(addressMode: mode), thread: 1)
          }
        }
      }
    }
    program.push(Tensix.setrwcZero(release: 3), thread: 1)
  }

  private mutating func mode(
    _ number: UInt32, sources: UInt32, destination: UInt32, bias: UInt32 = 0
  ) {
    program.push(
      Tensix.setc16(7 + 2 * number, sources), Tensix.setc16(23 + number, destination),
      Tensix.setc16(48 + number, bias), thread: 1)
  }

  // MARK: - The matrix unit

  /// A row counter, and where it returns to.
  private struct Counter {
    var value: UInt32 = 0
    var origin: UInt32 = 0
  }

  private mutating func matrix() {
    let formats = formats()
    let ones = chance(4)
    operands(formats, ones: ones)
    let rows: UInt32 = formats.isWide ? 64 : 128
    var a = Counter(), b = Counter(), dst = Counter()
    // Each instruction has an address mode of its own, which leads to random rows.
    for _ in 0..<48 {
      let addressMode = UInt32(below(4))
      let isUpper = chance(4)
      program.push(Tensix.setc16(2, isUpper ? 1 : 0), thread: 1)
      let phase = UInt32(below(4))
      let adds = chance(3)
      program.push(Tensix.setc16(6, adds ? 0 : phase), thread: 1)
      var destination: UInt32 = 0, sources: UInt32 = 0
      let before = (a: a.value, b: b.value, dst: dst.value)
      sources |= step(&a, to: UInt32(16 * below(4)), modulus: 64, returnBit: 6, clearBit: 7)
      sources |=
        step(&b, to: UInt32(8 * below(8)), modulus: 64, returnBit: 6, clearBit: 7) << 8
      destination |= step(
        &dst, to: 8 * UInt32(below(Int(rows) / 8)), modulus: 1024, returnBit: 10, clearBit: 11)
      mode(addressMode + (isUpper ? 4 : 0), sources: sources, destination: destination)
      let instruction =
        adds
        ? sum(formats) : other(formats, ones: ones, rows: rows, before.a, before.b, before.dst)
      program.push(instruction | addressMode << 15, thread: 1)
    }
    program.push(Tensix.setrwcZero(release: 3), thread: 1)
  }

  /// A step of an address mode that takes the counter to a new value.
  private mutating func step(
    _ counter: inout Counter, to target: UInt32, modulus: UInt32, returnBit: UInt32,
    clearBit: UInt32
  ) -> UInt32 {
    switch below(6) {
    case 0:
      counter = Counter()
      return 1 << clearBit
    case 1:
      let step = (target &- counter.origin) & (modulus - 1)
      counter = Counter(value: target, origin: target)
      return step | 1 << returnBit
    case 2 where modulus == 1024:
      let step = (target &- counter.value) & (modulus - 1)
      counter = Counter(value: target, origin: target)
      return step | 1 << 12
    default:
      let step = (target &- counter.value) & (modulus - 1)
      counter.value = target
      return step
    }
  }

  private mutating func sum(_ formats: Formats) -> UInt32 {
    let opcode: UInt32 = chance(2) ? 0x28 : 0x30
    return opcode << 24 | bits(2) << 19 | bits(1) << 21
  }

  private mutating func other(
    _ formats: Formats, ones: Bool, rows: UInt32, _ a: UInt32, _ b: UInt32, _ dst: UInt32
  ) -> UInt32 {
    // Rows of moves come on top of the counters, which are multiples of 8.
    let toA = UInt32(4 * below(4)) << 17
    let fromA: UInt32 = a < 48 && chance(2) ? 8 << 17 : 0
    let sourceIsTF32 = formats.a == 4
    let isLow = !formats.isShort && !sourceIsTF32 && dst < 64
    let movesBack = formats.isShort ? !formats.isWide : formats.isWide || !sourceIsTF32
    switch below(12) {
    case 0...2: return Tensix.mvmul(addressMode: 0)
    case 3, 4: return Tensix.elwmul(addressMode: 0, broadcast: bits(2))
    case 5: return 0x34 << 24 | 1 << 19
    case 6 where ones && !formats.isShort: return 0x33 << 24 | 1 << 19
    // Data of 16 bits do not go where 32 are read.
    case 7 where sourceIsTF32 ? dst < 64 : !formats.isWide:
      return 0x12 << 24 | 2 << 12 | fromA
    case 7 where isLow: return 0x12 << 24 | 2 << 12 | fromA | 1 << 23
    case 8 where sourceIsTF32 ? dst < 64 : !formats.isWide:
      return 0x13 << 24 | UInt32(2 + below(4)) << 12
    case 8 where isLow: return 0x13 << 24 | UInt32(2 + below(4)) << 12 | 1 << 23
    case 9 where movesBack:
      return 0x08 << 24 | 2 << 12 | toA
    case 10 where movesBack && !ones:
      let row = b < 56 ? UInt32(4 * below(2)) << 17 : 0
      return 0x0A << 24 | (chance(2) ? 2 << 12 : 0) | row
        | (formats.isWide && !sourceIsTF32 && chance(3) ? 1 << 23 : 0)
    case 11:
      program.push(0x16 << 24, thread: 1)  // TRNSPSRCB
      guard formats.isWide else { return Tensix.mvmul(addressMode: 0) }
      return 0x10 << 24 | (chance(2) ? 1 << 19 | UInt32(below(8)) : bits(3))  // ZEROACC
    default: return 0x0B << 24 | 2 << 12 | UInt32(below(2) * 4) | (a < 48 ? toA : 0)  // MOVB2A
    }
  }

  // MARK: - The vector unit

  private mutating func vector() {
    let format: UInt32 = pick([0, 1, 5, 6, 7, 9])
    program.configure(1, format << 21 | bits(1) << 30)
    program.inputs.append((TileProgram.input(0), numbers(below(6))))
    program.unpackToDst(0, tile: 0)
    program.configure(164, word())  // random numbers
    for register: UInt32 in [1, 2] { program.push(Tensix.setc16(register, 0), thread: 1) }
    program.push(Tensix.setrwcZero(), VectorUnit.allLanesOn, thread: 1)
    for number: UInt32 in 0..<4 { mode(number, sources: 0, destination: 0) }
    for constant: UInt32 in 11...14 {
      program.push(
        VectorUnit.loadShort(0, self.number(below(6))), VectorUnit.setConstant(constant), thread: 1)
    }
    // Its own numbers for each register, of both kinds of columns.
    for register: UInt32 in 0..<8 {
      program.push(VectorUnit.loadAsItIs(register, row: 4 * register + 2 * bits(1)), thread: 1)
    }
    var depth = 0
    for _ in 0..<64 { lanes(&depth) }
    while depth > 0 {
      program.push(0x88 << 24, thread: 1)
      depth -= 1
    }
    program.push(VectorUnit.allLanesOn, 0x91 << 24 | 15 << 4 | 1, thread: 1)
    for register: UInt32 in 0..<8 {
      program.push(VectorUnit.storeAsItIs(register, row: 4 * register), thread: 1)
    }
  }

  private mutating func lanes(_ depth: inout Int) {
    let d = bits(3) << 4
    let a = source() << 16, b = source() << 12, c = source() << 8
    switch below(38) {
    case 0, 1:
      let format: UInt32 = pick([0, 2, 3, 4, 6, 12, 14, 15])
      program.push(0x70 << 24 | bits(3) << 20 | format << 16 | 2 * bits(5), thread: 1)
    case 2:
      let format: UInt32 = pick([0, 2, 3, 4, 6, 7, 9, 12, 14, 15])
      program.push(
        0x72 << 24 | UInt32(below(12)) << 20 | format << 16 | 2 * bits(5), thread: 1)
    case 3:
      let format: UInt32 = pick([0, 1, 2, 4, 8, 10])
      program.push(0x71 << 24 | bits(3) << 20 | format << 16 | bits(16), thread: 1)
    case 4...7: late(0x84 << 24 | a | b | c | d)
    case 8, 9: late(0x85 << 24 | (chance(2) ? a | 10 << 12 : 10 << 16 | b) | c | d)
    case 10, 11: late(0x86 << 24 | a | b | 9 << 8 | d)
    case 12: late(0x74 << 24 | (number(below(6)) >> 16) << 8 | d)
    case 13: late(0x75 << 24 | (number(below(6)) >> 16) << 8 | d)
    case 14: late(0x73 << 24 | d << 16 | 4 << 16)
    case 15: late(0x95 << 24 | d | 2)
    case 16:
      program.push(
        0x76 << 24 | (chance(2) ? bits(7) : 0xF80 | bits(7)) << 12 | c | d | bits(1), thread: 1)
    case 17: program.push(0x77 << 24 | c | d | pick([0, 1, 2, 10]), thread: 1)
    case 18: program.push(0x78 << 24 | c | d | bits(1), thread: 1)
    case 19:
      program.push(
        0x79 << 24 | bits(12) << 12 | c | d | pick([0, 1, 2, 4, 5, 6, 8, 9, 10]), thread: 1)
    case 20: program.push(0x7A << 24 | (chance(2) ? bits(12) << 12 | 1 : 0) | c | d, thread: 1)
    case 21:
      program.push(0x7C << 24 | (chance(5) ? 9 << 8 | 8 : c | pick([0, 1, 2])) | d, thread: 1)
    case 22: program.push(0x7D << 24 | c | d | bits(1), thread: 1)
    case 23: program.push(pick([0x7E, 0x7F, 0x80, 0x8D]) << 24 | c | d, thread: 1)
    case 24: program.push(0x81 << 24 | c | d | pick([0, 2, 4]), thread: 1)
    case 25:
      program.push(0x82 << 24 | c | d | (chance(2) ? bits(8) << 12 | 1 : pick([0, 2])), thread: 1)
    case 26: program.push(0x83 << 24 | c | d | bits(1), thread: 1)
    case 27: program.push(0x89 << 24 | c | d | (chance(2) ? bits(1) << 12 | 1 : 0), thread: 1)
    case 28: program.push(0x8E << 24 | c | d | pick([1, 2, 3, 6, 7]), thread: 1)
    case 29: program.push(0x90 << 24 | c | d, thread: 1)
    case 30, 31:
      program.push(0x92 << 24 | bits(2) << 8 | bits(2) << 4 | pick([0, 1, 2, 3, 9]), thread: 1)
    case 32: late(0x94 << 24 | c | d | 3)
    case 33: program.push(0x94 << 24 | source() << 12 | c | d | 5, thread: 1)
    case 34: program.push(0x8C << 24, thread: 1)
    case 35:
      if depth < 8 && chance(2) {
        depth += 1
        program.push(0x87 << 24, thread: 1)
      } else if depth > 0 {
        depth -= 1
        program.push(0x88 << 24, thread: 1)
      }
    case 36: program.push(0x7B << 24 | c | pick([0, 2, 4, 6]), thread: 1)
    default:
      // Lanes on again, or the others; the sense of sorts.
      program.push(pick([0x8B << 24, VectorUnit.allLanesOn, VectorUnit.allLanesOn]), thread: 1)
      if chance(3) {
        program.push(
          VectorUnit.allLanesOn, 0x91 << 24 | pick([0, 0x100]) << 8 | 15 << 4 | 1, thread: 1)
      }
    }
  }

  private mutating func source() -> UInt32 {
    chance(4) ? pick([8, 9, 10, 11, 12, 13, 14, 15]) : bits(3)
  }

  /// Its result may be used one instruction later.
  private mutating func late(_ instruction: UInt32) {
    program.push(instruction, VectorUnit.nop, thread: 1)
  }
}

extension VectorUnit {
  /// 32 values of Dst with 32 bits, denormals and all.
  fileprivate static func loadAsItIs(_ to: UInt32, row: UInt32) -> UInt32 {
    0x70 << 24 | to << 20 | 4 << 16 | row
  }
  fileprivate static func storeAsItIs(_ from: UInt32, row: UInt32) -> UInt32 {
    0x72 << 24 | from << 20 | 4 << 16 | row
  }
}
