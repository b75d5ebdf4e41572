/// What the card says of itself in PCI configuration space, and where its BARs are.
struct PCIIdentity {
  private static let bar0: UInt64 = 0x1_0000_0000
  private static let bar2: UInt64 = 0x1_2000_0000
  private static let bar4: UInt64 = 0x8_0000_0000
  private static let bar0Bytes: UInt64 = 512 << 20
  private static let bar4Bytes: UInt64 = 32 << 20

  func word(at offset: UInt32) -> UInt32 {
    switch offset {
    case 0x00: 0x401E_1E52  // Wormhole, Tenstorrent
    case 0x08: 0x1200_0001  // a processing accelerator, revision 1
    case 0x10: UInt32(truncatingIfNeeded: Self.bar0) | 4
    case 0x14: UInt32(Self.bar0 >> 32)
    case 0x18: UInt32(truncatingIfNeeded: Self.bar2) | 4
    case 0x1C: UInt32(Self.bar2 >> 32)
    case 0x20: UInt32(truncatingIfNeeded: Self.bar4) | 4
    case 0x24: UInt32(Self.bar4 >> 32)
    default: 0
    }
  }

  /// The place in BAR 0 that `count` bytes at a bus address mean; BAR 4 is its last 32 MiB.
  func offset(_ address: UInt64, _ count: Int) throws(Violation) -> UInt32 {
    let bytes = UInt64(count)
    if address >= Self.bar0, bytes <= Self.bar0Bytes,
      address - Self.bar0 <= Self.bar0Bytes - bytes
    {
      return UInt32(address - Self.bar0)
    }
    if address >= Self.bar4, bytes <= Self.bar4Bytes,
      address - Self.bar4 <= Self.bar4Bytes - bytes
    {
      return UInt32(Self.bar0Bytes - Self.bar4Bytes + address - Self.bar4)
    }
    throw Violation(
      "\(count) bytes at bus address 0x\(String(address, radix: 16))",
      remedy: "BAR 0 and BAR 4 are modelled: see the PCI configuration for where they are")
  }
}
