import CMicroKernels

extension CPUBackend {
  func add(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error) -> Tensor {
    guard type.isFloat else { return try reference.add(a, b, shape: shape, type: type) }
    return try combine(a, b, shape, type, mk_add)
  }

  func multiply(
    _ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard type.isFloat else { return try reference.multiply(a, b, shape: shape, type: type) }
    return try combine(a, b, shape, type, mk_multiply)
  }

  func activate(_ x: Tensor, _ activation: Activation) throws(PI0Error) -> Tensor {
    let count = x.count
    return try compute(x.shape, x.elementType, like: x) { [instructions] (out) throws(PI0Error) in
      try withFloats(x) { (x) in
        forEachPart(of: count) { part in
          mk_activate(
            instructions, x + part.lowerBound, activation.kernel, part.count,
            out + part.lowerBound)
        }
      }
    }
  }

  func sinesAndCosines(
    factor: Double, frequencies: [Double], into out: UnsafeMutableBufferPointer<Float>
  ) {
    let largest = abs(factor) * (frequencies.lazy.map(abs).max() ?? 0)
    guard largest < MK_LARGEST_ANGLE, let start = out.baseAddress else {
      return reference.sinesAndCosines(factor: factor, frequencies: frequencies, into: out)
    }
    mk_sines_cosines(
      instructions, factor, frequencies, frequencies.count, start, start + frequencies.count)
  }

  private typealias Kernel = (
    mk_instructions, UnsafePointer<Float>?, Int, UnsafePointer<Float>?, Int, Int,
    UnsafeMutablePointer<Float>?
  ) -> Void

  /// Both operands broadcast to `shape`, in lines along which each moves on or stands still.
  private func combine(
    _ a: Tensor, _ b: Tensor, _ shape: [Int], _ type: ElementType, _ kernel: Kernel
  ) throws(PI0Error) -> Tensor {
    let (a, b) = (try a.converted(to: .float32), try b.converted(to: .float32))
    let axes = MergedAxes(
      shape, Shape.broadcastStrides(a.shape, to: shape),
      Shape.broadcastStrides(b.shape, to: shape))
    let (aStep, bStep, line) = (axes.aStrides.last ?? 0, axes.bStrides.last ?? 0, axes.line)
    let count = Shape.elementCount(shape) ?? 0
    return try compute(shape, type, like: a) { [instructions] (out) throws(PI0Error) in
      guard count > 0 else { return }
      try withFloats(a) { (a) throws(PI0Error) in
        try withFloats(b) { (b) in
          if axes.shape.count == 1 {
            forEachPart(of: count) { part in
              let first = part.lowerBound
              kernel(
                instructions, a + first * aStep, aStep, b + first * bStep, bStep, part.count,
                out + first)
            }
            return
          }
          let outer = Array(axes.shape.dropLast())
          let starts = zip(
            StridedIndices(outer, strides: Array(axes.aStrides.dropLast())),
            StridedIndices(outer, strides: Array(axes.bStrides.dropLast())))
          for (index, (aStart, bStart)) in starts.enumerated() {
            kernel(
              instructions, a + aStart, aStep, b + bStart, bStep, line, out + index * line)
          }
        }
      }
    }
  }

  /// Calls `body` for parts of `0..<count`, on several threads where there are enough elements.
  private func forEachPart(of count: Int, _ body: (Range<Int>) -> Void) {
    let size = Self.elementsPerChunk
    forEachChunk((count + size - 1) / size, elements: count) { chunk in
      body(chunk * size..<min((chunk + 1) * size, count))
    }
  }
}

/// A broadcast shape with neighbouring axes merged where both operands run through them in one go.
private struct MergedAxes {
  private(set) var shape: [Int] = []
  private(set) var aStrides: [Int] = []
  private(set) var bStrides: [Int] = []

  /// The length of the last axis.
  var line: Int { shape.last ?? 1 }

  init(_ shape: [Int], _ aStrides: [Int], _ bStrides: [Int]) {
    for axis in shape.indices where shape[axis] != 1 {
      let size = shape[axis]
      if let last = self.shape.indices.last, self.aStrides[last] == aStrides[axis] * size,
        self.bStrides[last] == bStrides[axis] * size
      {
        self.shape[last] *= size
        self.aStrides[last] = aStrides[axis]
        self.bStrides[last] = bStrides[axis]
      } else {
        self.shape.append(size)
        self.aStrides.append(aStrides[axis])
        self.bStrides.append(bStrides[axis])
      }
    }
    if self.shape.isEmpty {
      (self.shape, self.aStrides, self.bStrides) = ([1], [0], [0])
    }
  }
}
