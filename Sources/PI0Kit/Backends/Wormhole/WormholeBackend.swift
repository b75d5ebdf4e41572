internal import Wormhole

/// Operations on a Wormhole card.
///
/// A float tensor on the card is a matrix of tiles in its DRAM, `[rows, last dimension]`; values
/// are kept as bfloat16, products accumulated in float32. An operation called alone is a command
/// list of its own. The operations of a traced function are recorded once, and then run with one
/// doorbell.
///
/// What the card does not compute runs on the CPU, on `reference`: integers, empty tensors,
/// softmax alone, and moving elements that are in host memory.
final class WormholeBackend: Backend {
  let session: CardSession
  private let weightFormat: CardWeightFormat
  private let activationFormat: TileFormat
  private let cpu = ReferenceBackend()

  var records: Bool { true }
  var takesPixels: Bool { true }
  var embedderTolerance: Tolerance { weightFormat == .bfloat16 ? .bfloat16 : .bfp8 }
  var policyTolerance: Tolerance { weightFormat == .bfloat16 ? .bfloat16Policy : .bfp8Policy }

  init(_ session: CardSession, weights: CardWeightFormat, activations: TileFormat) {
    self.session = session
    weightFormat = weights
    activationFormat = activations
  }

  // MARK: - Matrix products

  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    try linear(
      x, weight: weight, bias: bias, activation: activation, residual: nil, shape: shape,
      type: type)
  }

  func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, plus residual: Residual, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard addsInProduct(residual), x.count > 0, weight.count > 0 else {
      return try residual(
        linear(x, weight: weight, bias: bias, activation: .none, shape: shape, type: type))
    }
    return try linear(
      x, weight: weight, bias: bias, activation: .none, residual: residual, shape: shape,
      type: type)
  }

  /// Whether a product can add its result to the tensor: one in float32 would lose by that. A gate must be for all rows.
  private func addsInProduct(_ residual: Residual) -> Bool {
    activationFormat == .bfloat16 && residual.x.cardTensor?.matrix?.format == .bfloat16
      && residual.gate?.shape[0] ?? 1 == 1
  }

  func gatedLinear(
    _ x: Tensor, gate: Tensor, up: Tensor, activation: Activation, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard x.count > 0, gate.count > 0 else {
      return try onCPU([x, gate, up]) { (t) throws(PI0Error) in
        try self.cpu.gatedLinear(
          t[0], gate: t[1], up: t[2], activation: activation, shape: shape, type: type)
      }
    }
    return try onCard([x], shape, type, like: x) { (program, out) throws(PI0Error) in
      program.use(gate)
      let x = try program.matrix(of: x)
      try program.gatedLinear(
        x, gate: self.weight(gate, for: x), up: self.weight(up, for: x), activation: activation,
        into: out)
    }
  }

  private func linear(
    _ x: Tensor, weight: Tensor, bias: Tensor?, activation: Activation, residual: Residual?,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard x.count > 0, weight.count > 0 else {
      return try onCPU([x, weight] + (bias.map { [$0] } ?? [])) { (t) throws(PI0Error) in
        try self.cpu.linear(
          t[0], weight: t[1], bias: bias == nil ? nil : t[2], activation: activation,
          shape: shape, type: type)
      }
    }
    return try onCard([x, bias, residual?.x, residual?.gate], shape, type, like: x) {
      (program, out) throws(PI0Error) in
      program.use(weight)
      let x = try program.matrix(of: x)
      try program.linear(
        x, weight: self.weight(weight, for: x), bias: program.row(of: bias),
        gate: program.row(of: residual?.gate), residual: (residual?.x).map(program.matrix),
        activation: activation, into: out, weightIsConstant: true)
    }
  }

  /// The matrix that x is multiplied with; where a head's width is whole tiles, heads are as in the weight.
  private func weight(
    _ weight: Tensor, for x: Matrix, heads: CardSession.HeadSide? = nil
  ) throws(PI0Error) -> Matrix {
    let format = weightFormat.tileFormat(
      of: weight.name, manyRows: CommandBuilder.hasManyRows(x, gridRows: session.gridRows))
    let isWhole = (heads?.width ?? 0) % 32 == 0
    return try session.weight(weight, transposed: true, as: format, heads: isWhole ? nil : heads)
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
    return try onCard([a, b], shape, type, like: a, inParts: true) {
      (program, out) throws(PI0Error) in
      let (left, right) = (try program.matrix(of: a), try program.matrix(of: b))
      for (index, (i, j)) in pairs.enumerated() {
        let x = try program.makeMatrix([m, inner], as: left.format)
        let y = try program.makeMatrix([inner, n], as: right.format)
        let product = try program.makeMatrix([m, n], as: out.format, zeros: false)
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
    // A value in float32 stays one: the steps from noise to actions are small.
    let isExact = [full, other].contains { $0.cardTensor?.matrix?.format == .float32 }
    let format: TileFormat = isExact ? .float32 : activationFormat
    return try onCard([full, other], shape, type, like: full, as: format) {
      (program, out) throws(PI0Error) in
      let left = try program.matrix(of: full.shape == shape ? full : self.expand(full, to: shape))
      if other.count == 1, other.cardTensor == nil {
        try program.binary(operation, left, scalar: other.numbers()[0], into: out)
        return
      }
      // As large as the result, one row for all, or one column for all: the card spreads these.
      let width = shape.last ?? 1
      let isRow = other.count == width && other.shape.last == width
      let isColumn = Array(other.shape) == shape.dropLast() + [1]
      if other.shape == shape {
        try program.binary(
          operation, program.converted(left, to: format),
          program.converted(program.matrix(of: other), to: format), into: out)
      } else {
        let right = isRow || isColumn ? other : try self.expand(other, to: shape)
        try program.binary(operation, left, program.matrix(of: right), into: out)
      }
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
    let format = movedFormat(tensors)
    return try onCard(
      tensors, shape, tensors[0].elementType, like: tensors[0], as: format, inParts: true
    ) {
      (program, out) throws(PI0Error) in
      let isLast = axis == shape.count - 1
      let inner = isLast ? 1 : shape[(axis + 1)..<(shape.count - 1)].reduce(1, *)
      var next = 0
      for tensor in tensors where tensor.count > 0 {
        let length = tensor.shape[axis]
        let source = try program.converted(program.matrix(of: tensor), to: format)
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
    return try onCard([x], shape, x.elementType, like: x, as: movedFormat([x]), inParts: true) {
      (program, out) throws(PI0Error) in
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
    if (shape.last ?? 1) == (x.shape.last ?? 1), x.cardTensor?.layout == .rows {
      return try x.viewed(shape: shape)
    }
    return try onCard([x], shape, x.elementType, like: x, as: movedFormat([x]), inParts: true) {
      (program, out) throws(PI0Error) in
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
    return try onCard([x], shape, x.elementType, like: x, as: movedFormat([x]), inParts: true) {
      (program, out) throws(PI0Error) in
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
    return try onCard([x], shape, x.elementType, like: x, as: movedFormat([x]), inParts: true) {
      (program, out) throws(PI0Error) in
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
    return try onCard([tokens], shape, table.elementType, like: tokens, inParts: true) {
      (program, out) throws(PI0Error) in
      program.use(table)
      try program.gather(
        self.session.weight(table, transposed: false, as: self.activationFormat),
        rows: .table(program.rowTable(of: tokens)), into: out)
    }
  }

  // MARK: - Heads

  func linearToHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard !shape.contains(0), x.count > 0 else {
      return try onCPU([x, weight] + (bias.map { [$0] } ?? [])) { (t) throws(PI0Error) in
        try self.cpu.linearToHeads(
          t[0], weight: t[1], bias: bias == nil ? nil : t[2], shape: shape, type: type)
      }
    }
    let width = shape[3]
    return try onCard([x, bias], shape, type, like: x, .heads) { (program, out) throws(PI0Error) in
      program.use(weight)
      let x = try program.matrix(of: x)
      try program.linear(
        x, weight: self.weight(weight, for: x, heads: .columns(width: width)),
        bias: program.headRow(of: bias, width: width),
        activation: .none, into: out, weightIsConstant: true)
    }
  }

  func linearFromHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    try linearFromHeads(x, weight: weight, bias: bias, residual: nil, shape: shape, type: type)
  }

  func linearFromHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, plus residual: Residual, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard addsInProduct(residual), !shape.contains(0), x.count > 0 else {
      return try residual(
        linearFromHeads(x, weight: weight, bias: bias, shape: shape, type: type))
    }
    return try linearFromHeads(
      x, weight: weight, bias: bias, residual: residual, shape: shape, type: type)
  }

  private func linearFromHeads(
    _ x: Tensor, weight: Tensor, bias: Tensor?, residual: Residual?, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard !shape.contains(0), x.count > 0 else {
      return try onCPU([x, weight] + (bias.map { [$0] } ?? [])) { (t) throws(PI0Error) in
        try self.cpu.linearFromHeads(
          t[0], weight: t[1], bias: bias == nil ? nil : t[2], shape: shape, type: type)
      }
    }
    let width = x.shape[3]
    return try onCard([x, bias, residual?.x, residual?.gate], shape, type, like: x) {
      (program, out) throws(PI0Error) in
      program.use(weight)
      let x = try program.heads(of: x)
      try program.linear(
        x, weight: self.weight(weight, for: x, heads: .rows(width: width)),
        bias: program.row(of: bias), gate: program.row(of: residual?.gate),
        residual: (residual?.x).map(program.matrix), activation: .none, into: out,
        weightIsConstant: true)
    }
  }

  func attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor?, scale: Float, shape: [Int],
    type: ElementType
  ) throws(PI0Error) -> Tensor {
    let segments = [KeyValueCache.Layer(key: key, value: value)]
    var mask = mask
    if let given = mask {
      mask = try given.viewed(shape: [Int](repeating: 1, count: 4 - given.rank) + given.shape)
    }
    // Masks are for all heads, and in host memory.
    guard attentionFits(shape, segments),
      mask.map({
        $0.cardTensor == nil && $0.shape[1] == 1 && $0.shape[3] == key.shape[2]
      }) ?? true
    else {
      return try onCPU([query, key, value] + (mask.map { [$0] } ?? [])) { (t) throws(PI0Error) in
        try self.cpu.attention(
          query: t[0], key: t[1], value: t[2], mask: mask == nil ? nil : t[3], scale: scale,
          shape: shape, type: type)
      }
    }
    return try attention(
      query, segments, mask: mask.map(CardProgram.Mask.matrix), scale: scale, shape, type)
  }

  func attention(
    query: Tensor, segments: [KeyValueCache.Layer], bias: AttentionBias?, scale: Float,
    shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard attentionFits(shape, segments), bias?.rows.cardTensor == nil,
      bias?.indices.cardTensor == nil
    else {
      return try onCPU([query] + segments.flatMap { [$0.key, $0.value] }) { (t) throws(PI0Error) in
        try self.cpu.attention(
          query: t[0],
          segments: segments.indices.map {
            KeyValueCache.Layer(key: t[1 + 2 * $0], value: t[2 + 2 * $0])
          }, bias: bias?.moved(to: .reference), scale: scale, shape: shape, type: type)
      }
    }
    return try attention(
      query, segments, mask: bias.map(CardProgram.Mask.rows), scale: scale, shape, type)
  }

  func attention(
    query: Tensor, segments: [KeyValueCache.Layer], rotary: RotaryEmbedding.Table,
    bias: AttentionBias?, scale: Float, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (heads, width) = (shape[1], shape[3])
    guard shape[0] == 1, attentionFits(shape, segments),
      [bias?.rows, bias?.indices, rotary.cosine, rotary.sine].allSatisfy({ $0?.cardTensor == nil })
    else {
      return try attention(
        turning: query, segments, by: rotary, bias: bias, scale: scale, shape: shape, type: type)
    }
    return try onCard(
      [query] + segments.flatMap { [$0.key, $0.value] }, shape, type, like: query, .heads
    ) { (program, out) throws(PI0Error) in
      let q = try program.heads(of: query)
      let matrices = try program.heads(of: segments)
      try program.attention(
        q, matrices, heads: heads, sharedHeads: segments[0].key.shape[1], width: width,
        cosine: program.rotaryTable(rotary.cosine, width: width),
        sine: program.rotaryTable(rotary.sine, width: width),
        mask: program.attentionMask(
          bias.map(CardProgram.Mask.rows), item: 0, rows: shape[2],
          segments: segments.map { $0.key.shape[2] }), scale: scale, into: out)
    }
  }

  /// Whether keys and values fit tiles of the card, whatever the mask.
  private func attentionFits(_ shape: [Int], _ segments: [KeyValueCache.Layer]) -> Bool {
    let keys = segments.map { $0.key.shape[2] }
    guard !shape.contains(0), !keys.contains(0), (1...2).contains(segments.count) else {
      return false
    }
    return CommandBuilder.AttentionShape(
      batch: shape[0], heads: shape[1], sharedHeads: segments[0].key.shape[1], rows: shape[2],
      keys: keys, width: shape[3], maskRows: shape[2]
    ).fits(gridRows: session.gridRows)
  }

  private func attention(
    _ query: Tensor, _ segments: [KeyValueCache.Layer], mask: CardProgram.Mask?, scale: Float,
    _ shape: [Int], _ type: ElementType
  ) throws(PI0Error) -> Tensor {
    let (batch, heads, rows) = (shape[0], shape[1], shape[2])
    let keys = segments.map { $0.key.shape[2] }
    let sharedHeads = segments[0].key.shape[1]
    let isTogether =
      batch == 1
      || (([rows] + keys).allSatisfy { $0 % 32 == 0 } && mask?.isForAllSamples ?? true)
    return try onCard(
      [query] + segments.flatMap { [$0.key, $0.value] }, shape, type, like: query, .heads,
      inParts: !isTogether
    ) { (program, out) throws(PI0Error) in
      let q = try program.heads(of: query)
      let matrices = try program.heads(of: segments)
      if isTogether {
        try program.attention(
          q, matrices, heads: heads, sharedHeads: sharedHeads, batch: batch,
          mask: program.attentionMask(mask, item: 0, rows: rows, segments: keys), scale: scale,
          into: out)
        return
      }
      // Rows of one sample begin in the middle of a tile.
      func part(_ matrix: Matrix, _ item: Int) throws(PI0Error) -> Matrix {
        let count = matrix.rows / batch
        let part = try program.makeMatrix([count, matrix.columns], as: .bfloat16)
        try program.gather(matrix, row: item * count, rows: .contiguous(count), into: part)
        return part
      }
      for item in 0..<batch {
        var parts: [CommandBuilder.KeySegment] = []
        for matrix in matrices {
          parts.append(
            .init(keys: try part(matrix.keys, item), values: try part(matrix.values, item)))
        }
        let result = try program.makeMatrix([rows, out.columns], as: .bfloat16, zeros: false)
        try program.attention(
          part(q, item), parts, heads: heads, sharedHeads: sharedHeads,
          mask: program.attentionMask(mask, item: item, rows: rows, segments: keys), scale: scale,
          into: result)
        try program.gather(result, rows: .contiguous(rows), into: out, outRow: item * rows)
      }
    }
  }

  func rotate(_ x: Tensor, cosine: Tensor, sine: Tensor) throws(PI0Error) -> Tensor {
    let (heads, width) = (x.shape[1], x.shape[3])
    guard x.count > 0, cosine.cardTensor == nil, sine.cardTensor == nil, width <= 512 else {
      return try onCPU([x, cosine, sine]) { (t) throws(PI0Error) in
        try self.cpu.rotate(t[0], cosine: t[1], sine: t[2])
      }
    }
    return try onCard([x], x.shape, x.elementType, like: x, .heads) {
      (program, out) throws(PI0Error) in
      try program.rotate(
        program.heads(of: x), heads: heads, width: width,
        cosine: program.rotaryTable(cosine, width: width),
        sine: program.rotaryTable(sine, width: width), into: out)
    }
  }

  // MARK: - Norms

  func layerNorm(
    _ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard normFits(x) else {
      return try onCPU([x, weight, bias]) { (t) throws(PI0Error) in
        try self.cpu.layerNorm(t[0], weight: t[1], bias: t[2], epsilon: epsilon, type: type)
      }
    }
    return try onCard([x, weight, bias], x.shape, type, like: x) {
      (program, out) throws(PI0Error) in
      program.use(weight)
      let matrix = try program.matrix(of: x)
      try program.normalize(
        matrix, centred: true, weight: program.row(of: weight, as: matrix.format),
        bias: program.row(of: bias, as: matrix.format), epsilon: epsilon, into: out)
    }
  }

  func rmsNorm(
    _ x: Tensor, weight: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard normFits(x) else {
      return try onCPU([x, weight]) { (t) throws(PI0Error) in
        try self.cpu.rmsNorm(t[0], weight: t[1], epsilon: epsilon, type: type)
      }
    }
    return try onCard([x, weight], x.shape, type, like: x) { (program, out) throws(PI0Error) in
      program.use(weight)
      let matrix = try program.matrix(of: x)
      try program.normalize(
        matrix, centred: false, weight: program.row(of: weight, as: matrix.format), offset: 1,
        bias: nil, epsilon: epsilon, into: out)
    }
  }

  func adaptiveRMSNorm(
    _ x: Tensor, modulation: Tensor, epsilon: Float, type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard normFits(x) else {
      return try onCPU([x, modulation]) { (t) throws(PI0Error) in
        try self.cpu.adaptiveRMSNorm(t[0], modulation: t[1], epsilon: epsilon, type: type)
      }
    }
    if modulation.shape[0] > 1 {
      // Each sample has its own.
      var parts: [Tensor] = []
      for item in 0..<x.shape[0] {
        parts.append(
          try adaptiveRMSNorm(
            x.sliced(axis: 0, item..<item + 1),
            modulation: modulation.sliced(axis: 0, item..<item + 1), epsilon: epsilon, type: type))
      }
      return try .concat(parts, axis: 0)
    }
    let width = x.shape[2]
    let scale = try modulation.sliced(axis: 1, 0..<width)
    let shift = try modulation.sliced(axis: 1, width..<2 * width)
    return try onCard([x, scale, shift], x.shape, type, like: x) {
      (program, out) throws(PI0Error) in
      let matrix = try program.matrix(of: x)
      try program.normalize(
        matrix, centred: false, weight: program.row(of: scale, as: matrix.format), offset: 1,
        bias: program.row(of: shift, as: matrix.format), epsilon: epsilon, into: out)
    }
  }

  /// Whether a row fits a tile of the card.
  private func normFits(_ x: Tensor) -> Bool { x.count > 0 && (x.shape.last ?? 1) <= 8192 }

  // MARK: - Vision

  /// A product of the image's patches, which the CPU cuts out of an image in host memory.
  func patchConvolution(
    _ image: Tensor, weight: Tensor, bias: Tensor, shape: [Int], type: ElementType
  ) throws(PI0Error) -> Tensor {
    guard image.cardTensor == nil, !shape.contains(0) else {
      return try onCPU([image, weight, bias]) { (t) throws(PI0Error) in
        try self.cpu.patchConvolution(t[0], weight: t[1], bias: t[2], shape: shape, type: type)
      }
    }
    return try image.patches(weight.shape[2])
      .linear(weight: weight.reshaped([weight.shape[0], -1]), bias: bias)
  }

  func pixelPatches(_ image: Tensor, patch: Int, shape: [Int]) throws(PI0Error) -> Tensor {
    guard Pictures.areCut(height: image.shape[1], width: image.shape[2], patch: patch),
      image.count > 0
    else {
      return try onCPU([image]) { (t) throws(PI0Error) in
        try self.cpu.pixelPatches(t[0], patch: patch, shape: shape)
      }
    }
    return try onCard([image], shape, .float32, like: image, as: .bfloat16) {
      (program, out) throws(PI0Error) in
      try program.patches(patch, of: program.pictures(of: image), into: out)
    }
  }

  // MARK: - On the CPU

  func softmax(
    _ x: Tensor, axis: Int, mask: Tensor?, type: ElementType
  ) throws(PI0Error) -> Tensor {
    try onCPU([x] + (mask.map { [$0] } ?? [])) { (t) throws(PI0Error) in
      try self.cpu.softmax(t[0], axis: axis, mask: mask == nil ? nil : t[1], type: type)
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

  /// How elements are kept that are moved: as they were, where all are kept alike.
  private func movedFormat(_ tensors: [Tensor]) -> TileFormat {
    let formats = Set(tensors.map { $0.cardTensor?.matrix?.format ?? activationFormat })
    return formats.count == 1 ? formats.first ?? activationFormat : activationFormat
  }

  /// A result on the card: added to the recording that an operand belongs to, or run at once.
  ///
  /// - Parameters:
  ///   - layout: of the result; heads are bfloat16.
  ///   - format: of the result's rows; where nil, that of activations.
  ///   - inParts: `emit` leaves some of the matrix as it is, which must be zeros.
  private func onCard(
    _ operands: [Tensor?], _ shape: [Int], _ type: ElementType, like x: Tensor,
    _ layout: MatrixLayout = .rows, as format: TileFormat? = nil, inParts: Bool = false,
    _ emit: (CardProgram, Matrix) throws(PI0Error) -> Void
  ) throws(PI0Error) -> Tensor {
    func makeMatrix(_ program: CardProgram) throws(PI0Error) -> Matrix {
      switch layout {
      case .rows: try program.makeMatrix(shape, as: format, zeros: inParts)
      case .heads: try program.makeHeads(shape, zeros: inParts)
      }
    }
    let recording = operands.lazy.compactMap { $0?.cardTensor?.recording }.first
    if let recording {
      recording.beginOperation()
      let out = try makeMatrix(recording)
      try emit(recording, out)
      return try Tensor(
        shape: shape, elementType: type, device: x.device,
        storage: CardTensor(.matrix(out), layout, recordedBy: recording))
    }
    let program = try CardProgram(session, activations: activationFormat)
    let out = try makeMatrix(program)
    try emit(program, out)
    try program.runOnce()
    program.release(out)
    return try Tensor(
      shape: shape, elementType: type, device: x.device,
      storage: CardTensor(out, layout, in: session))
  }

  // MARK: - Traces

  func traced(
    _ cache: TraceCache, _ inputs: [Tensor], _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) -> [Tensor] {
    guard isRecorded(inputs) else { return try body(inputs) }
    return try trace(cache, inputs, body).run(inputs)
  }

  func prepare(
    _ cache: TraceCache, _ inputs: [Tensor], onProgress: (_ done: Int, _ total: Int) -> Void,
    _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) {
    guard isRecorded(inputs) else { return }
    _ = try trace(cache, inputs, onProgress: onProgress, body)
  }

  /// Whether a function of `inputs` is a recording of its own: a part of what is being recorded is recorded with
  /// it.
  private func isRecorded(_ inputs: [Tensor]) -> Bool {
    !inputs.isEmpty && inputs.allSatisfy { $0.count > 0 && $0.cardTensor?.recording == nil }
  }

  private func trace(
    _ cache: TraceCache, _ inputs: [Tensor],
    onProgress: (_ done: Int, _ total: Int) -> Void = { _, _ in },
    _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) -> CardTrace {
    try cache.recording(for: inputs) { () throws(PI0Error) in
      try CardTrace(
        cache.name, CardProgram(session, activations: activationFormat), like: inputs,
        on: inputs[0].device, onProgress: onProgress, body)
    }
  }
}
