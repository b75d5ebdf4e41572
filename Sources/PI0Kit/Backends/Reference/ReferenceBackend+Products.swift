import Glibc

extension ReferenceBackend {
  // out[i, j] = activation(sum over k of x[i, k] * weight[j, k] + bias[j])
  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    let outputs = weight.shape[0]
    let inputs = weight.shape[1]
    let rows = Shape.elementCount(x.shape.dropLast()) ?? 0
    return try compute(shape, type, like: x) { (out) throws(PI0Error) in
      let bias = try bias?.floats() ?? [Float](repeating: 0, count: outputs)
      try x.withFloats { (x) throws(PI0Error) in
        try weight.withFloatRows { (j, weightRow) in
          for i in 0..<rows {
            let xRow = UnsafeBufferPointer(rebasing: x[i * inputs..<(i + 1) * inputs])
            out[i * outputs + j] = activation(dot(xRow, weightRow) + bias[j])
          }
        }
      }
    }
  }

  // out[i, j] = sum over k of a[i, k] * b[k, j], for each matrix of the batch
  func matmul(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error) -> Tensor
  {
    let (m, n, inner) = (shape[shape.count - 2], shape[shape.count - 1], a.shape[a.rank - 1])
    let batch = Array(shape.dropLast(2))
    let aMatrices = StridedIndices(Array(a.shape.dropLast(2)), to: batch)
    let bMatrices = StridedIndices(Array(b.shape.dropLast(2)), to: batch)
    let bTransposed = try b.permuted(Array(0..<b.rank - 2) + [b.rank - 1, b.rank - 2])
    return try compute(shape, type, like: a) { (out) throws(PI0Error) in
      try a.withFloats { (a) throws(PI0Error) in
        try bTransposed.withFloats { (b) in
          for (matrix, (aMatrix, bMatrix)) in zip(aMatrices, bMatrices).enumerated() {
            for i in 0..<m {
              let aRow = a.row(aMatrix * m + i, width: inner)
              for j in 0..<n {
                let bColumn = b.row(bMatrix * n + j, width: inner)
                out[(matrix * m + i) * n + j] = dot(aRow, bColumn)
              }
            }
          }
        }
      }
    }
  }

  // out[i] = sum over t of softmax(query[i] · key[t] * scale + mask[i, t]) * value[t]
  func attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor?, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (batch, heads, rows, width) = (shape[0], shape[1], shape[2], shape[3])
    let (kvHeads, keys) = (key.shape[1], key.shape[2])
    let scoreShape = [batch, heads, rows, keys]
    let mask = try mask.map { (mask) throws(PI0Error) in
      (values: try mask.floats(), strides: Shape.broadcastStrides(mask.shape, to: scoreShape))
    }
    return try compute(shape, type, like: query) { (out) throws(PI0Error) in
      var scores = [Float](repeating: 0, count: keys)
      out.initialize(repeating: 0)
      try query.withFloats { (q) throws(PI0Error) in
        try key.withFloats { (k) throws(PI0Error) in
          try value.withFloats { (v) in
            for b in 0..<batch {
              for h in 0..<heads {
                let kvHead = b * kvHeads + h / (heads / kvHeads)
                for i in 0..<rows {
                  let row = (b * heads + h) * rows + i
                  let qRow = q.row(row, width: width)
                  for t in 0..<keys {
                    scores[t] = dot(qRow, k.row(kvHead * keys + t, width: width)) * scale
                  }
                  if let mask {
                    let s = mask.strides
                    let first = b * s[0] + h * s[1] + i * s[2]
                    for t in 0..<keys { scores[t] += mask.values[first + t * s[3]] }
                  }
                  softmaxInPlace(&scores)
                  for t in 0..<keys {
                    let vRow = v.row(kvHead * keys + t, width: width)
                    for d in 0..<width { out[row * width + d] += scores[t] * vRow[d] }
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  // A linear layer over patches, each patch flattened to [channel, row, column].
  func patchConvolution(
    _ image: Tensor, weight: Tensor, bias: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (batch, channels, width) = (image.shape[0], image.shape[1], image.shape[3])
    let height = image.shape[2]
    let patch = weight.shape[2]
    let (down, across) = (height / patch, width / patch)
    let inputs = channels * patch * patch
    let patches = try compute([batch, down * across, inputs], .float32, like: image) {
      (out) throws(PI0Error) in
      try image.withFloats { (pixels) in
        var next = 0
        for b in 0..<batch {
          for y in 0..<down {
            for x in 0..<across {
              for c in 0..<channels {
                for row in 0..<patch {
                  let line = ((b * channels + c) * height + y * patch + row) * width + x * patch
                  for column in 0..<patch {
                    out[next] = pixels[line + column]
                    next += 1
                  }
                }
              }
            }
          }
        }
      }
    }
    return try linear(
      patches, weight: weight.reshaped([shape[2], inputs]), bias: bias, activation: .none,
      shape: shape, type: type)
  }
}

/// The sum of products, in eight interleaved partial sums: as exact as PyTorch's vectorised sums,
/// and free of the latency of a single one.
func dot(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) -> Float {
  let count = min(a.count, b.count)
  let whole = count & ~7
  var sums = SIMD8<Float>.zero
  var rest: Float = 0
  if whole > 0, let a = UnsafeRawPointer(a.baseAddress), let b = UnsafeRawPointer(b.baseAddress) {
    for offset in stride(from: 0, to: 4 * whole, by: 32) {
      sums +=
        a.loadUnaligned(fromByteOffset: offset, as: SIMD8<Float>.self)
        * b.loadUnaligned(fromByteOffset: offset, as: SIMD8<Float>.self)
    }
  }
  for i in whole..<count { rest += a[i] * b[i] }
  return sums.sum() + rest
}

/// `exp(x - max) / sum`, in place.
func softmaxInPlace(_ x: inout [Float]) {
  var maximum = -Float.infinity
  for value in x { maximum = max(maximum, value) }
  var sum: Float = 0
  for i in x.indices {
    x[i] = expf(x[i] - maximum)
    sum += x[i]
  }
  for i in x.indices { x[i] /= sum }
}

extension UnsafeBufferPointer<Float> {
  /// Row `index` of a matrix whose rows have `width` elements.
  @inline(__always)
  func row(_ index: Int, width: Int) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(rebasing: self[index * width..<(index + 1) * width])
  }
}

extension Tensor {
  /// Gives each row of a matrix as float32, one at a time, so that a 16-bit weight is never
  /// copied as a whole.
  func withFloatRows(
    _ body: (Int, UnsafeBufferPointer<Float>) -> Void
  ) throws(PI0Error) {
    let width = shape[1]
    let row = UnsafeMutableBufferPointer<Float>.allocate(capacity: width)
    defer { row.deallocate() }
    for j in 0..<shape[0] {
      copyNumbers(j * width..<(j + 1) * width, to: row)
      body(j, UnsafeBufferPointer(row))
    }
  }
}
