/// A part of the coprocessor that carries out instructions.
enum CoprocessorUnit: Int, CaseIterable {
  case sync, configuration, scalar, counters, unpackerA, unpackerB, matrix, vector, packer
}

/// Cycles that an instruction needs, and what it needs them of.
struct Cost {
  let unit: CoprocessorUnit
  /// Cycles until the unit takes another instruction.
  let occupancy: UInt64
  /// Cycles until the result is there, and the unit idle as STALLWAIT sees it.
  let latency: UInt64
  /// Bits of a block mask (STALLWAIT, SEMWAIT) that keep the instruction back.
  let blocks: UInt32
  /// Whether it reads SrcA, SrcB, and so waits for the unpackers.
  let readsA: Bool
  let readsB: Bool

  init(
    _ unit: CoprocessorUnit, _ occupancy: UInt64, latency: UInt64, blocks: UInt32,
    readsA: Bool = false, readsB: Bool = false
  ) {
    self.unit = unit
    self.occupancy = occupancy
    self.latency = latency
    self.blocks = blocks
    self.readsA = readsA
    self.readsB = readsB
  }
}

/// Cycles at 1 GHz, as tt-isa-documentation, WormholeB0/TensixTile, states them; the file of each is
/// named. Nothing was measured on silicon.
enum Costs {
  /// Cost by opcode, the instruction's upper eight bits. Movers of tiles add to it: see ``unpack`` and
  /// ``pack``.
  static let table: [Cost] = (0..<256).map(cost)

  private static func cost(_ opcode: Int) -> Cost {
    switch opcode {
    // TensixCoprocessor/MatrixUnit.md
    case 0x26, 0x27, 0x28, 0x30, 0x34:
      Cost(.matrix, 1, latency: 5, blocks: 0x40, readsA: true, readsB: true)
    case 0x33: Cost(.matrix, 1, latency: 4, blocks: 0x40, readsA: true, readsB: true)
    case 0x12: Cost(.matrix, 1, latency: 4, blocks: 0x40, readsA: true)
    case 0x13: Cost(.matrix, 1, latency: 4, blocks: 0x40, readsB: true)
    case 0x08...0x3A: Cost(.matrix, 1, latency: 4, blocks: 0x40)
    // TensixCoprocessor/PACR.md, UNPACR_Regular.md
    case 0x41: Cost(.packer, 1, latency: 1, blocks: 0x5)
    case 0x42, 0x43: Cost(.unpackerA, 2, latency: 2, blocks: 0x9)
    // TensixCoprocessor/ScalarUnit.md
    case 0x45, 0x60: Cost(.scalar, 1, latency: 1, blocks: 0x21)
    case 0x48: Cost(.scalar, 2, latency: 2, blocks: 0x21)
    case 0x58, 0x5A: Cost(.scalar, 4, latency: 4, blocks: 0x21)
    case 0x67: Cost(.scalar, 3, latency: 3, blocks: 0x21)
    // TensixCoprocessor/MiscellaneousUnit.md
    case 0x50...0x57, 0x5E: Cost(.counters, 1, latency: 1, blocks: 0x1)
    // TensixCoprocessor/VectorUnit.md, SFPSWAP.md, SFPSHFT2.md
    case 0x92, 0x94: Cost(.vector, 2, latency: 2, blocks: 0x100)
    case 0x74, 0x75, 0x84...0x86, 0x95: Cost(.vector, 1, latency: 2, blocks: 0x100)
    case 0x70...0x9F: Cost(.vector, 1, latency: 1, blocks: 0x100)
    // TensixCoprocessor/SyncUnit.md
    case 0xA0...0xA6: Cost(.sync, 1, latency: 1, blocks: 0x2)
    // TensixCoprocessor/ConfigurationUnit.md
    case 0xB0, 0xB1: Cost(.configuration, 1, latency: 2, blocks: 0x80)
    default: Cost(.configuration, 1, latency: 1, blocks: 0x80)
    }
  }

  /// Cycles of address calculation in front of every UNPACR, during which its thread does nothing
  /// else (UNPACR_Regular.md, "Performance").
  static let unpackStart: UInt64 = 2

  /// Cycles of one unpacker for `bytes` of L1: 16, 32 or 64 a cycle for modes 0 to 2
  /// (UNPACR_Regular.md, "Performance").
  static func unpack(bytes: Int, throttleMode: UInt32) -> UInt64 {
    UInt64((bytes + 15 << throttleMode) / (16 << throttleMode))
  }

  /// Cycles of L1's port that both unpackers share: 64 bytes a cycle (same table).
  static func unpackPort(bytes: Int) -> UInt64 { UInt64((bytes + 63) / 64) }

  /// Cycles for `bytes` from each of the packers that work side by side: 16 bytes a cycle into L1, or
  /// five cycles for them where they are added to what is there (TensixTile/L1.md,
  /// Packers/README.md).
  static func pack(bytesEach: Int, accumulates: Bool) -> UInt64 {
    UInt64((bytesEach + 15) / 16) * (accumulates ? 5 : 1)
  }
}
