/// A constant n-dimensional array, row-major, on one device.
///
/// Operations are methods and return new tensors. They follow PyTorch's semantics: broadcasting,
/// infinities and NaN included. Arithmetic is done in float32; the result is rounded once to the
/// promoted type of the operands.
///
///     let x = try Tensor([1, 2, 3, 4], shape: [2, 2])
///     let y = try (x * 2 + x).silu()
public struct Tensor: Sendable {
  /// Dimensions, outermost first. An empty shape is a scalar.
  public let shape: [Int]
  /// The type of the elements.
  public let elementType: ElementType
  /// Where the tensor lives and where operations on it run.
  public let device: Device
  let storage: TensorStorage
  /// Where in `storage` the first element is, in bytes.
  let byteOffset: Int
  /// The number of elements.
  public let count: Int

  /// The number of dimensions.
  public var rank: Int { shape.count }

  /// A tensor over a part of `storage`. Throws where the part does not lie within it.
  init(
    shape: [Int], elementType: ElementType, device: Device, storage: TensorStorage,
    byteOffset: Int
  ) throws(PI0Error) {
    guard let count = Shape.elementCount(shape) else {
      throw .operation(
        "tensor", reason: "no tensor can have this shape", operands: ["shape: \(shape)"])
    }
    let available = storage.bytes.count - byteOffset
    guard byteOffset >= 0, available >= 0, count <= available / elementType.byteCount else {
      throw .operation(
        "tensor", reason: "\(storage.bytes.count) bytes do not hold the elements",
        operands: ["\(elementType)\(shape) at byte \(byteOffset)"])
    }
    self.shape = shape
    self.elementType = elementType
    self.device = device
    self.storage = storage
    self.byteOffset = byteOffset
    self.count = count
  }

  /// A tensor whose elements `initialize` writes, all of them, in row-major order.
  init<Element: BitwiseCopyable>(
    shape: [Int], elementType: ElementType, device: Device,
    initialize: (UnsafeMutableBufferPointer<Element>) throws(PI0Error) -> Void
  ) throws(PI0Error) {
    guard let count = Shape.elementCount(shape) else {
      throw .operation(
        "tensor", reason: "no tensor can have this shape", operands: ["shape: \(shape)"])
    }
    let storage = try TensorStorage(byteCount: count * elementType.byteCount) {
      (bytes: UnsafeMutableRawBufferPointer) throws(PI0Error) in
      try initialize(bytes.bindMemory(to: Element.self))
    }
    try self.init(
      shape: shape, elementType: elementType, device: device, storage: storage, byteOffset: 0)
  }

  /// The elements' bytes.
  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(
      rebasing: storage.bytes[byteOffset..<byteOffset + count * elementType.byteCount])
  }
}

extension Tensor: CustomStringConvertible {
  /// Type and shape, for example `float32[2, 3]`.
  public var description: String { "\(elementType)\(shape)" }
}
