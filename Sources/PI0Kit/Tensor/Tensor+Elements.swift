extension Tensor {
  /// A float32 tensor of the given elements in row-major order.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the count does not fit the shape.
  public init(_ elements: [Float], shape: [Int], device: Device = .reference) throws(PI0Error) {
    try self.init(elements, shape: shape, type: .float32, device: device)
  }

  /// An int32 tensor of the given elements in row-major order.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the count does not fit the shape.
  public init(_ elements: [Int32], shape: [Int], device: Device = .reference) throws(PI0Error) {
    try self.init(elements, shape: shape, type: .int32, device: device)
  }

  /// A uint8 tensor of the given elements in row-major order.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the count does not fit the shape.
  public init(bytes elements: [UInt8], shape: [Int], device: Device = .reference) throws(PI0Error) {
    try self.init(elements, shape: shape, type: .uint8, device: device)
  }

  /// A bool tensor of the given elements in row-major order.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the count does not fit the shape.
  public init(_ elements: [Bool], shape: [Int], device: Device = .reference) throws(PI0Error) {
    try self.init(elements, shape: shape, type: .bool, device: device)
  }

  private init<Element: BitwiseCopyable>(
    _ elements: [Element], shape: [Int], type: ElementType, device: Device
  ) throws(PI0Error) {
    guard Shape.elementCount(shape) == elements.count else {
      throw .operation(
        "tensor", reason: "\(elements.count) elements do not fill the shape",
        operands: ["shape: \(shape)"])
    }
    try self.init(shape: shape, elementType: type, device: device) {
      (target: UnsafeMutableBufferPointer<Element>) in
      _ = target.initialize(from: elements)
    }
  }

  /// A float32 tensor in which every element is `value`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for an impossible shape.
  public static func full(
    _ shape: [Int], _ value: Float, device: Device = .reference
  ) throws(PI0Error) -> Tensor {
    try Tensor(shape: shape, elementType: .float32, device: device) {
      (target: UnsafeMutableBufferPointer<Float>) in
      target.initialize(repeating: value)
    }
  }

  /// The elements of a floating-point tensor as float32, in row-major order.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for int32, uint8 and bool.
  public func floats() throws(PI0Error) -> [Float] {
    try Memory.require(count, of: 4)
    return try withFloats { (source) throws(PI0Error) in Array(source) }
  }

  /// The elements of an int32 tensor in row-major order.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for every other type.
  public func int32s() throws(PI0Error) -> [Int32] {
    try expect([.int32], in: "int32s")
    try Memory.require(count, of: 4)
    return (0..<count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) }
  }

  /// The elements of a bool tensor in row-major order. Any byte but 0 is true.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for every other type.
  public func bools() throws(PI0Error) -> [Bool] {
    try expect([.bool], in: "bools")
    try Memory.require(count)
    return bytes.map { $0 != 0 }
  }

  /// The same values in another type: floats are rounded to nearest, ties to even; bool becomes
  /// 0 and 1; int32 and uint8 become the nearest float.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for conversions to int32, uint8 and
  ///   bool, which the policy has no use for.
  public func converted(to type: ElementType) throws(PI0Error) -> Tensor {
    if type == elementType { return self }
    guard type.isFloat else {
      throw .operation("converted", reason: "cannot convert to \(type)", operands: ["x: \(self)"])
    }
    // A device keeps its own precision whatever the type is called.
    if case .device(let storage) = elements {
      return try Tensor(shape: shape, elementType: type, device: device, storage: storage)
    }
    return try .fromFloats(shape: shape, type: type, device: device) { (target) throws(PI0Error) in
      copyNumbers(to: target)
    }
  }
}

// MARK: - Element access for backends

extension Tensor {
  /// Gives the elements of a floating-point tensor as float32: in place where they are that
  /// already, else as a copy.
  func withFloats<Result>(
    _ body: (UnsafeBufferPointer<Float>) throws(PI0Error) -> Result
  ) throws(PI0Error) -> Result {
    guard elementType.isFloat else {
      throw .operation("floats", reason: "the elements are no floats", operands: ["x: \(self)"])
    }
    if case .device = elements { return try onHost().withFloats(body) }
    let source = bytes
    let misaligned = UInt(bitPattern: source.baseAddress) % 4 != 0
    if elementType == .float32 && !misaligned {
      return try body(source.assumingMemoryBound(to: Float.self))
    }
    let memory = try Memory.allocate(byteCount: 4 * count)
    defer { Memory.free(UnsafeRawBufferPointer(memory)) }
    let copy = UnsafeMutableBufferPointer(
      rebasing: memory.bindMemory(to: Float.self)[..<count])
    copyNumbers(to: copy)
    return try body(UnsafeBufferPointer(copy))
  }

  /// The elements, which are in host memory, as float32, whatever their type.
  func numbers() -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { target, initialized in
      copyNumbers(to: UnsafeMutableBufferPointer(rebasing: target[..<count]))
      initialized = count
    }
  }

  /// Writes all elements, which are in host memory, whatever their type, as float32.
  func copyNumbers(to target: UnsafeMutableBufferPointer<Float>) {
    copyNumbers(0..<count, to: target)
  }

  /// Writes a range of the elements, whatever their type, as float32. The range lies within
  /// `0..<count`; `target` has room for it.
  func copyNumbers(_ range: Range<Int>, to target: UnsafeMutableBufferPointer<Float>) {
    let size = elementType.byteCount
    let source = UnsafeRawBufferPointer(
      rebasing: bytes[range.lowerBound * size..<range.upperBound * size])
    switch elementType {
    case .float32:
      UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
    case .bfloat16:
      for i in 0..<range.count {
        target[i] = BFloat16.float(source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
      }
    case .float16:
      for i in 0..<range.count {
        target[i] = Half.float(source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
      }
    case .int32:
      for i in 0..<range.count {
        target[i] = Float(source.loadUnaligned(fromByteOffset: 4 * i, as: Int32.self))
      }
    case .uint8:
      for i in 0..<range.count { target[i] = Float(source[i]) }
    case .bool:
      for i in 0..<range.count { target[i] = source[i] == 0 ? 0 : 1 }
    }
  }

  /// A floating-point tensor of type `type` from float32 values that `compute` writes; each is
  /// rounded once.
  static func fromFloats(
    shape: [Int], type: ElementType, device: Device,
    compute: (UnsafeMutableBufferPointer<Float>) throws(PI0Error) -> Void
  ) throws(PI0Error) -> Tensor {
    let exact = try Tensor(shape: shape, elementType: .float32, device: device, initialize: compute)
    if type == .float32 { return exact }
    let convert = type == .bfloat16 ? BFloat16.bits : Half.bits
    return try Tensor(shape: shape, elementType: type, device: device) {
      (target: UnsafeMutableBufferPointer<UInt16>) throws(PI0Error) in
      try exact.withFloats { (source) in
        for i in 0..<source.count { target[i] = convert(source[i]) }
      }
    }
  }

  /// Throws where the element type is none of `types`.
  func expect(_ types: [ElementType], in operation: String) throws(PI0Error) {
    guard types.contains(elementType) else {
      let names = types.map(\.rawValue).joined(separator: " or ")
      throw .operation(operation, reason: "elements must be \(names)", operands: ["x: \(self)"])
    }
  }
}
