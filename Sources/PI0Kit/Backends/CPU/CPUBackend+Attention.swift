import CMicroKernels

extension CPUBackend {
  func attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor?, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard query.count > 0, key.shape[2] > 0 else {
      return try reference.attention(
        query: query, key: key, value: value, mask: mask, scale: scale, shape: shape, type: type)
    }
    let operands = Operands(query: query, key: key, value: value, scale: scale)
    return try compute(shape, type, like: query) { (out) throws(PI0Error) in
      guard let mask = try mask?.converted(to: .float32) else {
        return try attend(operands, mask: nil, out: out)
      }
      let (heads, rows) = (shape[1], shape[2])
      let strides = Shape.broadcastStrides(mask.shape, to: [shape[0], heads, rows, key.shape[2]])
      try withFloats(mask) { (mask) throws(PI0Error) in
        let rowOfMask = { (row: Int) in
          let (head, position) = (row / rows, row % rows)
          return mask + head / heads * strides[0] + head % heads * strides[1]
            + position * strides[2]
        }
        try attend(operands, mask: rowOfMask, isConstant: strides[3] == 0, out: out)
      }
    }
  }

  func attention(
    query: Tensor, key: Tensor, value: Tensor, bias: AttentionBias, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard query.count > 0, key.shape[2] > 0 else {
      return try reference.attention(
        query: query, key: key, value: value, bias: bias, scale: scale, shape: shape, type: type)
    }
    let operands = Operands(query: query, key: key, value: value, scale: scale)
    let (heads, rows, keys) = (shape[1], shape[2], key.shape[2])
    let indices = bias.indices.bytes
    return try compute(shape, type, like: query) { (out) throws(PI0Error) in
      try withFloats(bias.rows) { (table) throws(PI0Error) in
        let rowOfMask = { (row: Int) in
          let query = row / (heads * rows) * rows + row % rows
          return table + Int(indices.load(fromByteOffset: 4 * query, as: Int32.self)) * keys
        }
        try attend(operands, mask: rowOfMask, out: out)
      }
    }
  }

  private struct Operands {
    let query: Tensor
    let key: Tensor
    let value: Tensor
    let scale: Float
  }

  /// Query heads that share keys follow each other, and so do their rows: to the kernel they are
  /// one matrix of rows, cut in panels. `mask` gives the mask of a row of this matrix.
  private func attend(
    _ operands: Operands, mask: ((_ row: Int) -> UnsafePointer<Float>)?, isConstant: Bool = false,
    out: UnsafeMutablePointer<Float>
  ) throws(PI0Error) {
    let (query, key) = (operands.query, operands.key)
    let (rows, width) = (query.shape[2], query.shape[3])
    let (kvHeads, keys) = (key.shape[1], key.shape[2])
    let groups = query.shape[0] * kvHeads
    let groupRows = query.shape[1] / kvHeads * rows
    let panel = mk_tile_size(instructions).columns
    let panels = (groupRows + panel - 1) / panel
    let scratchSize = mk_attention_scratch(instructions, width)
    let scratch = try memory.floats(pool.count * scratchSize)
    let packed = try packKeysAndValues(
      key, operands.value, groups: groups, keys: keys, width: width)
    let instructions = instructions
    try withFloats(query) { (query) in
      pool.parallel(groups * panels) { chunk, thread in
        let group = chunk / panels
        let first = chunk % panels * panel
        let count = min(panel, groupRows - first)
        let row = group * groupRows + first
        var attention = mk_attention()
        attention.query = query + row * width
        attention.rows = count
        attention.width = width
        attention.keys = UnsafePointer(packed.keys.floats) + group * keys * width
        attention.values = UnsafePointer(packed.values.floats) + group * keys * width
        attention.key_count = keys
        attention.scale = operands.scale
        attention.out = out + row * width
        attention.scratch = scratch.floats + thread * scratchSize
        guard let mask else { return mk_attend(instructions, &attention) }
        attention.mask_is_constant = isConstant
        withUnsafeTemporaryAllocation(of: UnsafePointer<Float>?.self, capacity: count) {
          maskRows in
          for i in 0..<count { maskRows[i] = mask(row + i) }
          attention.mask = UnsafePointer(maskRows.baseAddress)
          mk_attend(instructions, &attention)
        }
      }
    }
  }

  private func packKeysAndValues(
    _ key: Tensor, _ value: Tensor, groups: Int, keys: Int, width: Int
  ) throws(PI0Error) -> (keys: MemoryPool.Block, values: MemoryPool.Block) {
    let packedKeys = try memory.floats(key.count)
    let packedValues = try memory.floats(value.count)
    let tileRows = mk_tile_size(instructions).rows
    let instructions = instructions
    try withFloats(key) { (key) throws(PI0Error) in
      try withFloats(value) { (value) in
        forEachChunk(2 * groups, elements: 2 * groups * keys * width) { chunk in
          let start = chunk / 2 * keys * width
          if chunk % 2 == 1 {
            mk_pack_values(
              instructions, value + start, keys, width, packedValues.floats + start)
            return
          }
          for first in stride(from: 0, to: keys, by: tileRows) {
            let offset = start + first * width
            mk_pack_left(
              instructions, key + offset, width, min(tileRows, keys - first), width,
              packedKeys.floats + offset)
          }
        }
      }
    }
    return (packedKeys, packedValues)
  }
}
