extension ReferenceBackend {
  func concat(_ tensors: [Tensor], axis: Int, shape: [Int]) throws(PI0Error) -> Tensor {
    try move(like: tensors[0], shape: shape) { out in
      let outer = Shape.elementCount(Array(shape[..<axis])) ?? 0
      var next = 0
      for o in 0..<outer {
        for tensor in tensors where tensor.count > 0 {
          let part = tensor.bytes.count / outer
          out.copy(tensor.bytes, from: o * part, count: part, to: next)
          next += part
        }
      }
    }
  }

  func slice(
    _ x: Tensor, axis: Int, range: Range<Int>, shape: [Int]
  ) throws(PI0Error) -> Tensor {
    let outer = Shape.elementCount(Array(shape[..<axis])) ?? 0
    let inner = Shape.elementCount(Array(shape[(axis + 1)...])) ?? 0
    let size = inner * x.elementType.byteCount
    let first = range.lowerBound * size
    if outer == 1 {  // contiguous: a view
      return try x.viewed(shape: shape, fromByte: first)
    }
    return try move(like: x, shape: shape) { out in
      let part = range.count * size
      for o in 0..<outer {
        out.copy(x.bytes, from: o * x.shape[axis] * size + first, count: part, to: o * part)
      }
    }
  }

  func reshape(_ x: Tensor, shape: [Int]) throws(PI0Error) -> Tensor {
    try x.viewed(shape: shape)
  }

  func permute(_ x: Tensor, order: [Int], shape: [Int]) throws(PI0Error) -> Tensor {
    let strides = Shape.strides(x.shape)
    return try gather(x, shape: shape, strides: order.map { strides[$0] })
  }

  func repeat_(_ x: Tensor, counts: [Int], shape: [Int]) throws(PI0Error) -> Tensor {
    // Each axis of n elements repeated c times is an axis of c, that stands still, over one of n.
    var (split, strides): ([Int], [Int]) = ([], [])
    for (axis, stride) in Shape.strides(x.shape).enumerated() {
      split += [counts[axis], x.shape[axis]]
      strides += [0, stride]
    }
    return try gather(x, shape: split, strides: strides).reshaped(shape)
  }

  func lookUp(_ tokens: Tensor, in table: Tensor, shape: [Int]) throws(PI0Error) -> Tensor {
    let tokens = try tokens.int32s()
    let size = table.shape[1] * table.elementType.byteCount
    return try move(like: table, shape: shape) { out in
      for (i, token) in tokens.enumerated() {
        out.copy(table.bytes, from: Int(token) * size, count: size, to: i * size)
      }
    }
  }

  /// Copies `x[position · strides]` for each position of `shape`.
  private func gather(_ x: Tensor, shape: [Int], strides: [Int]) throws(PI0Error) -> Tensor {
    let size = x.elementType.byteCount
    let inner = shape.last ?? 1
    let step = strides.last ?? 1
    return try move(like: x, shape: shape) { out in
      let lines = StridedIndices(shape.dropLast(), strides: strides.dropLast())
      for (line, source) in lines.enumerated() {
        let first = line * inner * size
        if step == 1 {
          out.copy(x.bytes, from: source * size, count: inner * size, to: first)
        } else {
          for i in 0..<inner {
            out.copy(
              x.bytes, from: (source + i * step) * size, count: size, to: first + i * size)
          }
        }
      }
    }
  }

  /// A tensor of x's type whose bytes `body` copies.
  private func move(
    like x: Tensor, shape: [Int], _ body: (UnsafeMutableRawBufferPointer) -> Void
  ) throws(PI0Error) -> Tensor {
    try Tensor(shape: shape, elementType: x.elementType, device: x.device) {
      (out: UnsafeMutableBufferPointer<UInt8>) in
      body(UnsafeMutableRawBufferPointer(out))
    }
  }
}

extension UnsafeMutableRawBufferPointer {
  /// Copies `count` bytes at offset `from` of `source` to offset `to`.
  @inline(__always)
  func copy(_ source: UnsafeRawBufferPointer, from: Int, count: Int, to: Int) {
    UnsafeMutableRawBufferPointer(rebasing: self[to..<to + count])
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[from..<from + count]))
  }
}
