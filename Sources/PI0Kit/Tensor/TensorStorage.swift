/// The bytes of a tensor in host memory. Written once, while a tensor is made; constant after
/// that, and so free to share between tensors and threads.
final class TensorStorage: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer
  /// What keeps the bytes alive: a block of the pool, or a mapped file.
  private let owner: AnyObject

  /// Takes `byteCount` bytes, aligned to a cache line, and has `initialize` fill all of them.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where there is not enough memory.
  init(
    byteCount: Int, initialize: (UnsafeMutableRawBufferPointer) throws(PI0Error) -> Void
  ) throws(PI0Error) {
    let memory = try MemoryPool.shared.take(byteCount: byteCount)
    let part = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<byteCount])
    try initialize(part)
    bytes = UnsafeRawBufferPointer(part)
    owner = memory
  }

  /// Borrows bytes that live as long as `owner`.
  init(borrowing bytes: UnsafeRawBufferPointer, from owner: AnyObject) {
    self.bytes = bytes
    self.owner = owner
  }
}

/// The elements of a tensor in the memory of a device, which only that device's backend reads.
protocol DeviceStorage: AnyObject, Sendable {
  /// The elements as a tensor of `device` in host memory, of the given shape and type.
  func download(
    shape: [Int], elementType: ElementType, device: Device
  ) throws(PI0Error) -> Tensor
}
