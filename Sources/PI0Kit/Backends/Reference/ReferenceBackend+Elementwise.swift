import Glibc

extension ReferenceBackend {
  func add(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error) -> Tensor {
    try combine(a, b, shape, type, float: +, integer: &+, bool: { $0 || $1 })
  }

  func multiply(
    _ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    try combine(a, b, shape, type, float: *, integer: &*, bool: { $0 && $1 })
  }

  func activate(_ x: Tensor, _ activation: Activation) throws(PI0Error) -> Tensor {
    try compute(x.shape, x.elementType, like: x) { (out) throws(PI0Error) in
      try x.withFloats { (x) in
        for i in 0..<x.count { out[i] = activation(x[i]) }
      }
    }
  }

  /// `out[i] = operation(a[i], b[i])`, both operands broadcast to `shape`.
  private func combine(
    _ a: Tensor, _ b: Tensor, _ shape: [Int], _ type: ElementType,
    float: (Float, Float) -> Float, integer: (Int32, Int32) -> Int32, bool: (Bool, Bool) -> Bool
  ) throws(PI0Error) -> Tensor {
    let indices = zip(
      StridedIndices(a.shape, to: shape), StridedIndices(b.shape, to: shape))
    switch type {
    case .float32, .bfloat16, .float16:
      return try compute(shape, type, like: a) { (out) in
        let (x, y) = (a.numbers(), b.numbers())
        for (i, (ia, ib)) in indices.enumerated() { out[i] = float(x[ia], y[ib]) }
      }
    case .int32:
      let (x, y) = (try a.integers(), try b.integers())
      return try Tensor(shape: shape, elementType: type, device: a.device) {
        (out: UnsafeMutableBufferPointer<Int32>) in
        for (i, (ia, ib)) in indices.enumerated() { out[i] = integer(x[ia], y[ib]) }
      }
    case .uint8:
      throw .operation(
        "arithmetic", reason: "bytes are moved alone: convert them first",
        operands: ["a: \(a)", "b: \(b)"])
    case .bool:
      let (x, y) = (try a.bools(), try b.bools())
      return try Tensor(shape: shape, elementType: type, device: a.device) {
        (out: UnsafeMutableBufferPointer<Bool>) in
        for (i, (ia, ib)) in indices.enumerated() { out[i] = bool(x[ia], y[ib]) }
      }
    }
  }
}

extension Activation {
  /// The function at one point.
  func callAsFunction(_ x: Float) -> Float {
    switch self {
    case .none: x
    case .silu: x / (1 + expf(-x))
    case .geluTanh:
      0.5 * x * (1 + tanhf(0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x)))
    }
  }
}

extension Tensor {
  /// The elements of an int32 or bool tensor as int32.
  fileprivate func integers() throws(PI0Error) -> [Int32] {
    elementType == .bool ? try bools().map { $0 ? 1 : 0 } : try int32s()
  }
}

/// For each position of a shape, in row-major order, its product with strides.
struct StridedIndices: Sequence, IteratorProtocol {
  private let shape: [Int]
  private let strides: [Int]
  private var position: [Int]
  private var index = 0
  private var remaining: Int

  init(_ shape: [Int], strides: [Int]) {
    self.shape = shape
    self.strides = strides
    position = [Int](repeating: 0, count: shape.count)
    remaining = Shape.elementCount(shape) ?? 0
  }

  /// The element of a tensor of `shape` that stands at each position of a broadcast shape.
  init(_ shape: [Int], to target: [Int]) {
    self.init(target, strides: Shape.broadcastStrides(shape, to: target))
  }

  mutating func next() -> Int? {
    guard remaining > 0 else { return nil }
    remaining -= 1
    let current = index
    for axis in shape.indices.reversed() {
      position[axis] += 1
      index += strides[axis]
      if position[axis] < shape[axis] { break }
      index -= strides[axis] * position[axis]
      position[axis] = 0
    }
    return current
  }
}
