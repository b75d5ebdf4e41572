import CEmulatorKernels

/// The PCIe tile's way to the host's memory, from 0x8_0000_0000 on.
struct HostLink {
  private static let base: UInt64 = 0x8_0000_0000
  private static let limit: UInt64 = 0xFFFE_0000

  private var memory: UnsafeMutableRawBufferPointer?
  /// Bytes that were written where no memory is.
  private(set) var strayBytes = 0

  /// Whether there was none before.
  mutating func attach(_ memory: UnsafeMutableRawBufferPointer) -> Bool {
    if self.memory != nil { return false }
    self.memory = memory
    return true
  }

  mutating func detach() { memory = nil }

  /// What is nobody's reads as ones.
  func read(
    _ address: UInt64, into bytes: UnsafeMutableRawPointer, _ count: Int
  ) throws(Violation) {
    if let place = try place(address, count) {
      bytes.copyMemory(from: place, byteCount: count)
    } else {
      bytes.initializeMemory(as: UInt8.self, repeating: 0xFF, count: count)
    }
  }

  mutating func write(_ bytes: UnsafeRawBufferPointer, _ address: UInt64) throws(Violation) {
    if let place = try place(address, bytes.count) {
      if let start = bytes.baseAddress { place.copyMemory(from: start, byteCount: bytes.count) }
    } else {
      strayBytes += bytes.count
    }
  }

  private func place(
    _ address: UInt64, _ count: Int
  ) throws(Violation) -> UnsafeMutableRawPointer? {
    guard address >= Self.base, address - Self.base <= Self.limit - UInt64(count) else {
      throw Violation(
        "\(count) bytes at 0x\(String(address, radix: 16)) of the PCIe tile",
        remedy: "the host's memory is from 0x800000000 to 0x8fffdffff")
    }
    let offset = Int(address - Self.base)
    guard let memory, count <= memory.count, offset <= memory.count - count else { return nil }
    return memory.baseAddress.map { $0 + offset }
  }
}
