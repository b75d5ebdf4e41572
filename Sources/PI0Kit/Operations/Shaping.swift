extension Tensor {
  /// The tensors one after the other along an axis, as `torch.cat`. All other dimensions and the
  /// element types must be equal.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where they are not, or for no tensors.
  public static func concat(_ tensors: [Tensor], axis: Int) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("concat", tensors.enumerated().map { ("\($0)", $1) })
    guard let first = tensors.first else { throw check.error("there is nothing to concatenate") }
    let axis = try check.axis(axis, rank: first.rank)
    var shape = first.shape
    shape[axis] = 0
    for tensor in tensors {
      try check.require(
        tensor.elementType == first.elementType, "all must have the same element type")
      try check.require(
        tensor.rank == first.rank
          && first.shape.indices.allSatisfy { $0 == axis || tensor.shape[$0] == first.shape[$0] },
        "all dimensions but axis \(axis) must be equal")
      let (sum, overflow) = shape[axis].addingReportingOverflow(tensor.shape[axis])
      try check.require(!overflow, "axis \(axis) would be longer than there can be")
      shape[axis] = sum
    }
    return try check.backend.concat(tensors, axis: axis, shape: shape)
  }

  /// The elements whose index along an axis lies in a range, as `x[..., range, ...]`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the range reaches outside.
  public func sliced(axis: Int, _ range: Range<Int>) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("slice", [("x", self)])
    let axis = try check.axis(axis, rank: rank)
    try check.require(
      range.lowerBound >= 0 && range.upperBound <= shape[axis],
      "\(range) reaches outside axis \(axis)")
    var shape = shape
    shape[axis] = range.count
    return try check.backend.slice(self, axis: axis, range: range, shape: shape)
  }

  /// The same elements in row-major order under another shape, as `torch.reshape`. One dimension
  /// may be -1: it takes what is left.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the counts differ.
  public func reshaped(_ newShape: [Int]) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("reshape", [("x", self)])
    var shape = newShape
    if let open = newShape.firstIndex(of: -1) {
      shape[open] = 1
      let others = Shape.elementCount(shape) ?? 0
      try check.require(
        others > 0 && count % others == 0, "\(newShape) does not hold \(count) elements")
      shape[open] = count / others
    }
    try check.require(
      Shape.elementCount(shape) == count, "\(newShape) does not hold \(count) elements")
    return try check.backend.reshape(self, shape: shape)
  }

  /// The axes in another order, as `torch.permute`: axis i of the result is axis `order[i]` of x.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` unless `order` names every axis once.
  public func permuted(_ order: [Int]) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("permute", [("x", self)])
    try check.require(
      order.sorted() == Array(0..<rank), "\(order) must name each of the \(rank) axes once")
    return try check.backend.permute(self, order: order, shape: order.map { shape[$0] })
  }

  /// Copies side by side along each axis, as `torch.Tensor.repeat`. More counts than axes add
  /// leading axes.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` for too few or negative counts.
  public func repeated(_ counts: [Int]) throws(PI0Error) -> Tensor {
    let check = try OperandCheck("repeat", [("x", self)])
    try check.require(
      counts.count >= rank && counts.allSatisfy { $0 >= 0 },
      "\(counts) must give each axis a count that is not negative")
    let padded = [Int](repeating: 1, count: counts.count - rank) + shape
    var result = padded
    for axis in counts.indices {
      let (dimension, overflow) = padded[axis].multipliedReportingOverflow(by: counts[axis])
      try check.require(!overflow, "\(counts) copies are more than there can be")
      result[axis] = dimension
    }
    try check.require(
      Shape.elementCount(result) != nil, "\(counts) copies are more than there can be")
    return try check.backend.repeat_(try reshaped(padded), counts: counts, shape: result)
  }
}
