import CEmulatorKernels

/// The four packers, which move rows of Dst to L1 side by side
/// (tt-isa-documentation, TensixCoprocessor/Packers/README.md, PACR.md).
final class Packer {
  /// What an instruction moved.
  struct Transfer {
    var bytesEach = 0
    var packers = 0
    var accumulates = false
  }

  /// What the configuration says, but for addresses.
  private struct Layout {
    var version = -1
    var bank = 0

    var conversion = ek_packing()
    var sourceBytes: UInt32 = 0
    /// Bits of a datum in L1.
    var outputBits: UInt32 = 0
    var isBlockFormat = false
    var strides = AddressCounters.Point.zero
    /// Rows of 16 after which the edge masks begin again.
    var rowsPerFace: UInt32 = 0
    /// Whether the edge masks leave all columns of all rows.
    var masksNothing = true
  }

  /// Where a packer is in a tile that several instructions make.
  private struct Progress {
    var x: UInt32 = 0
    var y: UInt32 = 0
    var address: UInt32 = 0
    var exponents: UInt32 = 0
  }

  private let l1: L1
  private let destination: Destination
  private let counters: AddressCounters
  private let configuration: Configuration
  private var layout = Layout()
  private var progress = [Progress](repeating: Progress(), count: 4)
  private var isInTile = false
  private var masks = [UInt16](repeating: 0, count: 16)

  init(
    l1: L1, destination: Destination, counters: AddressCounters, configuration: Configuration
  ) {
    self.l1 = l1
    self.destination = destination
    self.counters = counters
    self.configuration = configuration
  }

  /// PACR. What is written counts as written at `clock`.
  func pack(_ instruction: UInt32, thread: Int, clock: UInt64) throws(Violation) -> Transfer {
    let selected = instruction >> 8 & 0xF
    guard instruction & 0xFE_70EC == 0, selected == 1 || selected == 3 || selected == 15 else {
      throw Violation(
        "PACR 0x\(String(instruction & 0xFF_FFFF, radix: 16))",
        remedy: "select packer 0 (1), 0 and 1 (3) or all (15); writing zeros is not modelled")
    }
    if layout.version != configuration.version || layout.bank != configuration.selectedBank {
      layout = try readLayout()
    }
    let engine = counters.engine(AddressCounters.packers, thread: thread)
    let source = engine.pointee.source.value, target = engine.pointee.destination.value
    let row = try firstRow(source)
    let flushes = instruction & 2 != 0, ends = flushes || instruction & 1 != 0
    let count = flushes ? 0 : target[0] &+ 1
    guard count <= 256, count & (count &- 1) == 0 else {
      throw Violation(
        "PACR of \(count) data a packer",
        remedy: "set x with SETADCXX to a power of two, at most 256")
    }
    if layout.outputBits <= 8, count % 16 != 0 {
      throw Violation("PACR of \(count) data in bytes or blocks", remedy: "whole rows of 16 only")
    }
    if !isInTile {
      guard target[1] == 0, target[2] == 0, target[3] == 0 else {
        throw Violation(
          "PACR with L1 counters y, z, w = \(target[1]), \(target[2]), \(target[3])",
          remedy: "set them to 0: the address is in words 57, 85, 97, 125")
      }
    }
    let packers = selected == 15 ? 4 : selected == 3 ? 2 : 1
    for packer in 0..<packers {
      if !isInTile { start(packer) }
      try pack(packer, from: row, count: count, clock: clock)
      if ends { try pad(packer, clock: clock) }
    }
    isInTile = !ends
    try advance(engine, mode: Int(instruction >> 15 & 3), thread: thread)
    return Transfer(
      bytesEach: Int(count * layout.outputBits / 8), packers: packers,
      accumulates: layout.conversion.accumulates)
  }

  // MARK: - Addresses

  private func firstRow(_ source: AddressCounters.Point) throws(Violation) -> UInt32 {
    let offset =
      source[1] &* layout.strides[1] &+ source[2] &* layout.strides[2]
      &+ source[3] &* layout.strides[3]
    let datum = offset / layout.sourceBytes
    guard source[0] == 0, datum % 16 == 0 else {
      throw Violation(
        "PACR from datum \(datum) of Dst, x \(source[0])", remedy: "begin at whole rows, x = 0")
    }
    return datum / 16
  }

  /// A tile's first instruction: the packer's address.
  private func start(_ packer: Int) {
    var address = configuration[.packAddress(packer)] &+ 1
    let first = configuration[.packAddress(0)] &+ 1
    if packer > 0, first >> 31 == 1 { address = address &+ first }
    let exponentSize = layout.outputBits <= 8 ? configuration[.packExponentSize(packer)] : 0
    progress[packer] = Progress(
      address: (address &+ exponentSize) << 4, exponents: address << 4)
  }

  /// The packer's counters after an instruction, as its address mode says.
  private func advance(
    _ engine: UnsafeMutablePointer<AddressCounters.Engine>, mode: Int, thread: Int
  ) throws(Violation) {
    let steps = configuration.thread(thread, .packSteps(mode))
    guard steps != 0 else { return }
    guard steps >> 10 & 1 == 0 else {
      throw Violation("packers' address mode \(mode) with bit 10", remedy: "L1's y cannot return")
    }
    func step(
      _ channel: inout AddressCounters.Channel, _ dimension: Int, by step: UInt32, clears: Bool,
      returns: Bool
    ) {
      let mask = AddressCounters.masks[dimension]
      if clears {
        channel.value[dimension] = 0
        channel.origin[dimension] = dimension == 1 ? 0 : channel.origin[dimension]
      } else if returns {
        channel.origin[dimension] = (channel.origin[dimension] &+ step) & mask
        channel.value[dimension] = channel.origin[dimension]
      } else {
        channel.value[dimension] = (channel.value[dimension] &+ step) & mask
      }
    }
    step(
      &engine.pointee.source, 1, by: steps & 0xF, clears: steps >> 5 & 1 == 1,
      returns: steps >> 4 & 1 == 1)
    step(
      &engine.pointee.destination, 1, by: steps >> 6 & 0xF, clears: steps >> 11 & 1 == 1,
      returns: false)
    step(
      &engine.pointee.source, 2, by: steps >> 12 & 1, clears: steps >> 13 & 1 == 1, returns: false)
    step(
      &engine.pointee.destination, 2, by: steps >> 14 & 1, clears: steps >> 15 & 1 == 1,
      returns: false)
  }

  // MARK: - One packer

  private func pack(_ packer: Int, from first: UInt32, count: UInt32, clock: UInt64)
    throws(Violation)
  {
    let row = (first &+ configuration[.packRowOffset(packer)]) & UInt32(Destination.rows - 1)
    let rows = (count + 15) / 16
    guard row + rows <= UInt32(Destination.rows) else {
      throw Violation(
        "packer \(packer) reads rows \(row) to \(row + rows - 1) of Dst",
        remedy: "Dst has \(Destination.rows)")
    }
    guard count > 0 else { return }
    let usesMasks = !layout.masksNothing
    if usesMasks { try readMasks(packer, count: count) } else { passRows(packer, count: count) }

    for index in 0..<rows {
      var columns: UInt16 = count < 16 ? 1 << UInt16(count) - 1 : 0xFFFF
      if usesMasks { columns &= masks[Int(index)] }
      if layout.conversion.wide {
        try destination.checkRead32(Int(row + index), columns: columns)
      } else {
        try destination.checkRead16(Int(row + index), columns: columns)
      }
    }
    let address = progress[packer].address, exponents = progress[packer].exponents
    let bytes = count * layout.outputBits / 8
    try l1.checkWrite(address, bytes)
    if layout.conversion.accumulates { try l1.checkRead(address, bytes) }
    if layout.isBlockFormat { try l1.checkWrite(exponents, rows) }
    let memory = l1.memory.assumingMemoryBound(to: UInt8.self)
    let exponentMemory = layout.isBlockFormat ? memory + Int(exponents) : nil
    if usesMasks {
      ek_pack(
        &layout.conversion, destination.bits, destination.zeroed, row, count, masks,
        memory + Int(address), exponentMemory)
    } else {
      ek_pack(
        &layout.conversion, destination.bits, destination.zeroed, row, count, nil,
        memory + Int(address), exponentMemory)
    }
    l1.didWrite(address, bytes, clock: clock)
    progress[packer].address = address &+ bytes
    if layout.isBlockFormat { l1.didWrite(exponents, rows, clock: clock) }
    progress[packer].exponents = exponents &+ count / 16
  }

  /// What a tile's last instruction leaves of 16 bytes becomes zero.
  private func pad(_ packer: Int, clock: UInt64) throws(Violation) {
    func pad(from end: UInt32) throws(Violation) {
      let count = (16 &- end & 15) & 15
      guard count > 0 else { return }
      try l1.checkWrite(end, count)
      (l1.memory + Int(end)).initializeMemory(as: UInt8.self, repeating: 0, count: Int(count))
      l1.didWrite(end, count, clock: clock)
    }
    try pad(from: progress[packer].address)
    if layout.isBlockFormat { try pad(from: progress[packer].exponents) }
  }

  // MARK: - Edge masks

  /// Columns that are left of each row. A row's mask is that of where it is in its face.
  private func readMasks(_ packer: Int, count: UInt32) throws(Violation) {
    let rowSet = configuration[.edgeRowSets] >> UInt32(2 * packer) & 3
    guard rowSet <= 1 else {
      throw Violation("row set \(rowSet) of edge masks", remedy: "0 and 1 are modelled")
    }
    let mapping = configuration[16 + Int(rowSet)]
    for index in 0..<count {
      let choice = mapping >> (2 * (progress[packer].y & 15)) & 3
      guard choice <= 1, configuration[.edgeMode] == 0 else {
        throw Violation("edge mask \(choice)", remedy: "0 and 1, which make zeros, are modelled")
      }
      let mask = UInt16(configuration[choice == 0 ? .edgeMask0 : .edgeMask1])
      guard mask == 0 || mask == 1 || mask == 0xFFFF else {
        throw Violation(
          "edge mask 0x\(String(mask, radix: 16))", remedy: "0, 1 and 0xFFFF are modelled")
      }
      let bit: UInt16 = 1 << UInt16(index % 16)
      if index % 16 == 0 { masks[Int(index / 16)] = 0 }
      masks[Int(index / 16)] |= mask & bit
      passRows(packer, count: 1)
    }
  }

  private func passRows(_ packer: Int, count: UInt32) {
    let x = progress[packer].x + count
    progress[packer].x = x % 16
    progress[packer].y = (progress[packer].y + x / 16) % layout.rowsPerFace
  }

  // MARK: - Layout

  private func readLayout() throws(Violation) -> Layout {
    var layout = Layout()
    layout.version = configuration.version
    layout.bank = configuration.selectedBank
    try checkModes()
    let counters = configuration[.packCounters(0)]
    layout.rowsPerFace = counters >> 8 & 0xFF
    guard (1...16).contains(layout.rowsPerFace) else {
      throw Violation(
        "packers with \(layout.rowsPerFace) rows a face",
        remedy: "1 to 16: words 24 to 27, bits 8 to 15")
    }
    let formats = configuration[.packFormats(0)]
    let from = formats >> 8 & 0xF, to = formats >> 4 & 0xF
    guard from == configuration[.destinationFormat] else {
      throw Violation(
        "packers take format \(from), Dst is said to hold \(configuration[.destinationFormat])",
        remedy: "bits 25 to 28 of word 1 must be the packers' input format")
    }
    let wide = configuration[.packReads32Bit]
    try checkConversion(wide << 8 | from << 4 | to)
    layout.sourceBytes = max(1, Self.bits(from) / 8)
    layout.outputBits = Self.bits(to)
    layout.isBlockFormat = [6, 7, 15].contains(to)
    layout.strides = AddressCounters.Point(
      configuration[.packSourceXStride], configuration[.packSourceYStride],
      configuration[.packSourceZStride], configuration[.packSourceWStride])
    for index in 0..<4 where layout.strides[index] % layout.sourceBytes != 0 {
      throw Violation(
        "packers with a stride of \(layout.strides[index]) bytes in Dst",
        remedy: "strides must be multiples of a datum's \(layout.sourceBytes) bytes")
    }
    layout.conversion = try conversion(wide: wide == 1, from: from, to: to)
    layout.masksNothing =
      configuration[.edgeMask0] == 0xFFFF && configuration[.edgeMode] == 0
      && configuration[.edgeRowSets] == 0 && configuration[16] == 0
    return layout
  }

  private func conversion(wide: Bool, from: UInt32, to: UInt32) throws(Violation) -> ek_packing {
    var conversion = ek_packing()
    conversion.wide = wide
    conversion.from = UInt8(from)
    conversion.to = UInt8(to)
    conversion.is_unsigned = configuration[.packReadsUnsigned] == 1
    conversion.accumulates = configuration[.packModes(0)] >> 21 & 1 == 1
    if conversion.accumulates, to != 0, to != 1, to != 5 {
      throw Violation(
        "packers that add to data of format \(to)",
        remedy: "fp32, fp16 and bfloat16 can be added to")
    }
    let relu = configuration[.reluMode], threshold = configuration[.reluThreshold]
    if relu != 0 {
      guard relu <= 3, threshold >> 15 == 0, from == 8 ? relu == 1 : [0, 1, 2, 5, 6].contains(from)
      else {
        throw Violation(
          "ReLU mode \(relu) of format \(from) with threshold 0x\(String(threshold, radix: 16))",
          remedy: "modes 1 to 3 with a threshold that is not negative; of integers, mode 1")
      }
      conversion.relu = UInt8(relu)
      conversion.threshold = UInt16(threshold)
    }
    return conversion
  }

  /// What all four packers must agree about, and what none may do.
  private func checkModes() throws(Violation) {
    for packer in 0..<4 {
      let counters = configuration[.packCounters(packer)]
      let formats = configuration[.packFormats(packer)], modes = configuration[.packModes(packer)]
      guard
        counters >> 23 & 1 == 0, configuration[.packZOffset(packer)] == 0,
        configuration[.packRowStartSize(packer)] == 0, formats & 0x1_F00E == 0,
        modes & 0x1F_FFFF == 0
      else {
        throw Violation(
          "packer \(packer) with counters 0x\(String(counters, radix: 16)), formats "
            + "0x\(String(formats, radix: 16)), modes 0x\(String(modes, radix: 16))",
          remedy:
            "of formats bits 0, 4 to 11 and 17 up, of modes bits 21 up may be set; transposing, "
            + "offsets in z and headers are not modelled")
      }
      guard
        (counters ^ configuration[.packCounters(0)]) & 0xFF00 == 0,
        (formats ^ configuration[.packFormats(0)]) & 0xFF0 == 0,
        (modes ^ configuration[.packModes(0)]) & 0x20_0000 == 0
      else {
        throw Violation(
          "packer \(packer) is configured unlike packer 0",
          remedy: "rows a face, formats and accumulation must be the same in all four")
      }
    }
  }

  /// `mode` is 0x100 where 32 bits are read, 0x10 times the input format, and the output format.
  private func checkConversion(_ mode: UInt32) throws(Violation) {
    let isKnown =
      switch mode {
      case 0x10, 0x11, 0x15, 0x26, 0x50, 0x55, 0x56, 0x57, 0x5F, 0x60, 0x65, 0x66, 0x67, 0x99,
        0x100,
        0x101, 0x106, 0x107, 0x10F, 0x155, 0x166, 0x167, 0x188, 0x199, 0x1EE:
        true
      default: false
      }
    guard isKnown, configuration[.packRoundsTo10Bits] == 0 else {
      throw Violation(
        "packers from format \(mode >> 4 & 0xF), \(mode >> 8 == 1 ? 32 : 16) bits of Dst, to "
          + "format \(mode & 0xF)",
        remedy: "the official simulator does not convert so: fp32 (0) and bfloat16 (5) of 32 bits "
          + "are written as they are, fp32 also as bfp8 (6)")
    }
    let from = mode >> 4 & 0xF
    guard configuration[.packReadsRaw] == 0 || [0, 8, 9].contains(from) else {
      throw Violation("packers read format \(from) raw", remedy: "clear bit 2 of word 14")
    }
  }

  private static func bits(_ format: UInt32) -> UInt32 {
    switch format {
    case 0, 8: 32
    case 1, 5, 9: 16
    case 7: 4
    case 15: 2
    default: 8
    }
  }
}
