import CMicroKernels

/// The fast backend: blocked matrix products, attention without a score matrix, threads.
///
/// Inner loops are in `Shims/CMicroKernels`; here work is divided and memory provided. A result
/// does not depend on the number of threads: every sum is carried out by one thread, in one order.
final class CPUBackend: Backend {
  let pool: ThreadPool
  let memory = MemoryPool.shared
  let packedWeights = PackedWeights()
  let instructions: mk_instructions
  /// For what moves few elements, or types that no policy computes with.
  let reference = ReferenceBackend()

  var computesFolded: Bool { true }

  /// - Parameters:
  ///   - threads: as many as there are fast cores unless given.
  ///   - instructions: the widest that the processor has unless given.
  init(threads: Int? = nil, instructions: mk_instructions? = nil) {
    let cores = Processors.cores()
    pool = ThreadPool(count: threads ?? cores.count, cores: cores)
    self.instructions = instructions ?? Self.instructionSets.last ?? MK_PORTABLE
  }

  /// The instruction sets that the processor has, the widest last.
  static let instructionSets = [MK_PORTABLE, MK_AVX2, MK_AVX512].filter { mk_supports($0) }

  /// Elements below which a second thread gains nothing.
  static let elementsPerChunk = 32_768

  /// A tensor whose elements `body` writes as float32, all of them, in memory of the pool; where
  /// `type` is a 16-bit one, each is rounded once.
  func compute(
    _ shape: [Int], _ type: ElementType, like x: Tensor,
    _ body: (UnsafeMutablePointer<Float>) throws(PI0Error) -> Void
  ) throws(PI0Error) -> Tensor {
    guard let count = Shape.elementCount(shape), count > 0 else {
      // Nothing to write, or, thrown from here, a shape that no tensor can have.
      return try Tensor(shape: shape, elementType: type, device: x.device) {
        (_: UnsafeMutableBufferPointer<Float>) in
      }
    }
    let block = try memory.floats(count)
    try body(block.floats)
    let storage = TensorStorage(borrowing: UnsafeRawBufferPointer(block.bytes), from: block)
    let result = try Tensor(
      shape: shape, elementType: .float32, device: x.device, storage: storage, byteOffset: 0)
    return try result.converted(to: type)
  }

  /// The same for a tensor that there may be none of.
  func withFloats(
    _ x: Tensor?, _ body: (UnsafePointer<Float>?) throws(PI0Error) -> Void
  ) throws(PI0Error) {
    guard let x else { return try body(nil) }
    try withFloats(x) { (floats: UnsafePointer<Float>) throws(PI0Error) in try body(floats) }
  }

  /// Gives the elements of a floating-point tensor as float32, see `Tensor.withFloats`.
  func withFloats(
    _ x: Tensor, _ body: (UnsafePointer<Float>) throws(PI0Error) -> Void
  ) throws(PI0Error) {
    try x.withFloats { (floats) throws(PI0Error) in
      if let start = floats.baseAddress { try body(start) }
    }
  }
}
