import CEmulatorKernels

/// The vector unit (SFPU): 32 lanes, 8 registers and 8 constants, lanes on and off by condition
/// (tt-isa-documentation, TensixCoprocessor/VectorUnit.md). Its arithmetic is the official
/// simulator's.
///
/// Beyond it, this unit refuses what the documentation says silicon punishes: a result that is used
/// one cycle too early, a load from Dst too soon after the matrix unit wrote there, and the use of a
/// register that has not been written.
final class VectorUnit {
  let destination: Destination
  let counters: RegisterCounters
  let configuration: Configuration
  /// What the kernels may use; all give the same results.
  var instructionSet = ek_instruction_set()

  let lanes: UnsafeMutablePointer<ek_lanes>
  /// Lanes in which the halves of each register have been written.
  private let writtenLow: UnsafeMutablePointer<UInt32>
  private let writtenHigh: UnsafeMutablePointer<UInt32>

  /// A lane's condition, and whether conditions count at all.
  private(set) var condition: UInt32 = ~0
  private(set) var usesCondition = true
  private var conditionStack: [(condition: UInt32, uses: Bool)] = []
  /// Swaps exchange L4 to L7, too (bit 2); the sense of a sort is reversed (bit 8).
  private var laneConfiguration: UInt32 = 0

  /// What an instruction leaves to the next cycle.
  private struct Aftermath {
    /// Register that it writes one cycle late.
    var register = -1
    var name: StaticString = ""
    /// It rotates lanes, and keeps the simple sub-unit.
    var rotates = false
  }
  private var last = Aftermath()
  private var next = Aftermath()
  /// Count of its thread's instructions when the last one came.
  private var lastInstruction: UInt64 = 0

  static let registers = 16
  private static let stackDepth = 8

  init(destination: Destination, counters: RegisterCounters, configuration: Configuration) {
    self.destination = destination
    self.counters = counters
    self.configuration = configuration
    lanes = .allocate(capacity: 1)
    lanes.initialize(to: ek_lanes())
    writtenLow = .allocate(capacity: Self.registers)
    writtenHigh = .allocate(capacity: Self.registers)
    writtenLow.initialize(repeating: 0, count: Self.registers)
    writtenHigh.initialize(repeating: 0, count: Self.registers)
    setConstant(8) { _ in 0x3F56_594B }
    setConstant(9) { _ in 0 }
    setConstant(10) { _ in 0x3F80_0000 }
    setConstant(15) { UInt32(2 * $0) }
  }

  deinit {
    lanes.deallocate()
    writtenLow.deallocate()
    writtenHigh.deallocate()
  }

  /// 32 lanes of a register.
  @inline(__always) func register(_ index: Int) -> UnsafeMutablePointer<UInt32> {
    UnsafeMutableRawPointer(lanes).assumingMemoryBound(to: UInt32.self) + 32 * (index & 15)
  }

  private func setConstant(_ index: Int, _ value: (Int) -> UInt32) {
    for lane in 0..<32 { register(index)[lane] = value(lane) }
    writtenLow[index] = ~0
    writtenHigh[index] = ~0
  }

  /// Configuration word 164.
  func seedRandomNumbers(_ seed: UInt32) { ek_vector_seed(lanes, seed) }

  /// Lanes that instructions work on.
  @inline(__always) private var mask: UInt32 { usesCondition ? condition : ~0 }

  // MARK: - Instructions

  /// Fields of most instructions.
  private struct Fields {
    let mode: UInt32
    let d: Int
    let c: Int
    let b: Int
    let a: Int
    let immediate12: UInt32
    let immediate16: UInt32

    @inline(__always) init(_ instruction: UInt32) {
      mode = instruction & 0xF
      d = Int(instruction >> 4 & 0xF)
      c = Int(instruction >> 8 & 0xF)
      b = Int(instruction >> 12 & 0xF)
      a = Int(instruction >> 16 & 0xF)
      immediate12 = instruction >> 12 & 0xFFF
      immediate16 = instruction >> 8 & 0xFFFF
    }
  }

  /// Carries an instruction out; nothing here ever waits.
  func execute(_ instruction: UInt32, opcode: UInt8, thread: Int) throws(Violation) -> Bool {
    let now = counters.threads[thread].instructions
    // An instruction of another unit in between gives the result its time.
    if now &- lastInstruction > 1 { last = Aftermath() }
    try carryOut(instruction, opcode, thread)
    last = next
    next = Aftermath()
    lastInstruction = now
    return true
  }

  private func carryOut(
    _ instruction: UInt32, _ opcode: UInt8, _ thread: Int
  ) throws(Violation) {
    let fields = Fields(instruction)
    switch opcode {
    case 0x70: try load(instruction, thread)
    case 0x71: try loadImmediate(instruction)
    case 0x72: try store(instruction, thread)
    case 0x73: try lookUp(instruction)
    case 0x74: try multiplyImmediate(fields)
    case 0x75: try addImmediate(fields)
    case 0x76: try divideByPower(fields)
    case 0x77: try extractExponent(instruction, fields)
    case 0x78: try extractMantissa(instruction, fields)
    case 0x79: try addInteger(fields)
    case 0x7A: try shift(fields)
    case 0x7B: try setCondition(instruction, fields)
    case 0x7C: try move(instruction, fields)
    case 0x7D: try absolute(instruction, fields)
    case 0x7E: try combineBits(instruction, fields, 0x7E, "SFPAND", ek_vector_and)
    case 0x7F: try combineBits(instruction, fields, 0x7F, "SFPOR", ek_vector_or)
    case 0x80: try combineBits(instruction, fields, 0x80, "SFPNOT", ek_vector_not)
    case 0x81: try leadingZeros(instruction, fields)
    case 0x82: try setExponent(instruction, fields)
    case 0x83: try setMantissa(fields)
    case 0x84: try multiplyAdd(instruction, fields)
    case 0x85: try add(instruction, fields)
    case 0x86: try multiply(instruction, fields)
    case 0x87: try pushCondition(instruction)
    case 0x88: try popCondition(instruction)
    case 0x89: try setSign(instruction, fields)
    case 0x8A: try enableConditions(instruction, fields)
    case 0x8B: try complementCondition(instruction)
    case 0x8C: try transpose(instruction)
    case 0x8D: try combineBits(instruction, fields, 0x8D, "SFPXOR", ek_vector_exclusive_or)
    case 0x8E: try round(instruction, fields)
    case 0x8F: try known(instruction, 0, "SFPNOP")
    case 0x90: try cast(instruction, fields)
    case 0x91: try configure(fields)
    case 0x92: try swap(instruction, fields)
    case 0x94: try shiftLanes(fields)
    case 0x95: try lookUpHalves(instruction, fields)
    case 0x93:
      throw Violation(
        "SFPLOADMACRO, which is not modelled", remedy: "issue the macro's instructions one by one")
    default:
      throw Violation(
        "instruction \(instruction.hexadecimal) of the vector unit, which does not exist")
    }
  }

  // MARK: - Checks

  @inline(__always) private func known(
    _ instruction: UInt32, _ bits: UInt32, _ name: StaticString
  ) throws(Violation) {
    guard instruction & 0xFF_FFFF & ~bits == 0 else {
      throw Violation(
        "\(name) \(instruction.hexadecimal) sets bits that the instruction does not have",
        remedy: "clear bits \((instruction & 0xFF_FFFF & ~bits).hexadecimal)")
    }
  }

  @inline(never) private func unsupported(_ name: StaticString, _ what: String) -> Violation {
    Violation("\(name) with \(what), which is not modelled")
  }

  /// A register that an instruction reads, in its lanes.
  @inline(__always) private func read(
    _ index: Int, _ name: StaticString, in mask: UInt32
  ) throws(Violation) {
    guard index != last.register else { throw tooEarly(name, index) }
    guard writtenLow[index] & writtenHigh[index] & mask == mask else {
      throw neverWritten(name, index)
    }
  }

  @inline(__always) private func read(_ index: Int, _ name: StaticString) throws(Violation) {
    try read(index, name, in: mask)
  }

  @inline(never) private func tooEarly(
    _ reader: StaticString, _ index: Int
  ) -> Violation {
    Violation(
      "\(reader) reads L\(index) in the cycle after \(last.name), whose result takes two",
      remedy: "put SFPNOP or an instruction that does not read L\(index) in between")
  }

  @inline(never) private func neverWritten(_ name: StaticString, _ index: Int) -> Violation {
    Violation(
      "\(name) reads L\(index), which was not written in all lanes that are on",
      remedy: index < 8 ? "write the register first" : "set the constant with SFPCONFIG first")
  }

  /// The instruction uses the sub-unit that a rotation of lanes in the cycle before still has.
  @inline(__always) private func usesSimpleUnit(_ name: StaticString) throws(Violation) {
    guard last.rotates else { return }
    throw Violation(
      "\(name) in the cycle after SFPSHFT2 rotated lanes, which still has the sub-unit",
      remedy: "put SFPNOP in between")
  }

  /// A register that an instruction writes.
  @inline(__always) private func writable(_ index: Int, _ name: StaticString) throws(Violation) {
    guard index < 8 else { throw notWritable(name, index) }
    guard laneConfiguration & 4 == 0 || index < 4 else {
      throw Violation(
        "\(name) writes L\(index) while swaps exchange indices (erratum TEN-2932)",
        remedy: "clear bit 2 of the lane configuration first")
    }
  }

  @inline(never) private func notWritable(_ name: StaticString, _ index: Int) -> Violation {
    index >= 12
      ? Violation(
        "\(name) to L\(index) records an instruction for SFPLOADMACRO, which is not modelled")
      : Violation("\(name) writes the constant L\(index)", remedy: "write L0 to L7")
  }

  /// Carries out what writes `d`, and returns the conditions.
  @discardableResult @inline(__always) private func compute(
    _ operation: Int, d: Int, a: Int = 0, b: Int = 0, c: Int = 0, immediate: UInt32 = 0,
    lanes mask: UInt32
  ) -> UInt32 {
    let conditions = ek_vector(
      instructionSet, lanes, Int32(operation), Int32(d), Int32(a), Int32(b), Int32(c), immediate,
      mask, false)
    writtenLow[d] |= mask
    writtenHigh[d] |= mask
    return conditions
  }

  @inline(__always) private func computeLate(
    _ operation: Int, _ name: StaticString, d: Int, a: Int = 0, b: Int = 0,
    c: Int = 0, immediate: UInt32 = 0
  ) {
    compute(operation, d: d, a: a, b: b, c: c, immediate: immediate, lanes: mask)
    next.register = d
    next.name = name
  }

  /// Conditions of the lanes that are on.
  @inline(__always) private func setCondition(_ bits: UInt32, lanes mask: UInt32) {
    condition = condition & ~mask | bits & mask
  }

  // MARK: - Multiply-add and what is made of it

  private func multiplyAdd(
    _ instruction: UInt32, _ fields: Fields
  ) throws(Violation) {
    try known(instruction, 0xF_FFFF, "SFPMAD")
    guard fields.mode == 0 else { throw unsupported("SFPMAD", "mode \(fields.mode)") }
    try writable(fields.d, "SFPMAD")
    try read(fields.a, "SFPMAD")
    try read(fields.b, "SFPMAD")
    try read(fields.c, "SFPMAD")
    computeLate(
      ek_vector_multiply_add, "SFPMAD", d: fields.d, a: fields.a, b: fields.b,
      c: fields.c)
  }

  private func add(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xF_FFFF, "SFPADD")
    guard fields.mode == 0 else { throw unsupported("SFPADD", "mode \(fields.mode)") }
    guard fields.a == 10 || fields.b == 10 else {
      throw Violation(
        "SFPADD of L\(fields.a) times L\(fields.b)", remedy: "one factor is the constant L10, 1.0")
    }
    try writable(fields.d, "SFPADD")
    try read(fields.a, "SFPADD")
    try read(fields.b, "SFPADD")
    try read(fields.c, "SFPADD")
    computeLate(
      ek_vector_multiply_add, "SFPADD", d: fields.d, a: fields.a, b: fields.b,
      c: fields.c)
  }

  private func multiply(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xF_FFFF, "SFPMUL")
    guard fields.mode == 0 else { throw unsupported("SFPMUL", "mode \(fields.mode)") }
    guard fields.c == 9 else {
      throw Violation("SFPMUL adds L\(fields.c)", remedy: "its addend is the constant L9, 0.0")
    }
    try writable(fields.d, "SFPMUL")
    try read(fields.a, "SFPMUL")
    try read(fields.b, "SFPMUL")
    computeLate(
      ek_vector_multiply_add, "SFPMUL", d: fields.d, a: fields.a, b: fields.b, c: 9)
  }

  private func multiplyImmediate(_ fields: Fields) throws(Violation) {
    guard fields.mode == 0 else { throw unsupported("SFPMULI", "mode \(fields.mode)") }
    try writable(fields.d, "SFPMULI")
    try read(fields.d, "SFPMULI")
    computeLate(
      ek_vector_multiply_immediate, "SFPMULI", d: fields.d,
      immediate: fields.immediate16 << 16)
  }

  private func addImmediate(_ fields: Fields) throws(Violation) {
    guard fields.mode == 0 else { throw unsupported("SFPADDI", "mode \(fields.mode)") }
    try writable(fields.d, "SFPADDI")
    try read(fields.d, "SFPADDI")
    computeLate(
      ek_vector_add_immediate, "SFPADDI", d: fields.d,
      immediate: fields.immediate16 << 16)
  }

  private func lookUp(_ instruction: UInt32) throws(Violation) {
    try known(instruction, 0xFF_0000, "SFPLUT")
    guard instruction >> 16 & 0xF == 4 else {
      throw unsupported("SFPLUT", "mode \(instruction >> 16 & 0xF)")
    }
    let d = Int(instruction >> 20 & 0xF)
    try writable(d, "SFPLUT")
    for register in 0...3 { try read(register, "SFPLUT") }
    computeLate(ek_vector_lookup_bytes, "SFPLUT", d: d)
  }

  private func lookUpHalves(
    _ instruction: UInt32, _ fields: Fields
  ) throws(Violation) {
    try known(instruction, 0xFF, "SFPLUTFP32")
    guard fields.mode == 2 else { throw unsupported("SFPLUTFP32", "mode \(fields.mode)") }
    try writable(fields.d, "SFPLUTFP32")
    for register in 0...6 { try read(register, "SFPLUTFP32") }
    computeLate(ek_vector_lookup_halves, "SFPLUTFP32", d: fields.d)
  }

  // MARK: - Dst

  /// How SFPLOAD and SFPSTORE take Dst's bits where the instruction leaves it to the configuration.
  private func modeOfFormat(stores: Bool) throws(Violation) -> UInt32 {
    if configuration[.vectorUnitUses32Bit] != 0 { return 3 }
    let format = configuration[.sourceBFormat]
    switch format {
    case 0, 5, 6, 7, 9: return 2
    case 1: return 1
    case 15 where stores: return 2
    default:
      throw unsupported(
        stores ? "SFPSTORE" : "SFPLOAD", "mode 0 where SrcB's format is \(format)")
    }
  }

  /// Rows of Dst are four, from an even row's group of four; the second row of a pair means the odd
  /// columns.
  private func place(
    _ instruction: UInt32, _ thread: Int, _ name: StaticString
  ) throws(Violation) -> (row: Int, odd: Int) {
    guard instruction & 1 == 0 else { throw unsupported(name, "row \(instruction & 0x3FF)") }
    let row =
      (Int(counters.threads[thread].destination.value) + Int(instruction & 0x3FF)
        + Int(configuration.threadRegisters[thread * Configuration.threadStride + 1] & 0xFFF))
      & (Destination.rows - 1)
    guard row & 1 == 0 else { throw unsupported(name, "row \(row) of Dst") }
    return (row & ~3, row >> 1 & 1)
  }

  /// Columns of each of the four rows that the lanes mean.
  @inline(__always) private static func columns(_ row: Int, odd: Int, mask: UInt32) -> UInt16 {
    var lanes = UInt16(truncatingIfNeeded: mask >> UInt32(8 * row) & 0xFF)
    lanes = (lanes | lanes << 4) & 0x0F0F
    lanes = (lanes | lanes << 2) & 0x3333
    lanes = (lanes | lanes << 1) & 0x5555
    return lanes << UInt16(odd)
  }

  @inline(__always) private static func isWide(_ mode: UInt32) -> Bool {
    switch mode {
    case 3, 4, 7, 9, 12: true
    default: false
    }
  }

  private func load(_ instruction: UInt32, _ thread: Int) throws(Violation) {
    try known(instruction, 0xFF_C3FF, "SFPLOAD")
    let index = Int(instruction >> 20 & 0xF)
    var mode = instruction >> 16 & 0xF
    switch mode {
    case 0: mode = try modeOfFormat(stores: false)
    case 2, 3, 4, 6, 12, 14, 15: break
    default: throw unsupported("SFPLOAD", "mode \(mode)")
    }
    guard index < 12 else { throw notWritable("SFPLOAD", index) }
    let (row, odd) = try place(instruction, thread, "SFPLOAD")
    let wide = Self.isWide(mode)
    let mask = mask
    for i in 0..<4 {
      let columns = Self.columns(i, odd: odd, mask: mask)
      if wide {
        try destination.checkRead32(row + i, columns: columns)
      } else {
        try destination.checkRead16(row + i, columns: columns)
      }
    }
    let first = wide ? Destination.upperRow(row) : row
    if let writer = destination.isSettling(first, now: counters.threads[thread].instructions) {
      throw Violation(
        "SFPLOAD of rows \(row) to \(row + 3) of Dst, \(writer) instructions after the matrix unit"
          + " wrote there",
        remedy: "put three instructions in between, or a STALLWAIT for the matrix unit")
    }
    if index < 8 {
      let upper = destination.bits + first * Destination.columns
      ek_lanes_load(
        register(index), upper,
        wide ? upper + Destination.lowerHalf * Destination.columns : upper,
        destination.zeroed + first, Int32(odd), Int32(mode), mask)
      if mode != 15 { writtenLow[index] |= mask }
      if mode != 14 { writtenHigh[index] |= mask }
    }
    try counters.advance(
      addressMode: instruction >> 14 & 3, thread: thread, movesFidelity: false)
  }

  private func store(_ instruction: UInt32, _ thread: Int) throws(Violation) {
    try known(instruction, 0xFF_C3FF, "SFPSTORE")
    let index = Int(instruction >> 20 & 0xF)
    var mode = instruction >> 16 & 0xF
    switch mode {
    case 0: mode = try modeOfFormat(stores: true)
    case 2, 3, 4, 6, 7, 9, 12, 14, 15: break
    default: throw unsupported("SFPSTORE", "mode \(mode)")
    }
    guard index < 12 else { throw unsupported("SFPSTORE", "L\(index)") }
    let (row, odd) = try place(instruction, thread, "SFPSTORE")
    let mask = mask
    try read(index, "SFPSTORE", in: mask)
    let wide = Self.isWide(mode)
    let first = wide ? Destination.upperRow(row) : row
    let upper = destination.bits + first * Destination.columns
    ek_lanes_store(
      register(index), upper, wide ? upper + Destination.lowerHalf * Destination.columns : upper,
      Int32(odd), Int32(mode), mask)
    for i in 0..<4 {
      let columns = Self.columns(i, odd: odd, mask: mask)
      guard columns != 0 else { continue }
      if wide {
        destination.didWrite32(row + i, columns: columns)
      } else {
        destination.didWrite16(row + i, columns: columns)
      }
    }
    try counters.advance(
      addressMode: instruction >> 14 & 3, thread: thread, movesFidelity: false)
  }

  private func loadImmediate(_ instruction: UInt32) throws(Violation) {
    let index = Int(instruction >> 20 & 0xF)
    let immediate = instruction & 0xFFFF
    guard index < 8 else { throw notWritable("SFPLOADI", index) }
    let mask = mask
    switch instruction >> 16 & 0xF {
    case 0: fill(index, immediate << 16, mask)
    case 1:
      fill(index, (immediate & 0x8000) << 16 | (immediate & 0x7FFF + 112 << 10) << 13, mask)
    case 2: fill(index, immediate, mask)
    case 4: fill(index, UInt32(bitPattern: Int32(Int16(truncatingIfNeeded: immediate))), mask)
    case 8:
      try keepsHalf(index)
      _ = ek_vector(
        instructionSet, lanes, Int32(ek_vector_load_high), Int32(index), 0, 0, 0, immediate << 16,
        mask, false)
      writtenHigh[index] |= mask
    case 10:
      try keepsHalf(index)
      _ = ek_vector(
        instructionSet, lanes, Int32(ek_vector_load_low), Int32(index), 0, 0, 0, immediate, mask,
        false)
      writtenLow[index] |= mask
    default: throw unsupported("SFPLOADI", "mode \(instruction >> 16 & 0xF)")
    }
  }

  /// The other half of a register stays as it is; that is a use of a late result.
  private func keepsHalf(_ index: Int) throws(Violation) {
    guard index != last.register else { throw tooEarly("SFPLOADI", index) }
  }

  @inline(__always) private func fill(_ index: Int, _ value: UInt32, _ mask: UInt32) {
    compute(ek_vector_load_immediate, d: index, immediate: value, lanes: mask)
  }

  // MARK: - Fields of floating-point numbers

  private func divideByPower(_ fields: Fields) throws(Violation) {
    guard fields.mode <= 1, fields.immediate12 <= 0x7F || fields.immediate12 >= 0xF80 else {
      throw unsupported("SFPDIVP2", "mode \(fields.mode) and \(fields.immediate12)")
    }
    try usesSimpleUnit("SFPDIVP2")
    try writable(fields.d, "SFPDIVP2")
    try read(fields.c, "SFPDIVP2")
    compute(
      fields.mode == 1 ? ek_vector_add_exponent : ek_vector_set_exponent, d: fields.d, c: fields.c,
      immediate: fields.immediate12 & 0xFF, lanes: mask)
  }

  private func extractExponent(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xFFF, "SFPEXEXP")
    guard fields.mode <= 2 || fields.mode == 10 else {
      throw unsupported("SFPEXEXP", "mode \(fields.mode)")
    }
    try usesSimpleUnit("SFPEXEXP")
    try writable(fields.d, "SFPEXEXP")
    try read(fields.c, "SFPEXEXP")
    let mask = mask
    let negative = compute(
      ek_vector_extract_exponent, d: fields.d, c: fields.c,
      immediate: fields.mode & 1 != 0 ? 0 : 127, lanes: mask)
    if fields.mode == 10 {
      setCondition(~negative, lanes: mask)
    } else if fields.mode == 2 {
      setCondition(negative, lanes: mask)
    }
  }

  private func extractMantissa(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xFFF, "SFPEXMAN")
    guard fields.mode <= 1 else { throw unsupported("SFPEXMAN", "mode \(fields.mode)") }
    try usesSimpleUnit("SFPEXMAN")
    try writable(fields.d, "SFPEXMAN")
    try read(fields.c, "SFPEXMAN")
    compute(
      ek_vector_extract_mantissa, d: fields.d, c: fields.c,
      immediate: fields.mode == 1 ? 0 : 0x80_0000, lanes: mask)
  }

  private func setExponent(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xF_FFFF, "SFPSETEXP")
    guard fields.mode <= 2, fields.mode == 1 || fields.immediate12 == 0 else {
      throw unsupported("SFPSETEXP", "mode \(fields.mode) and \(fields.immediate12)")
    }
    try usesSimpleUnit("SFPSETEXP")
    try writable(fields.d, "SFPSETEXP")
    try read(fields.c, "SFPSETEXP")
    if fields.mode != 1 { try read(fields.d, "SFPSETEXP") }
    let operation =
      switch fields.mode {
      case 0: ek_vector_set_exponent_from_low
      case 1: ek_vector_set_exponent
      default: ek_vector_set_exponent_from
      }
    compute(operation, d: fields.d, c: fields.c, immediate: fields.immediate12, lanes: mask)
  }

  private func setMantissa(_ fields: Fields) throws(Violation) {
    guard fields.mode <= 1, fields.immediate12 == 0 else {
      throw unsupported("SFPSETMAN", "mode \(fields.mode) and \(fields.immediate12)")
    }
    try usesSimpleUnit("SFPSETMAN")
    try writable(fields.d, "SFPSETMAN")
    try read(fields.c, "SFPSETMAN")
    if fields.mode == 1 {
      // The mantissa 0 of the immediate: c without its own.
      compute(ek_vector_move, d: fields.d, c: fields.c, lanes: mask)
      clearMantissa(fields.d, mask)
    } else {
      try read(fields.d, "SFPSETMAN")
      compute(ek_vector_set_mantissa, d: fields.d, c: fields.c, lanes: mask)
    }
  }

  private func clearMantissa(_ index: Int, _ mask: UInt32) {
    let lanes = register(index)
    for lane in 0..<32 where mask >> UInt32(lane) & 1 != 0 { lanes[lane] &= 0xFF80_0000 }
  }

  private func setSign(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0x1FFF, "SFPSETSGN")
    guard fields.mode <= 1, fields.mode == 1 || fields.immediate12 == 0 else {
      throw unsupported("SFPSETSGN", "mode \(fields.mode) and \(fields.immediate12)")
    }
    try usesSimpleUnit("SFPSETSGN")
    try writable(fields.d, "SFPSETSGN")
    try read(fields.c, "SFPSETSGN")
    if fields.mode == 0 { try read(fields.d, "SFPSETSGN") }
    compute(
      fields.mode == 1 ? ek_vector_set_sign : ek_vector_set_sign_from, d: fields.d, c: fields.c,
      immediate: fields.immediate12 << 31, lanes: mask)
  }

  private func absolute(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xFFF, "SFPABS")
    guard fields.mode <= 1 else { throw unsupported("SFPABS", "mode \(fields.mode)") }
    try usesSimpleUnit("SFPABS")
    try writable(fields.d, "SFPABS")
    try read(fields.c, "SFPABS")
    compute(
      fields.mode == 1 ? ek_vector_absolute : ek_vector_absolute_integer, d: fields.d, c: fields.c,
      lanes: mask)
  }

  // MARK: - Integers and bits

  private func addInteger(_ fields: Fields) throws(Violation) {
    guard fields.mode <= 10, fields.mode & 3 <= 2 else {
      throw unsupported("SFPIADD", "mode \(fields.mode)")
    }
    try usesSimpleUnit("SFPIADD")
    try writable(fields.d, "SFPIADD")
    try read(fields.c, "SFPIADD")
    let mask = mask
    let immediate = UInt32(bitPattern: Int32(bitPattern: fields.immediate12 << 20) >> 20)
    let operation: Int
    if fields.mode & 1 != 0 {
      operation = ek_vector_add_integer_immediate
    } else {
      try read(fields.d, "SFPIADD")
      operation = fields.mode & 2 != 0 ? ek_vector_subtract_integer : ek_vector_add_integer
    }
    let negative = compute(
      operation, d: fields.d, c: fields.c, immediate: immediate, lanes: mask)
    if fields.mode & 8 != 0 {
      setCondition(~negative, lanes: mask)
    } else if fields.mode & 4 == 0 {
      setCondition(negative, lanes: mask)
    }
  }

  private func shift(_ fields: Fields) throws(Violation) {
    guard fields.mode <= 1, fields.mode == 1 || fields.immediate12 == 0 else {
      throw unsupported("SFPSHFT", "mode \(fields.mode) and \(fields.immediate12)")
    }
    try usesSimpleUnit("SFPSHFT")
    try writable(fields.d, "SFPSHFT")
    try read(fields.d, "SFPSHFT")
    if fields.mode == 0 { try read(fields.c, "SFPSHFT") }
    let immediate = UInt32(bitPattern: Int32(bitPattern: fields.immediate12 << 20) >> 20)
    compute(
      fields.mode == 1 ? ek_vector_shift_immediate : ek_vector_shift, d: fields.d, c: fields.c,
      immediate: immediate, lanes: mask)
  }

  /// SFPAND, SFPOR, SFPXOR and SFPNOT
  private func combineBits(
    _ instruction: UInt32, _ fields: Fields, _ opcode: UInt8, _ name: StaticString, _ operation: Int
  ) throws(Violation) {
    // AND and OR have a mode and an immediate, both of which are zero here.
    try known(instruction, 0xFF0, name)
    try usesSimpleUnit(name)
    try writable(fields.d, name)
    try read(fields.c, name)
    if opcode != 0x80 { try read(fields.d, name) }
    compute(operation, d: fields.d, c: fields.c, lanes: mask)
  }

  private func leadingZeros(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xFFF, "SFPLZ")
    guard fields.mode & 1 == 0, fields.mode <= 4 else {
      throw unsupported("SFPLZ", "mode \(fields.mode)")
    }
    try usesSimpleUnit("SFPLZ")
    try writable(fields.d, "SFPLZ")
    try read(fields.c, "SFPLZ")
    let mask = mask
    let nonzero = compute(
      fields.mode & 4 != 0 ? ek_vector_leading_zeros_unsigned : ek_vector_leading_zeros,
      d: fields.d, c: fields.c, lanes: mask)
    if fields.mode & 2 != 0 { setCondition(nonzero, lanes: mask) }
  }

  // MARK: - Moves

  private func move(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xFFF, "SFPMOV")
    try usesSimpleUnit("SFPMOV")
    try writable(fields.d, "SFPMOV")
    switch fields.mode {
    case 0:
      try read(fields.c, "SFPMOV")
      compute(ek_vector_move, d: fields.d, c: fields.c, lanes: mask)
    case 1:
      try read(fields.c, "SFPMOV")
      compute(ek_vector_negate, d: fields.d, c: fields.c, lanes: mask)
    case 2:
      try read(fields.c, "SFPMOV", in: ~0)
      compute(ek_vector_move, d: fields.d, c: fields.c, lanes: ~0)
    case 8 where fields.c == 9: compute(ek_vector_draw, d: fields.d, lanes: mask)
    default: throw unsupported("SFPMOV", "mode \(fields.mode) and L\(fields.c)")
    }
  }

  private func swap(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xFFF, "SFPSWAP")
    guard fields.d < 12 else { throw notWritable("SFPSWAP", fields.d) }
    let exchangesIndices = laneConfiguration & 4 != 0
    guard !exchangesIndices || fields.c < 4 && fields.d < 4 else {
      throw unsupported("SFPSWAP", "indices of L\(fields.c) and L\(fields.d)")
    }
    let smallerToD: UInt32
    switch fields.mode {
    case 0, 1: smallerToD = ~0
    case 2: smallerToD = 0x0000_FFFF
    case 3: smallerToD = 0x00FF_00FF
    case 9: smallerToD = 0
    default: throw unsupported("SFPSWAP", "mode \(fields.mode)")
    }
    let mask = mask
    try read(fields.c, "SFPSWAP", in: mask)
    try read(fields.d, "SFPSWAP", in: mask)
    if exchangesIndices {
      try read(4 + fields.c, "SFPSWAP", in: mask)
      try read(4 + fields.d, "SFPSWAP", in: mask)
    }
    let operation =
      fields.mode == 0
      ? ek_vector_swap
      : laneConfiguration & 0x100 != 0 ? ek_vector_sort_reversed : ek_vector_sort
    // Silicon holds the next instruction back by itself, so that no result can come too late.
    _ = ek_vector(
      instructionSet, lanes, Int32(operation), Int32(fields.d), 0, 0, Int32(fields.c), smallerToD,
      mask, exchangesIndices)
  }

  private func transpose(_ instruction: UInt32) throws(Violation) {
    try known(instruction, 0, "SFPTRANSP")
    guard last.register < 0 else { throw tooEarly("SFPTRANSP", last.register) }
    _ = ek_vector(
      instructionSet, lanes, Int32(ek_vector_transpose), 0, 0, 0, 0, 0, mask, false)
    transposeWritten(writtenLow)
    transposeWritten(writtenHigh)
  }

  /// What has been written moves with the lanes.
  private func transposeWritten(_ written: UnsafeMutablePointer<UInt32>) {
    let mask = mask
    for first in [0, 4] {
      let old = (0..<4).map { written[first + $0] }
      for register in 0..<4 {
        var new: UInt32 = 0
        for row in 0..<4 {
          new |= (old[row] >> UInt32(8 * register) & 0xFF) << UInt32(8 * row)
        }
        written[first + register] = old[register] & ~mask | new & mask
      }
    }
  }

  private func shiftLanes(_ fields: Fields) throws(Violation) {
    switch fields.mode {
    case 3:
      guard fields.immediate12 == 0 else {
        throw unsupported("SFPSHFT2", "a rotation and \(fields.immediate12)")
      }
      try writable(fields.d, "SFPSHFT2")
      // Lanes that are off give their value, too.
      try read(fields.c, "SFPSHFT2", in: ~0)
      computeLate(ek_vector_rotate, "SFPSHFT2", d: fields.d, c: fields.c)
      next.rotates = true
    case 5:
      guard fields.immediate12 < 16 else {
        throw unsupported("SFPSHFT2", "register \(fields.immediate12)")
      }
      try usesSimpleUnit("SFPSHFT2")
      try writable(fields.d, "SFPSHFT2")
      try read(Int(fields.immediate12), "SFPSHFT2")
      try read(fields.c, "SFPSHFT2")
      compute(
        ek_vector_shift_other, d: fields.d, b: Int(fields.immediate12), c: fields.c, lanes: mask)
    case 4:
      throw Violation(
        "SFPSHFT2 that shifts lanes right, which Wormhole does wrongly", remedy: "rotate lanes")
    default: throw unsupported("SFPSHFT2", "mode \(fields.mode)")
    }
  }

  // MARK: - Conversions

  private func cast(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0xFFF, "SFPCAST")
    guard fields.mode == 0 else { throw unsupported("SFPCAST", "mode \(fields.mode)") }
    try usesSimpleUnit("SFPCAST")
    try writable(fields.d, "SFPCAST")
    try read(fields.c, "SFPCAST")
    compute(ek_vector_cast, d: fields.d, c: fields.c, lanes: mask)
  }

  /// SFP_STOCH_RND, without its stochastic rounding.
  private func round(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0x3F_FFFF, "SFPSTOCHRND")
    guard instruction >> 16 & 0x3F == 0 else {
      throw unsupported("SFPSTOCHRND", "stochastic rounding or an immediate")
    }
    let limit: UInt32
    switch fields.mode {
    case 1: limit = 0
    case 2: limit = 255
    case 3: limit = 0x8000_007F
    case 6: limit = 65535
    case 7: limit = 0x8000_7FFF
    default: throw unsupported("SFPSTOCHRND", "mode \(fields.mode)")
    }
    try usesSimpleUnit("SFPSTOCHRND")
    try writable(fields.d, "SFPSTOCHRND")
    try read(fields.c, "SFPSTOCHRND")
    compute(
      fields.mode == 1 ? ek_vector_round_bf16 : ek_vector_round_integer, d: fields.d, c: fields.c,
      immediate: limit, lanes: mask)
  }

  // MARK: - Conditions

  private func setCondition(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0x1FFF, "SFPSETCC")
    guard fields.mode & 1 == 0, fields.mode <= 6, fields.d == 0, instruction >> 12 & 1 == 0 else {
      throw unsupported("SFPSETCC", "mode \(fields.mode)")
    }
    guard usesCondition else {
      throw Violation(
        "SFPSETCC while conditions do not count, which clears them all",
        remedy: "enable conditions with SFPENCC first")
    }
    let mask = mask
    try read(fields.c, "SFPSETCC", in: mask)
    let operation = fields.mode & 2 != 0 ? ek_vector_test_nonzero : ek_vector_test_negative
    let bits = ek_vector(
      instructionSet, lanes, Int32(operation), 0, 0, 0, Int32(fields.c), 0, mask, false)
    setCondition(fields.mode & 4 != 0 ? ~bits : bits, lanes: mask)
  }

  private func enableConditions(_ instruction: UInt32, _ fields: Fields) throws(Violation) {
    try known(instruction, 0x30FF, "SFPENCC")
    let immediate = instruction >> 12 & 3
    switch (fields.mode, fields.d) {
    case (0, 0) where immediate == 0: condition = ~0
    case (10, 0):
      condition = immediate & 2 != 0 ? ~0 : 0
      usesCondition = immediate & 1 != 0
    default: throw unsupported("SFPENCC", "mode \(fields.mode) and \(immediate)")
    }
  }

  private func pushCondition(_ instruction: UInt32) throws(Violation) {
    try known(instruction, 0, "SFPPUSHC")
    guard conditionStack.count < Self.stackDepth else {
      throw Violation("SFPPUSHC on a full stack of \(Self.stackDepth) conditions")
    }
    conditionStack.append((condition, usesCondition))
  }

  private func popCondition(_ instruction: UInt32) throws(Violation) {
    try known(instruction, 0, "SFPPOPC")
    guard let top = conditionStack.popLast() else {
      throw Violation("SFPPOPC of an empty stack", remedy: "push conditions before")
    }
    condition = top.condition
    usesCondition = top.uses
  }

  private func complementCondition(_ instruction: UInt32) throws(Violation) {
    try known(instruction, 0, "SFPCOMPC")
    guard usesCondition, conditionStack.last?.uses ?? true else {
      throw unsupported("SFPCOMPC", "conditions that do not count")
    }
    condition = (conditionStack.last?.condition ?? ~0) & ~condition
  }

  // MARK: - Configuration

  private func configure(_ fields: Fields) throws(Violation) {
    guard fields.mode <= 1 else { throw unsupported("SFPCONFIG", "mode \(fields.mode)") }
    let isImmediate = fields.mode == 1
    if !isImmediate {
      guard fields.immediate16 == 0 else { throw unsupported("SFPCONFIG", "an immediate") }
      try read(0, "SFPCONFIG", in: ~0)
      let first = register(0)
      for lane in 1..<32 where first[lane] != first[0] {
        throw unsupported("SFPCONFIG", "lanes of L0 that differ")
      }
    }
    guard mask == ~0 else { throw unsupported("SFPCONFIG", "lanes that are off") }
    switch fields.d {
    case 11 where isImmediate:
      guard fields.immediate16 == 0 else { throw unsupported("SFPCONFIG", "an immediate") }
      setConstant(11) { _ in 0xBF80_0000 }
    case 11...14 where !isImmediate:
      let value = register(0)[0]
      setConstant(fields.d) { _ in value }
    case 15:
      let value = isImmediate ? fields.immediate16 : register(0)[0]
      guard value & ~0x104 == 0 else {
        throw unsupported("SFPCONFIG", "lane configuration \(value.hexadecimal)")
      }
      laneConfiguration = value
    case 0...8: throw unsupported("SFPCONFIG", "what SFPLOADMACRO uses")
    default: throw unsupported("SFPCONFIG", "register \(fields.d) and mode \(fields.mode)")
    }
  }
}
