import CMicroKernels

extension CPUBackend {
  /// Query heads that share keys follow each other, and so do their rows: to the kernel they are
  /// one matrix of rows, cut in panels.
  func attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor?, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (heads, rows, width) = (shape[1], shape[2], shape[3])
    let (kvHeads, keys) = (key.shape[1], key.shape[2])
    guard query.count > 0, keys > 0 else {
      return try reference.attention(
        query: query, key: key, value: value, mask: mask, scale: scale, shape: shape, type: type)
    }
    let groups = shape[0] * kvHeads
    let groupRows = heads / kvHeads * rows
    let panel = mk_tile_size(instructions).columns
    let panels = (groupRows + panel - 1) / panel
    let mask = try mask.map { (mask) throws(PI0Error) in
      (
        tensor: try mask.converted(to: .float32),
        strides: Shape.broadcastStrides(mask.shape, to: [shape[0], heads, rows, keys])
      )
    }
    let scratchSize = mk_attention_scratch(instructions, width)
    let scratch = try memory.floats(pool.count * scratchSize)
    let instructions = instructions

    return try compute(shape, type, like: query) { (out) throws(PI0Error) in
      let packed = try packKeysAndValues(key, value, groups: groups, keys: keys, width: width)
      try withFloats(query) { (query) throws(PI0Error) in
        func run(_ maskValues: UnsafePointer<Float>?) {
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
            attention.scale = scale
            attention.out = out + row * width
            attention.scratch = scratch.floats + thread * scratchSize
            guard let maskValues, let strides = mask?.strides else {
              return mk_attend(instructions, &attention)
            }
            attention.mask_is_constant = strides[3] == 0
            withUnsafeTemporaryAllocation(of: UnsafePointer<Float>?.self, capacity: count) {
              maskRows in
              for i in 0..<count {
                let (head, position) = ((row + i) / rows, (row + i) % rows)
                maskRows[i] =
                  maskValues + head / heads * strides[0] + head % heads * strides[1]
                  + position * strides[2]
              }
              attention.mask = UnsafePointer(maskRows.baseAddress)
              mk_attend(instructions, &attention)
            }
          }
        }
        if let mask { try withFloats(mask.tensor) { run($0) } } else { run(nil) }
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
