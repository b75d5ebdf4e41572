extension Tensor {
  /// `exp(x - max) / sum(exp(x - max))` along an axis, as `torch.softmax`.
  ///
  /// - Parameters:
  ///   - axis: negative counts from the back.
  ///   - mask: broadcasts to x. A floating-point mask is added to x first; a bool mask keeps x
  ///     where true and puts minus infinity where false. A row of minus infinity alone gives NaN,
  ///     as in PyTorch.
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where shapes or types do not fit.
  public func softmax(axis: Int = -1, mask: Tensor? = nil) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("softmax", [("x", self), ("mask", mask)])
    try check.require(elementType.isFloat, "x must be floating-point")
    let axis = try check.axis(axis, rank: rank)
    var type = elementType
    if let mask {
      try check.require(mask.elementType != .int32, "the mask must be floating-point or bool")
      try check.require(
        Shape.broadcast(shape, mask.shape) == shape, "the mask must broadcast to x")
      type = .promoted(type, mask.elementType)
    }
    return try check.backend.softmax(self, axis: axis, mask: mask, type: type)
  }
}
