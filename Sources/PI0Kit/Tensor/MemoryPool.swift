import Glibc
import Synchronization

/// Memory for results and intermediate values. What is given back is kept for the next of about
/// the same size, so that after the first call of a function nothing is allocated, and no page
/// touched for the first time.
final class MemoryPool: Sendable {
  /// Memory that goes back to its pool with the last reference.
  final class Block: @unchecked Sendable {
    // Unchecked for the pointer: only who took the block writes, before anyone else has it.
    let bytes: UnsafeMutableRawBufferPointer
    private let pool: MemoryPool?

    fileprivate init(_ bytes: UnsafeMutableRawBufferPointer, _ pool: MemoryPool?) {
      self.bytes = bytes
      self.pool = pool
    }

    deinit {
      if let pool { pool.giveBack(bytes) } else { Memory.free(UnsafeRawBufferPointer(bytes)) }
    }

    /// The bytes as floats.
    var floats: UnsafeMutablePointer<Float> {
      let start = bytes.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 64)
      return start.unsafelyUnwrapped.assumingMemoryBound(to: Float.self)
    }
  }

  /// The pool of all tensors in host memory.
  static let shared = MemoryPool()

  /// Bytes that are kept at most while nobody uses them.
  private static let capacity = 512 << 20

  /// Memory that nobody uses.
  private struct Unused: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer
  }

  private struct Shelf {
    var blocks: [Int: [Unused]] = [:]
    var byteCount = 0
  }
  private let shelf = Mutex(Shelf())

  deinit {
    shelf.withLock { shelf in
      for block in shelf.blocks.values.joined() {
        Memory.free(UnsafeRawBufferPointer(block.bytes))
      }
    }
  }

  /// At least `byteCount` bytes, uninitialised, aligned to a cache line.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where there is not enough memory.
  func take(byteCount: Int) throws(PI0Error) -> Block {
    let size = Self.rounded(byteCount)
    let kept = shelf.withLock { shelf -> Unused? in
      guard let block = shelf.blocks[size]?.popLast() else { return nil }
      shelf.byteCount -= size
      return block
    }
    if let kept { return Block(kept.bytes, self) }
    return Block(try Self.allocate(size), self)
  }

  /// `count` floats.
  func floats(_ count: Int) throws(PI0Error) -> Block {
    try take(byteCount: 4 * count)
  }

  /// Memory that belongs to no pool, in huge pages where the system has them.
  static func unpooled(byteCount: Int) throws(PI0Error) -> Block {
    Block(try allocate(byteCount), nil)
  }

  private func giveBack(_ block: UnsafeMutableRawBufferPointer) {
    let unused = Unused(bytes: block)
    let isKept = shelf.withLock { shelf in
      let size = unused.bytes.count
      guard shelf.byteCount + size <= Self.capacity else { return false }
      shelf.blocks[size, default: []].append(unused)
      shelf.byteCount += size
      return true
    }
    if !isKept { Memory.free(UnsafeRawBufferPointer(block)) }
  }

  /// Up to the next of eight sizes between two powers of two.
  private static func rounded(_ byteCount: Int) -> Int {
    let count = max(byteCount, 1024)
    let step = 1 << (Int.bitWidth - count.leadingZeroBitCount - 4)
    return (count + step - 1) & ~(step - 1)
  }

  private static func allocate(
    _ byteCount: Int
  ) throws(PI0Error) -> UnsafeMutableRawBufferPointer {
    let hugePage = 2 << 20
    let isLarge = byteCount >= 2 * hugePage
    let block = try Memory.allocate(
      byteCount: max(byteCount, 64), alignment: isLarge ? hugePage : 64)
    if isLarge { madvise(block.baseAddress, block.count & ~(hugePage - 1), MADV_HUGEPAGE) }
    return block
  }
}
