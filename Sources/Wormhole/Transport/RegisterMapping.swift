internal import CTTDevice

/// The card's registers beside the windows: 3 MiB of BAR 0, uncached. Never more of it, since a
/// mapping that overlaps the windows would decide on their kind of memory.
final class RegisterMapping: CardRegisters {
  let name: String

  private static let first: UInt32 = 0x1FD0_0000
  private static let size: UInt32 = 3 << 20

  private let connection: DriverConnection
  private var start: UnsafeMutableRawPointer?
  private let mapping: MappingGuard

  init(_ connection: DriverConnection) throws(CardError) {
    name = connection.path
    let bar0 = try connection.bar0()
    guard bar0.size >= UInt64(Self.first + Self.size) else {
      throw CardError(
        card: name, call: "QUERY_MAPPINGS", seen: "BAR 0 of \(bar0.size) bytes",
        remedy: "give the card its 512 MiB: turn on large regions (above 4G decoding) in the "
          + "machine's firmware")
    }
    let mapped = try connection.map(
      offset: bar0.offset + UInt64(Self.first), size: UInt64(Self.size))
    do throws(CardError) {
      mapping = try MappingGuard(mapped, size: UInt64(Self.size), card: name)
    } catch {
      connection.unmap(mapped, size: UInt64(Self.size))
      throw error
    }
    start = mapped
    self.connection = connection
  }

  deinit { close() }

  func close() {
    if let start { connection.unmap(start, size: UInt64(Self.size)) }
    start = nil
  }

  /// Whether somebody's reset took the mapping away.
  var isLost: Bool { mapping.isLost }

  func readRegister(at offset: UInt32) throws(CardError) -> UInt32 {
    let value = tt_read32(try place(of: offset))
    if isLost { throw .reset(name, call: "read of a register") }
    return value
  }

  func writeRegister(_ value: UInt32, at offset: UInt32) throws(CardError) {
    tt_write32(try place(of: offset), value)
    if isLost { throw .reset(name, call: "write of a register") }
  }

  func pause() { connection.calls.yield() }

  private func place(of offset: UInt32) throws(CardError) -> UnsafeMutableRawPointer {
    guard offset >= Self.first, offset - Self.first <= Self.size - 4, offset % 4 == 0 else {
      throw CardError(
        card: name, call: "register", seen: "0x\(hexadecimal(offset, digits: 8))",
        remedy: "stay within the registers that are mapped")
    }
    guard let start else { throw .closed(name, call: "register") }
    return start + Int(offset - Self.first)
  }
}
