/// Arithmetic on shapes. A shape is the list of a tensor's dimensions, outermost first.
enum Shape {
  /// The number of elements, or nil where a dimension is negative or the product overflows.
  static func elementCount(_ shape: [Int]) -> Int? {
    var count = 1
    var largest = 1  // the product without zeros: strides must not overflow either
    for dimension in shape {
      guard dimension >= 0 else { return nil }
      let (product, overflow) = largest.multipliedReportingOverflow(by: max(dimension, 1))
      guard !overflow, product <= Int.max / 8 else { return nil }
      largest = product
      count *= dimension
    }
    return count
  }

  /// Elements between neighbours along each dimension of a row-major tensor.
  static func strides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for axis in stride(from: shape.count - 2, through: 0, by: -1) {
      strides[axis] = strides[axis + 1] * max(shape[axis + 1], 1)
    }
    return strides
  }

  /// The common shape of two operands by PyTorch's broadcasting rules, or nil.
  static func broadcast(_ a: [Int], _ b: [Int]) -> [Int]? {
    let rank = max(a.count, b.count)
    var result = [Int](repeating: 1, count: rank)
    for axis in 0..<rank {
      let left = dimension(a, axis, of: rank)
      let right = dimension(b, axis, of: rank)
      guard left == right || left == 1 || right == 1 else { return nil }
      result[axis] = left == 1 ? right : left
    }
    return result
  }

  /// Strides that walk a tensor of `shape` as if it had the broadcast shape `target`.
  static func broadcastStrides(_ shape: [Int], to target: [Int]) -> [Int] {
    let own = strides(shape)
    let missing = target.count - shape.count
    return target.indices.map { axis in
      axis < missing || shape[axis - missing] == 1 ? 0 : own[axis - missing]
    }
  }

  private static func dimension(_ shape: [Int], _ axis: Int, of rank: Int) -> Int {
    let missing = rank - shape.count
    return axis < missing ? 1 : shape[axis - missing]
  }
}
