import Wormhole

/// The card's DRAM: six controllers with two channels of 1 GiB each, one behind the other.
///
/// What was never written is not read by a tile, since on a card it is anything.
final class DRAM {
  static let controllerCount = 6
  static let controllerBytes = 2 << 30
  /// Bytes that share a mark of having been written: a read's smallest unit.
  private static let granuleBits = 5

  private let memory: [LazyMemory]
  /// A bit a granule.
  private let written: [LazyMemory]

  init() throws(CardError) {
    var memory: [LazyMemory] = []
    var written: [LazyMemory] = []
    for _ in 0..<Self.controllerCount {
      memory.append(try LazyMemory(Self.controllerBytes))
      written.append(try LazyMemory(Self.controllerBytes >> (Self.granuleBits + 3)))
    }
    self.memory = memory
    self.written = written
  }

  /// Where `count` bytes of a controller are.
  func place(
    _ controller: Int, _ address: UInt64, _ count: Int
  ) throws(Violation) -> UnsafeMutableRawPointer {
    guard address <= Self.controllerBytes, count <= Self.controllerBytes - Int(address) else {
      throw Violation(
        "\(count) bytes at 0x\(String(address, radix: 16)) of DRAM controller \(controller)",
        remedy: "a controller has 2 GiB: stay below 0x80000000")
    }
    return memory[controller].start + Int(address)
  }

  /// Throws where a tile would read what nobody wrote. The range lies in the controller.
  func checkWritten(_ controller: Int, _ address: UInt64, _ count: Int) throws(Violation) {
    let bits = written[controller].start.assumingMemoryBound(to: UInt64.self)
    var granule = Int(address) >> Self.granuleBits
    let end = ((Int(address) + count - 1) >> Self.granuleBits) + 1
    while granule < end {
      let mask = Self.mask(granule, end)
      if bits[granule >> 6] & mask != mask {
        while bits[granule >> 6] >> UInt64(granule & 63) & 1 != 0 { granule += 1 }
        throw Violation(
          "reads DRAM that was never written, controller \(controller) from "
            + "0x\(String(granule << Self.granuleBits, radix: 16)) on",
          remedy: "write it first: on a card it holds anything")
      }
      granule = (granule | 63) + 1
    }
  }

  /// Notes that a range was written.
  func didWrite(_ controller: Int, _ address: UInt64, _ count: Int) {
    guard count > 0 else { return }
    let bits = written[controller].start.assumingMemoryBound(to: UInt64.self)
    var granule = Int(address) >> Self.granuleBits
    let end = ((Int(address) + count - 1) >> Self.granuleBits) + 1
    while granule < end {
      bits[granule >> 6] |= Self.mask(granule, end)
      granule = (granule | 63) + 1
    }
  }

  /// The bits of granules from `first` to `end` in the word of `first`.
  @inline(__always) private static func mask(_ first: Int, _ end: Int) -> UInt64 {
    let low = UInt64.max << UInt64(first & 63)
    let rest = end - (first & ~63)
    return rest >= 64 ? low : low & ~(UInt64.max << UInt64(rest))
  }
}
