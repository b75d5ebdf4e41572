import CEmulatorKernels

/// The 1464 KiB that a tile's cores, coprocessor and NoC share. Zero until written, and it knows
/// which bytes were.
final class L1 {
  static let byteCount = UInt32(ek_l1_bytes)

  /// All of it. Who reads here has called `checkRead`, who writes calls `didWrite`.
  let memory: UnsafeMutableRawPointer
  /// What the cores' interpreter sees: `memory`, the marks, and the cores that watch.
  let kernel: UnsafeMutablePointer<ek_l1>

  /// Pages come from the system as they are touched.
  init() {
    let bytes: UnsafeMutablePointer<UInt8> = Zeroed.allocate(Int(L1.byteCount))
    memory = UnsafeMutableRawPointer(bytes)
    kernel = .allocate(capacity: 1)
    kernel.initialize(to: ek_l1())
    kernel.pointee.memory = memory.assumingMemoryBound(to: UInt8.self)
    kernel.pointee.written = Zeroed.allocate(Int(L1.byteCount) / 8)
    kernel.pointee.counters = BufferCounters.addresses.lowerBound
    kernel.pointee.counter_bytes = UInt32(BufferCounters.addresses.count)
    ek_l1_update_watches(kernel)
  }

  deinit {
    Zeroed.deallocate(kernel.pointee.written, Int(L1.byteCount) / 8)
    Zeroed.deallocate(memory.assumingMemoryBound(to: UInt8.self), Int(L1.byteCount))
    kernel.deallocate()
  }

  /// Throws unless these bytes are in range and were written.
  @inline(__always)
  func checkRead(_ address: UInt32, _ count: UInt32) throws(Violation) {
    try checkWrite(address, count)
    if !ek_l1_was_written(kernel, address, count) { throw unwritten(address, count) }
  }

  /// Throws unless these bytes are in range.
  @inline(__always)
  func checkWrite(_ address: UInt32, _ count: UInt32) throws(Violation) {
    if UInt64(address) + UInt64(count) > UInt64(L1.byteCount) { throw outside(address, count) }
  }

  /// To be called after a write: marks the bytes as written, and wakes the cores that watch them.
  /// - Returns: Whether a core woke.
  @inline(__always) @discardableResult
  func didWrite(_ address: UInt32, _ count: UInt32, clock: UInt64) -> Bool {
    ek_l1_wrote(kernel, address, count, clock)
  }

  private func outside(_ address: UInt32, _ count: UInt32) -> Violation {
    Violation(
      "\(count) bytes at \(address.hexadecimal) are not in L1, which ends at"
        + " \(L1.byteCount.hexadecimal).")
  }

  private func unwritten(_ address: UInt32, _ count: UInt32) -> Violation {
    let first = ek_l1_first_unwritten(kernel, address, count)
    return Violation(
      "\(count) bytes at L1 \(address.hexadecimal) are read, but nothing was ever written to"
        + " \(first.hexadecimal).",
      remedy: "On a card they are what an earlier program left there: write them first.")
  }
}
