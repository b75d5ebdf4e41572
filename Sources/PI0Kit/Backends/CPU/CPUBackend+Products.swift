import CMicroKernels

extension CPUBackend {
  /// Up to this many rows, an image's, a weight is packed once and kept: packing it each time would
  /// take a tenth of its use or more. With more rows, each block is packed where it is used, and the
  /// weight needs no second copy.
  private static let rowsOfKeptWeights = 256

  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    try linear(
      x, weight: weight, bias: bias, activation: activation, factor: nil, shape: shape, type: type)
  }

  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, times factor: Tensor,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    // Two roundings where the product is a 16-bit type, as in the definition.
    guard type == .float32 else {
      return try linear(
        x, weight: weight, bias: bias, activation: activation, factor: nil, shape: shape,
        type: type) * factor
    }
    return try linear(
      x, weight: weight, bias: bias, activation: activation, factor: factor, shape: shape,
      type: type)
  }

  private func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, factor: Tensor?,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (outputs, inputs) = (weight.shape[0], weight.shape[1])
    let rows = Shape.elementCount(x.shape.dropLast()) ?? 0
    guard rows > 0, outputs > 0, inputs > 0 else {
      return try reference.linear(
        x, weight: weight, bias: bias, activation: activation, shape: shape, type: type)
    }
    let right: RightOperand
    if rows <= Self.rowsOfKeptWeights || weight.elementType == .float16 {
      right = .packed(
        try packedWeights.packed(weight) { () throws(PI0Error) in try pack(weight) })
    } else {
      right = .rows(weight.bytes.baseAddress.unsafelyUnwrapped, weight.elementType)
    }
    return try compute(shape, type, like: x) { (out) throws(PI0Error) in
      try withFloats(x) { (x) throws(PI0Error) in
        let left = try packLeft(x, rows: rows, depth: inputs)
        try withFloats(bias) { (bias: UnsafePointer<Float>?) throws(PI0Error) in
          try withFloats(factor) { (factor: UnsafePointer<Float>?) throws(PI0Error) in
            try multiply(
              left, right, columns: outputs, bias: bias, activation: activation, factor: factor,
              out: out)
          }
        }
      }
    }
  }

  func matmul(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error) -> Tensor
  {
    let (m, n, depth) = (shape[shape.count - 2], shape[shape.count - 1], a.shape[a.rank - 1])
    guard m > 0, n > 0, depth > 0 else {
      return try reference.matmul(a, b, shape: shape, type: type)
    }
    let batch = Array(shape.dropLast(2))
    let matrices = zip(
      StridedIndices(Array(a.shape.dropLast(2)), to: batch),
      StridedIndices(Array(b.shape.dropLast(2)), to: batch))
    let b = try b.permuted(Array(0..<b.rank - 2) + [b.rank - 1, b.rank - 2])
    return try compute(shape, type, like: a) { (out) throws(PI0Error) in
      try withFloats(a) { (a) throws(PI0Error) in
        try withFloats(b) { (b) throws(PI0Error) in
          for (index, (aMatrix, bMatrix)) in matrices.enumerated() {
            try multiply(
              packLeft(a + aMatrix * m * depth, rows: m, depth: depth),
              .rows(UnsafeRawPointer(b + bMatrix * n * depth), .float32), columns: n, bias: nil,
              activation: .none, out: out + index * m * n)
          }
        }
      }
    }
  }

  func patchConvolution(
    _ image: Tensor, weight: Tensor, bias: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (channels, height, width) = (image.shape[1], image.shape[2], image.shape[3])
    let patch = weight.shape[2]
    let (down, across) = (height / patch, width / patch)
    let inputs = channels * patch * patch
    let patches = try compute([shape[0], shape[1], inputs], .float32, like: image) {
      (out) throws(PI0Error) in
      try withFloats(image) { (pixels) in
        pool.parallel(shape[0] * down) { line, _ in
          let (b, y) = (line / down, line % down)
          var next = out + line * across * inputs
          for x in 0..<across {
            for c in 0..<channels {
              for row in 0..<patch {
                let from = ((b * channels + c) * height + y * patch + row) * width + x * patch
                next.update(from: pixels + from, count: patch)
                next += patch
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

// MARK: - Packed operands

/// The rows of a left operand, packed in tiles.
struct LeftOperand {
  let memory: MemoryPool.Block
  let rows: Int
  let depth: Int
  let tileRows: Int
}

/// The weight of a product: packed already, or its rows as they are.
enum RightOperand {
  case packed(PackedWeight)
  case rows(UnsafeRawPointer, ElementType)
}

extension CPUBackend {
  /// Tiles of rows of about the same height, none higher than the registers hold.
  func packLeft(
    _ x: UnsafePointer<Float>, rows: Int, depth: Int
  ) throws(PI0Error) -> LeftOperand {
    let most = mk_tile_size(instructions).rows
    let tiles = (rows + most - 1) / most
    let tileRows = (rows + tiles - 1) / tiles
    let block = try memory.floats(rows * depth)
    let out = block.floats
    let instructions = instructions
    forEachChunk(tiles, elements: rows * depth) { tile in
      let first = tile * tileRows
      guard first < rows else { return }
      mk_pack_left(
        instructions, x + first * depth, depth, min(tileRows, rows - first), depth,
        out + first * depth)
    }
    return LeftOperand(memory: block, rows: rows, depth: depth, tileRows: tileRows)
  }

  /// All panels of a weight; 16-bit floats other than bfloat16 become float32.
  func pack(_ weight: Tensor) throws(PI0Error) -> PackedWeight {
    let isBFloat16 = weight.elementType == .bfloat16
    let source = isBFloat16 ? weight : try weight.converted(to: .float32)
    let (outputs, depth) = (weight.shape[0], weight.shape[1])
    let columns = mk_tile_size(instructions).columns
    let panels = (outputs + columns - 1) / columns
    let size = source.elementType.byteCount
    let rowBytes = columns * size
    let memory = try MemoryPool.unpooled(byteCount: panels * depth * rowBytes)
    let (from, to) = (source.bytes, memory.bytes)
    let instructions = instructions
    pool.parallel(panels) { panel, _ in
      let first = panel * columns
      let start = from.baseAddress.unsafelyUnwrapped + first * depth * size
      let target = to.baseAddress.unsafelyUnwrapped + panel * depth * rowBytes
      let rows = min(columns, outputs - first)
      if isBFloat16 {
        mk_pack_panel_bfloat16(
          instructions, start, depth, rows, depth, target.assumingMemoryBound(to: UInt32.self))
      } else {
        mk_pack_panel_float32(
          instructions, start, depth, rows, depth, target.assumingMemoryBound(to: Float.self))
      }
    }
    return PackedWeight(
      memory: memory, type: isBFloat16 ? MK_BFLOAT16 : MK_FLOAT32, panelBytes: depth * rowBytes,
      rowBytes: rowBytes)
  }

  /// Calls `body` for `0..<count`, on several threads where there are enough elements.
  func forEachChunk(_ count: Int, elements: Int, _ body: (Int) -> Void) {
    if elements < 2 * Self.elementsPerChunk {
      for chunk in 0..<count { body(chunk) }
    } else {
      pool.parallel(count) { chunk, _ in body(chunk) }
    }
  }
}

// MARK: - The product

extension CPUBackend {
  /// `out = activation(left · rightᵀ + bias) * factor`.
  ///
  /// A chunk is a few panels of columns over all rows. Its weights are read once, in blocks of the
  /// depth that stay in the second-level cache while the tiles of the left operand pass by.
  func multiply(
    _ left: LeftOperand, _ right: RightOperand, columns: Int, bias: UnsafePointer<Float>?,
    activation: Activation, factor: UnsafePointer<Float>? = nil,
    out: UnsafeMutablePointer<Float>
  ) throws(PI0Error) {
    let panel = mk_tile_size(instructions).columns
    let panels = (columns + panel - 1) / panel
    let panelsPerChunk = max(1, min(128 / panel, panels / (4 * pool.count)))
    // As many chunks for each thread, and all of about the same size.
    let rounds = (panels + panelsPerChunk * pool.count - 1) / (panelsPerChunk * pool.count)
    let chunks = min(panels, rounds * pool.count)
    func start(of chunk: Int) -> Int { chunk * panels / chunks }
    let depth = left.depth
    var product = mk_product()
    product.left = UnsafePointer(left.memory.floats)
    product.left_depth = depth
    product.tile_rows = left.tileRows
    product.rows = left.rows
    product.result_stride = columns
    product.activation = activation.kernel
    let common = product
    let instructions = instructions

    /// One block of the depth for the panels from `first` on.
    func multiplyBlock(
      _ block: Range<Int>, first: Int, count: Int, right: UnsafeRawPointer, stride: Int,
      type: mk_weights
    ) {
      var product = common
      product.right = right
      product.right_stride = stride
      product.right_type = type
      product.first = block.lowerBound
      product.depth = block.count
      product.result = out + first * panel
      product.columns = min(count * panel, columns - first * panel)
      product.accumulates = block.lowerBound > 0
      product.finishes = block.upperBound == depth
      product.bias = bias.map { $0 + first * panel }
      product.factor = factor.map { $0 + first * panel }
      mk_multiply_panels(instructions, &product)
    }

    switch right {
    case .packed(let weight):
      let packed = UnsafeRawPointer(weight.memory.bytes.baseAddress.unsafelyUnwrapped)
      pool.parallel(chunks) { chunk, _ in
        for index in start(of: chunk)..<start(of: chunk + 1) {
          for block in blocks(of: depth, most: 1536) {
            multiplyBlock(
              block, first: index, count: 1,
              right: packed + index * weight.panelBytes + block.lowerBound * weight.rowBytes,
              stride: weight.panelBytes, type: weight.type)
          }
        }
      }
    case .rows(let rows, let type):
      let most = 576
      let blockSize = min(depth, most)
      let blockFloats = panelsPerChunk * blockSize * panel
      let scratch = try memory.floats(pool.count * blockFloats)
      pool.parallel(chunks) { chunk, thread in
        let first = start(of: chunk)
        let count = start(of: chunk + 1) - first
        let packed = scratch.floats + thread * blockFloats
        for block in blocks(of: depth, most: most) {
          for index in 0..<count {
            let column = (first + index) * panel
            let from = rows + (column * depth + block.lowerBound) * type.byteCount
            let pack =
              type == .bfloat16 ? mk_pack_panel_widened : mk_pack_panel_float32
            pack(
              instructions, from, depth, min(panel, columns - column), block.count,
              packed + index * blockSize * panel)
          }
          multiplyBlock(
            block, first: first, count: count, right: packed, stride: 4 * blockSize * panel,
            type: MK_FLOAT32)
        }
      }
    }
  }

  /// Blocks of about the same size.
  private func blocks(of depth: Int, most: Int) -> some Sequence<Range<Int>> {
    let count = (depth + most - 1) / most
    return (0..<count).lazy.map { depth * $0 / count..<depth * ($0 + 1) / count }
  }
}

extension Activation {
  var kernel: mk_activation {
    switch self {
    case .none: MK_NONE
    case .silu: MK_SILU
    case .geluTanh: MK_GELU_TANH
    }
  }
}
