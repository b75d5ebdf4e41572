internal import Wormhole

/// Operations on a Wormhole card.
///
/// A float tensor on the card is a matrix of tiles in its DRAM, `[rows, last dimension]`; values
/// are kept as bfloat16, products accumulated in float32. An operation called alone is a command
/// list of its own. The operations of a traced function are recorded once, and then run with one
/// doorbell.
///
/// What the card does not compute runs on the CPU, on `reference`: integers, transformers, empty
/// tensors, and moving elements that are in host memory.
final class WormholeBackend: Backend {
  let session: CardSession
  private let weightFormat: TileFormat
  private let activationFormat: TileFormat
  private let cpu = ReferenceBackend()

  var runsTransformers: Bool { false }
  var embedderTolerance: Tolerance { weightFormat == .bfp8 ? .bfp8 : .bfloat16 }
  var policyTolerance: Tolerance { weightFormat == .bfp8 ? .bfp8Policy : .bfloat16Policy }

  init(_ session: CardSession, weights: TileFormat, activations: TileFormat) {
    self.session = session
    weightFormat = weights
    activationFormat = activations
  }

  // MARK: - Matrix products

  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard x.count > 0, weight.count > 0 else {
      return try onCPU([x, weight] + (bias.map { [$0] } ?? [])) { (t) throws(PI0Error) in
        try self.cpu.linear(
          t[0], weight: t[1], bias: bias == nil ? nil : t[2], activation: activation,
          shape: shape, type: type)
      }
    }
    return try onCard([x, bias], shape, type, like: x) { (program, out) throws(PI0Error) in
      try program.linear(
        program.matrix(of: x),
        weight: self.session.weight(
          weight, transposed: true, as: self.weightFormat),
        bias: program.row(of: bias), activation: activation, into: out, weightIsConstant: true)
    }
  }

  func matmul(
    _ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard a.count > 0, b.count > 0 else {
      return try onCPU([a, b]) { (t) throws(PI0Error) in
        try self.cpu.matmul(t[0], t[1], shape: shape, type: type)
      }
    }
    if b.rank > 2 { return try matmulOfBatch(a, b, shape: shape, type: type) }
    return try onCard([a, b], shape, type, like: a) { (program, out) throws(PI0Error) in
      try program.linear(
        program.matrix(of: a), weight: program.matrix(of: b), bias: nil, activation: .none,
        into: out, weightIsConstant: false)
    }
  }

  /// One product after the other.
  private func matmulOfBatch(
    _ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    let batch = Array(shape.dropLast(2))
    let (m, n, inner) = (shape[shape.count - 2], shape[shape.count - 1], a.shape[a.rank - 1])
    let pairs = zip(
      StridedIndices(Array(a.shape.dropLast(2)), to: batch),
      StridedIndices(Array(b.shape.dropLast(2)), to: batch))
    return try onCard([a, b], shape, type, like: a) { (program, out) throws(PI0Error) in
      let (left, right) = (try program.matrix(of: a), try program.matrix(of: b))
      for (index, (i, j)) in pairs.enumerated() {
        let x = try program.makeMatrix([m, inner])
        let y = try program.makeMatrix([inner, n])
        let product = try program.makeMatrix([m, n])
        try program.gather(left, row: i * m, rows: .contiguous(m), into: x)
        try program.gather(right, row: j * inner, rows: .contiguous(inner), into: y)
        try program.linear(
          x, weight: y, bias: nil, activation: .none, into: product, weightIsConstant: false)
        try program.gather(product, rows: .contiguous(m), into: out, outRow: index * m)
      }
    }
  }

  // MARK: - Elementwise

  func add(_ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType) throws(PI0Error) -> Tensor {
    try combine(.add, a, b, shape, type) { (t) throws(PI0Error) in
      try self.cpu.add(t[0], t[1], shape: shape, type: type)
    }
  }

  func multiply(
    _ a: Tensor, _ b: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    try combine(.multiply, a, b, shape, type) { (t) throws(PI0Error) in
      try self.cpu.multiply(t[0], t[1], shape: shape, type: type)
    }
  }

  private func combine(
    _ operation: CommandBuilder.Combination, _ a: Tensor, _ b: Tensor, _ shape: [Int],
    _ type: ElementType,
    onCPU compute: ([Tensor]) throws(PI0Error) -> Tensor
  ) throws(PI0Error) -> Tensor {
    guard a.elementType.isFloat, b.elementType.isFloat, a.count > 0, b.count > 0 else {
      return try onCPU([a, b], compute)
    }
    // Both operations commute: the one that has the result's shape comes first.
    let (full, other) = a.shape == shape ? (a, b) : (b, a)
    return try onCard([full, other], shape, type, like: full) { (program, out) throws(PI0Error) in
      let left = try program.matrix(of: full.shape == shape ? full : self.expand(full, to: shape))
      if other.count == 1, other.cardTensor == nil {
        try program.binary(operation, left, scalar: other.numbers()[0], into: out)
        return
      }
      // As large as the result, one row for all, or one column for all: the card spreads these.
      let width = shape.last ?? 1
      let isRow = other.count == width && other.shape.last == width
      let isColumn = Array(other.shape) == shape.dropLast() + [1]
      let right =
        other.shape == shape || isRow || isColumn
        ? other : try self.expand(other, to: shape)
      try program.binary(operation, left, program.matrix(of: right), into: out)
    }
  }

  /// x repeated until it has a broadcast shape.
  private func expand(_ x: Tensor, to shape: [Int]) throws(PI0Error) -> Tensor {
    let padded = [Int](repeating: 1, count: shape.count - x.rank) + x.shape
    return try x.repeated(zip(shape, padded).map { $1 == $0 ? 1 : $0 })
  }

  func activate(_ x: Tensor, _ activation: Activation) throws(PI0Error) -> Tensor {
    guard x.count > 0 else {
      return try onCPU([x]) { (t) throws(PI0Error) in try self.cpu.activate(t[0], activation) }
    }
    return try onCard([x], x.shape, x.elementType, like: x) { (program, out) throws(PI0Error) in
      try program.unary(activation, program.matrix(of: x), into: out)
    }
  }

  // MARK: - Moving elements

  func concat(_ tensors: [Tensor], axis: Int, shape: [Int]) throws(PI0Error) -> Tensor {
    guard movesOnCard(tensors) else {
      return try onCPU(tensors) { (t) throws(PI0Error) in
        try self.cpu.concat(t, axis: axis, shape: shape)
      }
    }
    return try onCard(tensors, shape, tensors[0].elementType, like: tensors[0]) {
      (program, out) throws(PI0Error) in
      let isLast = axis == shape.count - 1
      let inner = isLast ? 1 : shape[(axis + 1)..<(shape.count - 1)].reduce(1, *)
      var next = 0
      for tensor in tensors where tensor.count > 0 {
        let length = tensor.shape[axis]
        let source = try program.matrix(of: tensor)
        if isLast {
          try program.gather(
            source, rows: .contiguous(source.rows), into: out, outColumn: next)
        } else {
          try program.gather(
            source,
            rows: .blocks(
              count: source.rows / (length * inner), rows: length * inner,
              sourceStride: length * inner, outStride: shape[axis] * inner),
            into: out, outRow: next * inner)
        }
        next += length
      }
    }
  }

  func slice(
    _ x: Tensor, axis: Int, range: Range<Int>, shape: [Int]
  ) throws(PI0Error) -> Tensor {
    guard movesOnCard([x]), !range.isEmpty else {
      return try onCPU([x]) { (t) throws(PI0Error) in
        try self.cpu.slice(t[0], axis: axis, range: range, shape: shape)
      }
    }
    return try onCard([x], shape, x.elementType, like: x) { (program, out) throws(PI0Error) in
      let source = try program.matrix(of: x)
      if axis == shape.count - 1 {
        try program.gather(
          source, rows: .contiguous(source.rows), column: range.lowerBound, into: out)
      } else {
        let inner = shape[(axis + 1)..<(shape.count - 1)].reduce(1, *)
        try program.gather(
          source, row: range.lowerBound * inner,
          rows: .blocks(
            count: out.rows / (range.count * inner), rows: range.count * inner,
            sourceStride: x.shape[axis] * inner, outStride: range.count * inner),
          into: out)
      }
    }
  }

  func reshape(_ x: Tensor, shape: [Int]) throws(PI0Error) -> Tensor {
    guard movesOnCard([x]) else {
      return try onCPU([x]) { (t) throws(PI0Error) in try self.cpu.reshape(t[0], shape: shape) }
    }
    if (shape.last ?? 1) == (x.shape.last ?? 1) { return try x.viewed(shape: shape) }
    return try onCard([x], shape, x.elementType, like: x) { (program, out) throws(PI0Error) in
      try program.reshape(program.matrix(of: x), into: out)
    }
  }

  func permute(_ x: Tensor, order: [Int], shape: [Int]) throws(PI0Error) -> Tensor {
    guard movesOnCard([x]), order.last == x.rank - 1 else {
      return try onCPU([x]) { (t) throws(PI0Error) in
        try self.cpu.permute(t[0], order: order, shape: shape)
      }
    }
    let strides = Shape.strides(x.shape.dropLast())
    let rows = StridedIndices(
      Array(shape.dropLast()), strides: order.dropLast().map { strides[$0] })
    return try onCard([x], shape, x.elementType, like: x) { (program, out) throws(PI0Error) in
      try program.gather(
        program.matrix(of: x), rows: .table(program.makeRowTable(rows.map(UInt32.init))), into: out)
    }
  }

  func repeat_(_ x: Tensor, counts: [Int], shape: [Int]) throws(PI0Error) -> Tensor {
    guard movesOnCard([x]), !shape.contains(0) else {
      return try onCPU([x]) { (t) throws(PI0Error) in
        try self.cpu.repeat_(t[0], counts: counts, shape: shape)
      }
    }
    // Each axis of n rows repeated c times is an axis of c, that stands still, over one of n.
    var (split, steps): ([Int], [Int]) = ([], [])
    for (axis, stride) in Shape.strides(x.shape.dropLast()).enumerated() {
      split += [counts[axis], x.shape[axis]]
      steps += [0, stride]
    }
    let rows = StridedIndices(split, strides: steps).map(UInt32.init)
    return try onCard([x], shape, x.elementType, like: x) { (program, out) throws(PI0Error) in
      let source = try program.matrix(of: x)
      let table = try program.makeRowTable(rows)
      for copy in 0..<(counts.last ?? 1) {
        try program.gather(
          source, rows: .table(table), into: out, outColumn: copy * source.columns)
      }
    }
  }

  func lookUp(_ tokens: Tensor, in table: Tensor, shape: [Int]) throws(PI0Error) -> Tensor {
    guard tokens.count > 0, table.count > 0 else {
      return try onCPU([tokens, table]) { (t) throws(PI0Error) in
        try self.cpu.lookUp(t[0], in: t[1], shape: shape)
      }
    }
    return try onCard([tokens], shape, table.elementType, like: tokens) {
      (program, out) throws(PI0Error) in
      try program.gather(
        self.session.weight(table, transposed: false, as: self.activationFormat),
        rows: .table(program.rowTable(of: tokens)), into: out)
    }
  }

  // MARK: - On the CPU

  func attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor?, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    try onCPU([query, key, value] + (mask.map { [$0] } ?? [])) { (t) throws(PI0Error) in
      try self.cpu.attention(
        query: t[0], key: t[1], value: t[2], mask: mask == nil ? nil : t[3], scale: scale,
        shape: shape, type: type)
    }
  }

  func patchConvolution(
    _ image: Tensor, weight: Tensor, bias: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    try onCPU([image, weight, bias]) { (t) throws(PI0Error) in
      try self.cpu.patchConvolution(t[0], weight: t[1], bias: t[2], shape: shape, type: type)
    }
  }

  func softmax(
    _ x: Tensor, axis: Int, mask: Tensor?, type: ElementType
  ) throws(PI0Error) -> Tensor {
    try onCPU([x] + (mask.map { [$0] } ?? [])) { (t) throws(PI0Error) in
      try self.cpu.softmax(t[0], axis: axis, mask: mask == nil ? nil : t[1], type: type)
    }
  }

  func layerNorm(
    _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    try onCPU([x, weight, bias]) { (t) throws(PI0Error) in
      try self.cpu.layerNorm(t[0], weight: t[1], bias: t[2], epsilon: epsilon, type: type)
    }
  }

  func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    try onCPU([x, weight]) { (t) throws(PI0Error) in
      try self.cpu.rmsNorm(t[0], weight: t[1], epsilon: epsilon, type: type)
    }
  }

  func adaptiveRMSNorm(
    _ x: Tensor, modulation: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    try onCPU([x, modulation]) { (t) throws(PI0Error) in
      try self.cpu.adaptiveRMSNorm(t[0], modulation: t[1], epsilon: epsilon, type: type)
    }
  }

  func rotate(_ x: Tensor, cosine: Tensor, sine: Tensor) throws(PI0Error) -> Tensor {
    try onCPU([x, cosine, sine]) { (t) throws(PI0Error) in
      try self.cpu.rotate(t[0], cosine: t[1], sine: t[2])
    }
  }

  // MARK: - Where an operation runs

  /// Whether elements are moved on the card: floats that are there already.
  private func movesOnCard(_ tensors: [Tensor]) -> Bool {
    tensors.contains {
      guard case .device = $0.elements else { return false }
      return $0.elementType.isFloat
    }
  }

  private func onCPU(
    _ operands: [Tensor], _ compute: ([Tensor]) throws(PI0Error) -> Tensor
  ) throws(PI0Error) -> Tensor {
    var moved: [Tensor] = []
    for operand in operands { moved.append(try operand.moved(to: .reference)) }
    return try compute(moved).moved(to: operands[0].device)
  }

  /// A result on the card: added to the recording that an operand belongs to, or run at once.
  private func onCard(
    _ operands: [Tensor?], _ shape: [Int], _ type: ElementType, like x: Tensor,
    _ emit: (CardProgram, Matrix) throws(PI0Error) -> Void
  ) throws(PI0Error) -> Tensor {
    let recording = operands.lazy.compactMap { $0?.cardTensor?.recording }.first
    if let recording {
      let out = try recording.makeMatrix(shape)
      try emit(recording, out)
      return try Tensor(
        shape: shape, elementType: type, device: x.device,
        storage: CardTensor(out, recordedBy: recording))
    }
    let program = try CardProgram(session, activations: activationFormat)
    let out = try program.makeMatrix(shape)
    try emit(program, out)
    try program.runOnce()
    program.release(out)
    return try Tensor(
      shape: shape, elementType: type, device: x.device, storage: CardTensor(out, in: session))
  }

  // MARK: - Traces

  func traced(
    _ cache: TraceCache, _ inputs: [Tensor], _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) -> [Tensor] {
    guard let device = inputs.first?.device, inputs.allSatisfy({ $0.count > 0 }) else {
      return try body(inputs)
    }
    let trace = try cache.recording(for: inputs) { () throws(PI0Error) in
      try CardTrace(
        cache.name, CardProgram(session, activations: activationFormat), like: inputs, on: device,
        body)
    }
    return try trace.run(inputs)
  }
}
