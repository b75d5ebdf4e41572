import CMicroKernels

extension CPUBackend {
  func softmax(
    _ x: Tensor, axis: Int, mask: Tensor?, type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard axis == x.rank - 1, mask == nil else {
      return try reference.softmax(x, axis: axis, mask: mask, type: type)
    }
    return try mapRows(x, type: type) { [instructions] x, out, rows in
      mk_softmax_rows(instructions, x, rows.count, rows.width, out)
    }
  }

  func layerNorm(
    _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (weight, bias) = (try weight.floats(), try bias.floats())
    return try mapRows(x, type: type) { [instructions] x, out, rows in
      mk_layer_norm_rows(instructions, x, weight, bias, epsilon, rows.count, rows.width, out)
    }
  }

  func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    let weight = try weight.floats()
    return try mapRows(x, type: type) { [instructions] x, out, rows in
      mk_rms_norm_rows(instructions, x, weight, nil, epsilon, rows.count, rows.width, out)
    }
  }

  func adaptiveRMSNorm(
    _ x: Tensor, modulation: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    let isShared = modulation.shape[0] == 1
    let modulation = try modulation.floats()
    return try mapRows(x, type: type, blockRows: x.shape[1]) { [instructions] x, out, rows in
      modulation.withUnsafeBufferPointer { modulation in
        guard let start = modulation.baseAddress else { return }
        let scale = start + (isShared ? 0 : rows.block * 3 * rows.width)
        mk_rms_norm_rows(
          instructions, x, scale, scale + rows.width, epsilon, rows.count, rows.width, out)
      }
    }
  }

  func rotate(_ x: Tensor, cosine: Tensor, sine: Tensor) throws(PI0Error) -> Tensor {
    let (heads, half) = (x.shape[1], x.shape[3] / 2)
    let (cosine, sine) = (try cosine.floats(), try sine.floats())
    let tableRows = x.shape[2]
    return try mapRows(x, type: x.elementType, blockRows: tableRows) {
      [instructions] x, out, rows in
      cosine.withUnsafeBufferPointer { cosine in
        sine.withUnsafeBufferPointer { sine in
          guard let c = cosine.baseAddress, let s = sine.baseAddress else { return }
          let first = (rows.block / heads * tableRows + rows.first) * half
          mk_rotate_rows(instructions, x, c + first, s + first, rows.count, rows.width, out)
        }
      }
    }
  }

  /// Rows of `width` elements that one call of a kernel takes.
  struct Rows {
    /// The block of rows that they belong to.
    let block: Int
    /// The first of them in the block.
    let first: Int
    let count: Int
    let width: Int
  }

  /// Calls `body` for all rows along the last axis, some at a time, with the first elements of
  /// these rows and of the result's. They never reach from one block into the next.
  private func mapRows(
    _ x: Tensor, type: ElementType, blockRows: Int? = nil,
    _ body: (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Rows) -> Void
  ) throws(PI0Error) -> Tensor {
    let width = x.shape[x.rank - 1]
    let count = x.count
    return try compute(x.shape, type, like: x) { (out) throws(PI0Error) in
      guard count > 0 else { return }
      let blockRows = blockRows ?? count / width
      let most = max(1, Self.elementsPerChunk / width)
      let chunksPerBlock = (blockRows + most - 1) / most
      let chunks = count / (width * blockRows) * chunksPerBlock
      try withFloats(x) { (x) in
        forEachChunk(chunks, elements: count) { chunk in
          let first = chunk % chunksPerBlock * most
          let rows = Rows(
            block: chunk / chunksPerBlock, first: first, count: min(most, blockRows - first),
            width: width)
          let start = (rows.block * blockRows + first) * width
          body(x + start, out + start, rows)
        }
      }
    }
  }
}
