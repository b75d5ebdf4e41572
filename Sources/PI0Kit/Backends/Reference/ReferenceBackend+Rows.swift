extension ReferenceBackend {
  func softmax(
    _ x: Tensor, axis: Int, mask: Tensor?, type: ElementType
  ) throws(PI0Error) -> Tensor {
    let length = x.shape[axis]
    let inner = Shape.elementCount(Array(x.shape[(axis + 1)...])) ?? 0
    let outer = Shape.elementCount(Array(x.shape[..<axis])) ?? 0
    let masked = try mask.map { (mask) throws(PI0Error) in try apply(mask, to: x) } ?? x
    return try compute(x.shape, type, like: x) { (out) throws(PI0Error) in
      try masked.withFloats { (values) in
        var row = [Float](repeating: 0, count: length)
        for o in 0..<outer {
          for i in 0..<inner {
            let first = o * length * inner + i
            for t in 0..<length { row[t] = values[first + t * inner] }
            softmaxInPlace(&row)
            for t in 0..<length { out[first + t * inner] = row[t] }
          }
        }
      }
    }
  }

  /// x + mask, or for a bool mask x where true and minus infinity where false.
  private func apply(_ mask: Tensor, to x: Tensor) throws(PI0Error) -> Tensor {
    guard mask.elementType == .bool else { return try x + mask }
    let keep = try mask.bools()
    let values = try x.floats()
    let masked = zip(values, StridedIndices(mask.shape, to: x.shape)).map { value, index in
      keep[index] ? value : -.infinity
    }
    return try Tensor(masked, shape: x.shape, device: x.device)
  }

  func layerNorm(
    _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (weight, bias) = (try weight.floats(), try bias.floats())
    return try mapRows(x, type: type) { row, out in
      // In float64: far from zero, a float32 mean would be off by more than the result's rounding.
      let count = Double(row.count)
      let mean = row.reduce(0) { $0 + Double($1) } / count
      let variance = row.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / count
      let inverse = 1 / (variance + Double(epsilon)).squareRoot()
      for d in 0..<row.count {
        out[d] = Float((Double(row[d]) - mean) * inverse) * weight[d] + bias[d]
      }
    }
  }

  func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    let weight = try weight.floats()
    return try mapRows(x, type: type) { row, out in
      let inverse = inverseRMS(row, epsilon)
      for d in 0..<row.count { out[d] = row[d] * inverse * (1 + weight[d]) }
    }
  }

  func adaptiveRMSNorm(
    _ x: Tensor, modulation: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (rows, width) = (x.shape[1], x.shape[2])
    let modulation = try modulation.floats()
    let perBatch = modulation.count == 3 * width ? 0 : 3 * width
    var index = 0
    return try mapRows(x, type: type) { row, out in
      let scale = index / rows * perBatch
      let shift = scale + width
      let inverse = inverseRMS(row, epsilon)
      for d in 0..<width {
        out[d] = row[d] * inverse * (1 + modulation[scale + d]) + modulation[shift + d]
      }
      index += 1
    }
  }

  func rotate(_ x: Tensor, cosine: Tensor, sine: Tensor) throws(PI0Error) -> Tensor {
    let (heads, rows, width) = (x.shape[1], x.shape[2], x.shape[3])
    let half = width / 2
    let (cosine, sine) = (try cosine.floats(), try sine.floats())
    var index = 0
    return try mapRows(x, type: x.elementType) { row, out in
      let (b, s) = (index / (heads * rows), index % rows)
      let table = (b * rows + s) * half
      for d in 0..<half {
        let (c, s) = (cosine[table + d], sine[table + d])
        out[d] = row[d] * c - row[half + d] * s
        out[half + d] = row[half + d] * c + row[d] * s
      }
      index += 1
    }
  }

  /// Calls `body` for each row along the last axis, in order, with the row of the result to fill.
  private func mapRows(
    _ x: Tensor, type: ElementType,
    _ body: (UnsafeBufferPointer<Float>, UnsafeMutableBufferPointer<Float>) -> Void
  ) throws(PI0Error) -> Tensor {
    let width = x.shape[x.rank - 1]
    return try compute(x.shape, type, like: x) { (out) throws(PI0Error) in
      try x.withFloats { (x) in
        for i in 0..<(width == 0 ? 0 : x.count / width) {
          body(
            x.row(i, width: width),
            UnsafeMutableBufferPointer(rebasing: out[i * width..<(i + 1) * width]))
        }
      }
    }
  }

  private func inverseRMS(_ row: UnsafeBufferPointer<Float>, _ epsilon: Float) -> Float {
    1 / (dot(row, row) / Float(row.count) + epsilon).squareRoot()
  }
}
