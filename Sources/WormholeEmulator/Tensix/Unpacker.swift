import CEmulatorKernels

/// The two unpackers: 0 moves tiles from L1 to SrcA or Dst, 1 to SrcB
/// (tt-isa-documentation, TensixCoprocessor/UNPACR_Regular.md, UNPACR_NOP.md).
final class Unpacker {
  /// What an instruction moved.
  struct Transfer {
    var bytes = 0
    var throttleMode: UInt32 = 2
    /// It wrote a bank of SrcA or SrcB.
    var usesBank = true
  }

  /// What the configuration says, but for addresses.
  private struct Layout {
    var version = -1
    var bank = 0
    var context = 0

    var inputFormat = 0
    var outputFormat = 0
    /// Bits of a datum in L1.
    var inputBits: UInt32 = 0
    var outputBytes: UInt32 = 0
    /// Data from one row, face, tile to the next.
    var strides = AddressCounters.Point.zero
    var destinationStrides = AddressCounters.Point.zero
    /// Bytes of exponents in front of the data.
    var exponentBytes: UInt32 = 0
    var isBlockFormat = false
    var forcesExponent = false
    var isTransposed = false
    var isTilizing = false
    /// Bytes in L1 from 16 data to the next.
    var rowBytes: UInt32 = 0
    var throttleMode: UInt32 = 0
    var toDestination = false
    var setsUpdate = false
  }

  private let l1: L1
  private let sources: [SourceRegisters]
  private let destination: Destination
  private let counters: AddressCounters
  private let configuration: Configuration
  private var layouts = [Layout(), Layout()]
  /// Room for an operand that is to be transposed.
  private let scratch: UnsafeMutablePointer<UInt32>

  init(
    l1: L1, sourceA: SourceRegisters, sourceB: SourceRegisters, destination: Destination,
    counters: AddressCounters, configuration: Configuration
  ) {
    self.l1 = l1
    sources = [sourceA, sourceB]
    self.destination = destination
    self.counters = counters
    self.configuration = configuration
    scratch = .allocate(capacity: SourceRegisters.bankSize)
    scratch.initialize(repeating: 0, count: SourceRegisters.bankSize)
  }

  deinit { scratch.deallocate() }

  // MARK: - UNPACR

  /// Nil where the bank is the matrix unit's still.
  func unpack(_ instruction: UInt32, thread: Int) throws(Violation) -> Transfer? {
    // The last instruction of a tile, of the thread's own context, is all that is used.
    guard instruction & 0x7FBF == 0x0081 else {
      throw Violation(
        "UNPACR 0x\(String(instruction, radix: 16)): of bits 0 to 14, 0 and 7 must be set, and only "
          + "bit 6 may be, too",
        remedy: "searching, zero writes and other contexts are not modelled")
    }
    let unpacker = Int(instruction >> 23 & 1)
    let registers = sources[unpacker]
    guard !registers.isUnpackBankValid else { return nil }

    let context = Int(configuration.thread(thread, .unpackContext(unpacker)))
    guard context <= 1 else {
      throw Violation("unpacker context \(context)", remedy: "0 and 1 are modelled")
    }
    if layouts[unpacker].version != configuration.version
      || layouts[unpacker].bank != configuration.selectedBank
      || layouts[unpacker].context != context
    {
      layouts[unpacker] = try readLayout(unpacker, context)
    }
    let layout = layouts[unpacker]
    let engine = counters.engine(unpacker, thread: thread)
    let source = engine.pointee.source.value, target = engine.pointee.destination.value
    guard target[3] == 0, source[0] <= target[0] else {
      throw Violation(
        "UNPACR with x from \(source[0]) to \(target[0]), w \(target[3])",
        remedy: "set x with SETADCXX; the registers' w must be 0")
    }
    let count = target[0] - source[0] + 1
    let first = try firstDatum(unpacker, layout, target, context: context)
    guard layout.toDestination != (configuration.thread(thread, .sourceAOverride) == 1) else {
      throw Violation(
        "UNPACR to \(layout.toDestination ? "Dst" : registers.name) with bit 2 of the thread's "
          + "register 3 \(layout.toDestination ? "set" : "clear")",
        remedy: "SETC16 of register 3: 4 for SrcA and SrcB, 0 for Dst")
    }

    let bytes = try move(
      layout, unpacker, source: source, count: count, first: first, context: context)
    let step = instruction >> 15
    engine.pointee.source.value[2] = (source[2] + step & 3) & 0xFF
    engine.pointee.source.value[1] = (source[1] + step >> 2 & 3) & 0x1FFF
    engine.pointee.destination.value[2] = (target[2] + step >> 4 & 3) & 0xFF
    engine.pointee.destination.value[1] = (target[1] + step >> 6 & 3) & 0x1FFF
    if instruction & 0x40 != 0 {
      try handOver(registers, unpacker, thread)
    } else if layout.setsUpdate {
      throw Violation(
        "UNPACR that hands no bank over, where bit 10 of the unpackers' modes is set",
        remedy: "clear bit 10 of words 60 and 100")
    }
    return Transfer(
      bytes: bytes, throttleMode: layout.isTilizing ? 2 : layout.throttleMode,
      usesBank: !layout.toDestination)
  }

  private func handOver(_ registers: SourceRegisters, _ unpacker: Int, _ thread: Int)
    throws(Violation)
  {
    guard unpacker == 1 || configuration.thread(thread, .sourceABase) == 0 else {
      throw Violation(
        "SrcA with a base row", remedy: "clear bits 0 and 1 of the thread's register 3")
    }
    try registers.handOver()
  }

  // MARK: - Where to

  /// The first datum's place in the registers, rows of 16.
  private func firstDatum(
    _ unpacker: Int, _ layout: Layout, _ target: AddressCounters.Point, context: Int
  ) throws(Violation) -> UInt32 {
    let offset =
      target[1] &* layout.destinationStrides[1] &+ target[2] &* layout.destinationStrides[2]
    var first = offset / layout.outputBytes
    if unpacker == 0 {
      let base = configuration[.unpackDestination(context: context)]
      let adds = layout.toDestination || configuration[.addsDestinationCounter] == 1
      first = adds ? first &+ base : base
      // Four rows in front of the registers can be addressed, and are not there.
      guard first >= 64 else {
        throw Violation(
          "UNPACR to datum \(first) of unpacker 0's destination",
          remedy: "the registers begin at 64: set word 72 to 64 at least")
      }
      first -= 64
    }
    guard first % 16 == 0 else {
      throw Violation("UNPACR to datum \(first) of the registers", remedy: "begin at whole rows")
    }
    return first
  }

  // MARK: - Moving

  /// Returns the bytes read.
  private func move(
    _ layout: Layout, _ unpacker: Int, source: AddressCounters.Point, count: UInt32, first: UInt32,
    context: Int
  ) throws(Violation) -> Int {
    let offset = unpacker == 0 ? configuration[.unpackOffset(context: context)] : 0
    let base = (configuration[.unpackBase(unpacker, context: context)] &+ offset &+ 1) << 4
    let datum =
      source[0] &+ source[1] &* layout.strides[1] &+ source[2] &* layout.strides[2]
      &+ source[3] &* layout.strides[3]
    let startBits =
      UInt64(base &+ layout.exponentBytes) * 8 + UInt64(datum) * UInt64(layout.inputBits)
    guard startBits < UInt64(UInt32.max) else {
      throw Violation("UNPACR from byte \(startBits / 8)", remedy: "L1 ends at 0x16E000")
    }
    if (layout.isTransposed || layout.isTilizing) && startBits % 128 != 0 {
      throw Violation(
        "UNPACR, transposing or tilizing, from byte \(UInt32(startBits / 8).hexadecimal)",
        remedy: "begin at a multiple of 16 bytes")
    }
    let start = UInt32(startBits / 8)
    let bytes = try checkSource(layout, start, startBits, count)

    var from = ek_unpack_source()
    from.data = UnsafePointer(l1.memory.assumingMemoryBound(to: UInt8.self) + Int(start))
    from.first_bit = UInt32(startBits % 8)
    from.row_bytes = layout.rowBytes
    if layout.isBlockFormat {
      from.place = (datum &+ base << 4) % 16
      if layout.forcesExponent {
        from.exponent = UInt8(configuration[.forcedExponent])
      } else {
        let exponents = UInt32((UInt64(base) * 16 + UInt64(datum)) / 16)
        try l1.checkRead(exponents, (from.place + count - 1) / 16 + 1)
        from.exponents = UnsafePointer(
          l1.memory.assumingMemoryBound(to: UInt8.self) + Int(exponents))
      }
    }
    from.is_unsigned = configuration[unpacker == 0 ? .sourceAUnsigned : .sourceBUnsigned] == 1
    if layout.toDestination {
      try toDestination(from, first: first, count: count)
    } else {
      try toSource(&from, layout, unpacker, first: first, count: count)
    }
    return bytes
  }

  /// Bytes read, all of which have been written.
  private func checkSource(
    _ layout: Layout, _ start: UInt32, _ startBits: UInt64, _ count: UInt32
  ) throws(Violation) -> Int {
    if layout.isTilizing {
      var bytes = 0
      for row in 0..<(count + 15) / 16 {
        let data = min(16, count - 16 * row)
        let address = UInt64(start) + UInt64(row) * UInt64(layout.rowBytes)
        guard address < UInt64(L1.byteCount) else {
          throw Violation("UNPACR from byte \(address)", remedy: "L1 ends at 0x16E000")
        }
        let rowBytes = data * layout.inputBits / 8
        try l1.checkRead(UInt32(address), rowBytes)
        bytes += Int(rowBytes)
      }
      return bytes
    }
    let end = (startBits + UInt64(count) * UInt64(layout.inputBits) + 7) / 8
    let bytes = UInt32(end - UInt64(start))
    try l1.checkRead(start, bytes)
    return Int(bytes)
  }

  private func toDestination(_ from: ek_unpack_source, first: UInt32, count: UInt32)
    throws(Violation)
  {
    var from = from
    let rows = (count + 15) / 16, row = first / 16
    guard row + rows <= UInt32(Destination.rows) else {
      throw Violation(
        "UNPACR to rows \(row) to \(row + rows - 1) of Dst", remedy: "Dst has \(Destination.rows)")
    }
    ek_unpack_to_dst(&from, destination.bits, row, count)
    for index in 0..<rows {
      let columns = min(16, count - 16 * index)
      destination.didWrite32(
        Int(row + index), columns: UInt16(truncatingIfNeeded: 1 << columns - 1))
    }
  }

  private func toSource(
    _ from: inout ek_unpack_source, _ layout: Layout, _ unpacker: Int, first: UInt32, count: UInt32
  ) throws(Violation) {
    let registers = sources[unpacker], bank = registers.unpackBank
    let rows = (count + 15) / 16, row = first / 16
    guard row + rows <= UInt32(SourceRegisters.rows) else {
      throw Violation(
        "UNPACR to rows \(row) to \(row + rows - 1) of \(registers.name)",
        remedy: "a bank has \(SourceRegisters.rows)")
    }
    if unpacker == 0, count > 16 {
      // Bursts of rows that straddle sixteen lose some.
      let mode = layout.inputBits == 2 ? 0 : layout.isTilizing ? 2 : layout.throttleMode
      let burst = min(max((16 << mode) / (2 * layout.inputBits), 1), 8)
      guard row % burst == 0 else {
        throw Violation(
          "UNPACR of \(count) data to row \(row) of SrcA",
          remedy: "begin at a multiple of \(burst) rows: the unpacker writes as many at once")
      }
    }
    let bankStart = registers.row(0, bank: bank)
    let from16 = Int32(layout.inputFormat), to = Int32(layout.outputFormat)
    if layout.isTransposed {
      ek_unpack(&from, from16, to, scratch, count)
      ek_place_transposed(scratch, bankStart, first, count)
      // A part of a face leaves columns of all its rows.
      registers.didWrite(Int(row / 16 * 16), Int((rows + row % 16 + 15) / 16 * 16), bank: bank)
    } else {
      ek_unpack(&from, from16, to, bankStart + Int(first), count)
      registers.didWrite(Int(row), Int(rows), bank: bank)
    }
  }

  // MARK: - Layout

  private func readLayout(_ unpacker: Int, _ context: Int) throws(Violation) -> Layout {
    let descriptor = configuration[.tileDescriptor(unpacker)]
    let dimensions = configuration[.tileDimensions(unpacker)]
    let modes = configuration[.unpackModes(unpacker)]
    let contexts = configuration[.unpackContexts(unpacker)]
    var layout = Layout()
    layout.version = configuration.version
    layout.bank = configuration.selectedBank
    layout.context = context
    layout.inputFormat = Int(descriptor & 0xF)
    layout.outputFormat = Int(modes & 0xF)
    layout.toDestination = unpacker == 0 && contexts >> UInt32(4 + context) & 1 == 1
    layout.isTransposed = modes >> 8 & 1 == 1
    layout.isTilizing = modes >> 9 & 1 == 1
    layout.throttleMode = modes >> 4 & 3
    layout.forcesExponent = contexts >> 8 & 1 == 1
    layout.setsUpdate =
      (configuration[.unpackModes(0)] | configuration[.unpackModes(1)]) >> 10 & 1 == 1
    guard contexts >> UInt32(context) & 1 == 1 else {
      throw Violation(
        "UNPACR of compressed data",
        remedy: "set bit \(context) of word \(unpacker == 0 ? 61 : 101)")
    }
    guard modes & 0xF000 == 0, layout.throttleMode <= 2,
      !layout.isTransposed || (unpacker == 0 && !layout.toDestination),
      !layout.isTilizing || unpacker == 0
    else {
      throw Violation(
        "unpacker \(unpacker) with modes 0x\(String(modes, radix: 16))",
        remedy:
          "upsampling, other formats a context and speed 3 are not modelled; unpacker 0 alone "
          + "tilizes, and transposes to SrcA")
    }
    try checkFormats(layout, unpacker)
    layout.inputBits = try Self.bits(layout.inputFormat)
    layout.outputBytes = max(1, try Self.bits(layout.outputFormat) / 8)
    layout.isBlockFormat = [6, 7, 15].contains(layout.inputFormat)
    layout.rowBytes = try rowBytes(layout, unpacker, context, modes)

    let length =
      unpacker == 0 ? configuration[.unpackRowLength(context: context)] : descriptor >> 16
    let height = dimensions & 0xFF, depth = max(1, dimensions >> 16 & 0xFF)
    layout.strides = AddressCounters.Point(
      1, length, length &* height, length &* height &* depth)
    if unpacker == 0 {
      layout.destinationStrides[1] = configuration[.unpack0YStride]
      layout.destinationStrides[2] = configuration[.unpack0ZStride]
    } else {
      layout.destinationStrides[2] = configuration[.unpack1ZStride]
    }
    for stride in [layout.destinationStrides[1], layout.destinationStrides[2]]
    where stride % layout.outputBytes != 0 {
      throw Violation(
        "unpacker \(unpacker) with a stride of \(stride) bytes in the registers",
        remedy: "strides must be multiples of a datum's \(layout.outputBytes) bytes")
    }
    if layout.isBlockFormat, !layout.forcesExponent {
      guard descriptor >> 5 & 1 == 0 else {
        throw Violation("block format without exponents", remedy: "clear bit 5 of the descriptor")
      }
      layout.exponentBytes = ((layout.strides[3] &+ 15) / 16 &+ 15) & ~15
    }
    return layout
  }

  private func checkFormats(_ layout: Layout, _ unpacker: Int) throws(Violation) {
    let input = layout.inputFormat, output = layout.outputFormat
    let isKnown =
      layout.toDestination
      ? [[0, 0], [0, 4], [8, 8]].contains([input, output])
      : input == 0
        ? [1, 4, 5].contains(output)
        : input == output && [1, 5, 6, 7, 9, 10, 14, 15].contains(input)
    guard isKnown else {
      throw Violation(
        "unpacker \(unpacker) from format \(input) to \(output) in "
          + (layout.toDestination ? "Dst" : sources[unpacker].name),
        remedy: "fp32 (0) goes to tf32, bfloat16, fp16 or, with int32 (8), to Dst; the others stay "
          + "what they are")
    }
  }

  private func rowBytes(_ layout: Layout, _ unpacker: Int, _ context: Int, _ modes: UInt32)
    throws(Violation) -> UInt32
  {
    guard layout.isTilizing else {
      guard unpacker == 1 || modes >> UInt32(16 + 4 * context) & 0xF == 0 else {
        throw Violation("unpacker 0 that shifts columns", remedy: "clear bits 16 to 31 of word 60")
      }
      return layout.inputBits * 2
    }
    guard layout.inputBits >= 8 else {
      throw Violation("tilizing of data of \(layout.inputBits) bits", remedy: "8 at least")
    }
    return (modes >> 16 & 0xFFF) << 4
  }

  private static func bits(_ format: Int) throws(Violation) -> UInt32 {
    switch format {
    case 0, 4, 8: 32
    case 1, 5, 9: 16
    case 6, 10, 14: 8
    case 7: 4
    case 15: 2
    default: throw Violation("data format \(format)", remedy: "DataFormat.swift lists those in use")
    }
  }

  // MARK: - UNPACR_NOP

  /// Zeroes a bank (mode 1), fills SrcA with minus infinity (5), or hands a bank over as it is (7).
  /// Nil where the matrix unit has the bank.
  func fill(_ instruction: UInt32) throws(Violation) -> Transfer? {
    let registers = sources[Int(instruction >> 23 & 1)]
    let mode = instruction & 0x1F
    guard instruction & 0x7F_FFE0 == 0, [1, 5, 7].contains(mode),
      mode != 5 || registers === sources[0]
    else {
      throw Violation(
        "UNPACR_NOP 0x\(String(instruction & 0xFF_FFFF, radix: 16))",
        remedy: "1 zeroes, 5 makes SrcA minus infinity, 7 hands over")
    }
    if mode == 7 {
      try registers.handOver()
    } else {
      // The wait is for the matrix unit's bank, not for the one that is filled.
      guard !registers.isMatrixBankValid else { return nil }
      registers.fill(bank: registers.unpackBank, with: mode == 5 ? 0xFFFF_E000 : 0)
    }
    return Transfer()
  }
}
