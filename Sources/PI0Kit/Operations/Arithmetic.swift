extension Tensor {
  /// `a + b`, broadcast as in PyTorch; the result has the promoted type, and bool + bool is "or".
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the shapes do not broadcast.
  public static func + (a: Tensor, b: Tensor) throws(PI0Error) -> Tensor {
    let (check, shape) = try broadcasting("add", a, b)
    return try check.backend.add(a, b, shape: shape, type: check.promotedType)
  }

  /// `a * b`, broadcast as in PyTorch; the result has the promoted type, and bool * bool is "and".
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the shapes do not broadcast.
  public static func * (a: Tensor, b: Tensor) throws(PI0Error) -> Tensor {
    let (check, shape) = try broadcasting("multiply", a, b)
    return try check.backend.multiply(a, b, shape: shape, type: check.promotedType)
  }

  /// `x + scalar` for each element. A floating-point tensor keeps its type, to which the scalar is
  /// rounded first, as PyTorch does; others give float32.
  ///
  /// - Throws: what the device throws.
  public static func + (x: Tensor, scalar: Float) throws(PI0Error) -> Tensor {
    let type = x.scalarResultType
    let scalar = try Tensor([scalar], shape: [], device: x.device).converted(to: type)
    return try x.device.backend.add(x, scalar, shape: x.shape, type: type)
  }

  /// `x * scalar` for each element. A floating-point tensor keeps its type; others give float32.
  ///
  /// - Throws: what the device throws.
  public static func * (x: Tensor, scalar: Float) throws(PI0Error) -> Tensor {
    try x.device.backend.multiply(
      x, Tensor([scalar], shape: [], device: x.device), shape: x.shape, type: x.scalarResultType)
  }

  /// `x + scalar` for each element. A tensor keeps its type; bool gives int32. Integers wrap.
  ///
  /// - Throws: what the device throws.
  public static func + (x: Tensor, scalar: Int) throws(PI0Error) -> Tensor {
    if x.elementType.isFloat { return try x + Float(scalar) }
    let scalar = try Tensor([Int32(truncatingIfNeeded: scalar)], shape: [], device: x.device)
    return try x.device.backend.add(x, scalar, shape: x.shape, type: .int32)
  }

  /// `x * scalar` for each element. A tensor keeps its type; bool gives int32. Integers wrap.
  ///
  /// - Throws: what the device throws.
  public static func * (x: Tensor, scalar: Int) throws(PI0Error) -> Tensor {
    if x.elementType.isFloat { return try x * Float(scalar) }
    let scalar = try Tensor([Int32(truncatingIfNeeded: scalar)], shape: [], device: x.device)
    return try x.device.backend.multiply(x, scalar, shape: x.shape, type: .int32)
  }

  private var scalarResultType: ElementType { elementType.isFloat ? elementType : .float32 }

  private static func broadcasting(
    _ name: String, _ a: Tensor, _ b: Tensor
  ) throws(PI0Error) -> (OperandCheck, [Int]) {
    let check = try OperandCheck(name, [("a", a), ("b", b)])
    guard let shape = Shape.broadcast(a.shape, b.shape) else {
      throw check.error("the shapes do not broadcast")
    }
    return (check, shape)
  }
}
