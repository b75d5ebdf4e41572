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
  /// The number of elements.
  public let count: Int
  let elements: Elements
  /// What reports call the tensor: a weight's key in its checkpoint.
  private(set) var name: String?

  /// Where the elements are. Floats, and the int32 inputs of a trace, may be on a device.
  enum Elements: Sendable {
    case host(TensorStorage, byteOffset: Int)
    case device(any DeviceStorage)
  }

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
    elements = .host(storage, byteOffset: byteOffset)
    self.count = count
  }

  /// A tensor of floats in the memory of `device`. Its backend answers for the shape.
  init(
    shape: [Int], elementType: ElementType, device: Device, storage: any DeviceStorage
  ) throws(PI0Error) {
    guard let count = Shape.elementCount(shape) else {
      throw .operation(
        "tensor", reason: "no tensor can have this shape", operands: ["shape: \(shape)"])
    }
    self.shape = shape
    self.elementType = elementType
    self.device = device
    self.count = count
    elements = .device(storage)
  }

  /// A tensor whose elements `initialize` writes, all of them, in row-major order. It is not called
  /// where there are none: the other dimensions of such a shape may be too large to count to.
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
      if count > 0 { try initialize(bytes.bindMemory(to: Element.self)) }
    }
    try self.init(
      shape: shape, elementType: elementType, device: device, storage: storage, byteOffset: 0)
  }

  /// The elements' bytes; none where the elements are on a device.
  var bytes: UnsafeRawBufferPointer {
    guard case .host(let storage, let byteOffset) = elements else {
      return UnsafeRawBufferPointer(start: nil, count: 0)
    }
    return UnsafeRawBufferPointer(
      rebasing: storage.bytes[byteOffset..<byteOffset + count * elementType.byteCount])
  }

  /// The same tensor with its elements in host memory.
  func onHost() throws(PI0Error) -> Tensor {
    guard case .device(let storage) = elements else { return self }
    return try storage.download(shape: shape, elementType: elementType, device: device)
  }

  /// The same elements for operations on another device, which fetches them when it needs them.
  ///
  /// - Throws: ``PI0Error/device(_:)`` where they cannot be read from the device they are on.
  public func moved(to device: Device) throws(PI0Error) -> Tensor {
    if device == self.device { return self }
    return Tensor(try onHost(), device: device)
  }

  /// The same tensor, called so in reports.
  func named(_ name: String) -> Tensor {
    var tensor = self
    tensor.name = name
    return tensor
  }

  private init(_ tensor: Tensor, device: Device) {
    name = tensor.name
    shape = tensor.shape
    elementType = tensor.elementType
    count = tensor.count
    elements = tensor.elements
    self.device = device
  }

  /// The same elements, or from the given byte on, under another shape.
  func viewed(shape: [Int], fromByte offset: Int = 0) throws(PI0Error) -> Tensor {
    var tensor =
      switch elements {
      case .host(let storage, let byteOffset):
        try Tensor(
          shape: shape, elementType: elementType, device: device, storage: storage,
          byteOffset: byteOffset + offset)
      case .device(let storage):
        try Tensor(shape: shape, elementType: elementType, device: device, storage: storage)
      }
    tensor.name = name
    return tensor
  }
}

extension Tensor: CustomStringConvertible {
  /// Type and shape, for example `float32[2, 3]`.
  public var description: String { "\(elementType)\(shape)" }
}
