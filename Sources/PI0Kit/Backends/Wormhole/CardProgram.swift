internal import Wormhole

/// Something that a program needs on the card before it runs.
enum CardUpload {
  case zeros(Matrix)
  case values([Float], Matrix)
  case rows([UInt32], RowTable)
  /// Of a tensor in host memory.
  case pixels(Tensor, Pictures)

  func write(to card: Card) throws(CardError) {
    switch self {
    case .zeros(let matrix): try card.clear(matrix)
    case .values(let values, let matrix): try card.upload(values, to: matrix)
    case .rows(let rows, let table): try card.upload(rows, to: table)
    case .pixels(let images, let pictures): try card.upload(images.bytes, to: pictures)
    }
  }
}

/// Commands for the card as operations ask for them, and the memory they work in.
///
/// It is used by the thread that records, and constant once it is loaded.
final class CardProgram: @unchecked Sendable {
  let session: CardSession
  /// How values are kept between operations.
  private let format: TileFormat
  private var builder: CommandBuilder
  private var owned: [Matrix] = []
  private var ownedTables: [RowTable] = []
  private var ownedPictures: [Pictures] = []
  private var constants: [ConstantKey: Matrix] = [:]
  /// What constants were made of, and operands that lie on the card: none may go while the program is
  /// there.
  private var operands: [Tensor] = []
  /// What is brought to the card before the first run. Memory is only reserved while commands are recorded, so that
  /// it is known beforehand whether there is enough.
  private var uploads: [CardUpload] = []

  init(_ session: CardSession, activations format: TileFormat) throws(PI0Error) {
    self.session = session
    self.format = format
    builder = try session.use { (card) throws(CardError) in CommandBuilder(for: card) }
  }

  deinit {
    for matrix in owned { session.free(matrix) }
    if !isLoaded { for matrix in builder.scratch { session.free(matrix) } }
    for table in ownedTables { session.free(table) }
    for pictures in ownedPictures { session.free(pictures) }
  }

  // MARK: - Memory

  /// Matrices of values that no later command needs, to be used again.
  private var unused: [Matrix] = []
  private var isLoaded = false

  /// A matrix for a tensor of `shape`, all of whose dimensions but the last are rows: zeros, or whatever is
  /// there for a command that writes all of it.
  func makeMatrix(
    _ shape: [Int], as format: TileFormat? = nil, zeros: Bool = true
  ) throws(PI0Error) -> Matrix {
    let (format, rows, columns) = (
      format ?? self.format, shape.dropLast().reduce(1, *), shape.last ?? 1
    )
    if !zeros,
      let index = unused.lastIndex(where: {
        $0.rows == rows && $0.columns == columns && $0.format == format
      })
    {
      return unused.remove(at: index)
    }
    let matrix = try reserve(rows, columns, format)
    if zeros { uploads.append(.zeros(matrix)) }
    return matrix
  }

  private func reserve(
    _ rows: Int, _ columns: Int, _ format: TileFormat
  ) throws(PI0Error) -> Matrix {
    let matrix = try session.use { (card) throws(CardError) in
      try card.reserve(rows: rows, columns: columns, format: format)
    }
    owned.append(matrix)
    return matrix
  }

  /// Nobody asks for the matrix' values any more, but for commands that are recorded already.
  func recycle(_ matrix: Matrix) {
    if !isLoaded { unused.append(matrix) }
  }

  /// Leaves a matrix to whoever asks for it.
  func release(_ matrix: Matrix) { owned.removeAll { $0 == matrix } }

  /// A matrix for heads `[batch, heads, rows, width]`, as ``MatrixLayout/heads`` in bfloat16.
  func makeHeads(_ shape: [Int], zeros: Bool = true) throws(PI0Error) -> Matrix {
    try makeMatrix(
      [shape[0] * shape[2], shape[1] * MatrixLayout.headColumns(shape[3])], as: .bfloat16,
      zeros: zeros)
  }

  /// The matrix of an operand, as ``MatrixLayout/rows``; one in host memory is uploaded, as a constant of
  /// the program.
  func matrix(of x: Tensor) throws(PI0Error) -> Matrix {
    guard let card = x.cardTensor else { return try constant(x, shape: x.shape, as: format) }
    let matrix = try matrix(in: card, of: x)
    guard card.layout == .heads else { return matrix }
    let rows = try makeMatrix(x.shape, as: matrix.format)
    let (count, width) = (x.shape[2], x.shape[3])
    for part in 0..<x.shape[0] * x.shape[1] {
      try gather(
        matrix, row: part / x.shape[1] * count, rows: .contiguous(count),
        column: part % x.shape[1] * MatrixLayout.headColumns(width), columns: width, into: rows,
        outRow: part * count)
    }
    return rows
  }

  /// Keys and values of segments, each as ``heads(of:)``.
  func heads(
    of segments: [KeyValueCache.Layer]
  ) throws(PI0Error) -> [CommandBuilder.KeySegment] {
    var matrices: [CommandBuilder.KeySegment] = []
    for segment in segments {
      matrices.append(.init(keys: try heads(of: segment.key), values: try heads(of: segment.value)))
    }
    return matrices
  }

  /// The matrix of an operand `[batch, heads, rows, width]` as ``MatrixLayout/heads``, in bfloat16.
  func heads(of x: Tensor) throws(PI0Error) -> Matrix {
    let (batch, heads, count, width) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    guard let card = x.cardTensor else {
      return try constant(
        x, .heads, shape: [batch * count, heads * MatrixLayout.headColumns(width)]
      ) {
        (values, columns) -> [Float] in
        var out = [Float](repeating: 0, count: batch * count * columns)
        var next = 0
        forEachHeadRow(x.shape, columns: columns) { place in
          for i in 0..<width { out[place + i] = values[next + i] }
          next += width
        }
        return out
      }
    }
    let matrix = try self.matrix(in: card, of: x)
    if card.layout == .heads { return try converted(matrix, to: .bfloat16) }
    let rows = try converted(matrix, to: .bfloat16)
    if heads == 1 && width % 32 == 0 { return rows }
    let out = try makeHeads(x.shape)
    for part in 0..<batch * heads {
      try gather(
        rows, row: part * count, rows: .contiguous(count), columns: width, into: out,
        outRow: part / heads * count, outColumn: part % heads * MatrixLayout.headColumns(width))
    }
    return out
  }

  private func matrix(in card: CardTensor, of x: Tensor) throws(PI0Error) -> Matrix {
    guard let matrix = card.matrix else {
      throw .device("\(session.name): row numbers are no operand, found \(x)")
    }
    if card.recording == nil { operands.append(x) }
    return matrix
  }

  /// A matrix in another format; the same where it has that.
  func converted(_ matrix: Matrix, to format: TileFormat) throws(PI0Error) -> Matrix {
    if matrix.format == format { return matrix }
    let out = try makeMatrix([matrix.rows, matrix.columns], as: format, zeros: false)
    try unary(.none, matrix, into: out)
    return out
  }

  /// A row of an operand, `[1, columns]`: biases of products are bfloat16, weights of norms have the format
  /// of what they weigh.
  func row(of x: Tensor?, as format: TileFormat = .bfloat16) throws(PI0Error) -> Matrix? {
    guard let x else { return nil }
    guard x.cardTensor != nil else { return try constant(x, shape: [1, x.count], as: format) }
    return try converted(matrix(of: x), to: format)
  }

  /// One number, kept as float32.
  private func scalar(_ value: Float) throws(PI0Error) -> Matrix {
    try constant(Tensor([value], shape: [1, 1]), shape: [1, 1], as: .float32)
  }

  /// A bias of heads, in host memory or on the card.
  func headRow(of x: Tensor?, width: Int) throws(PI0Error) -> Matrix? {
    guard let x else { return nil }
    let heads = x.count / width
    if width % 32 == 0 || x.cardTensor != nil {
      let row = try row(of: x)
      guard let row, width % 32 != 0 else { return row }
      let out = try makeMatrix([1, heads * MatrixLayout.headColumns(width)], as: .bfloat16)
      for head in 0..<heads {
        try gather(
          row, rows: .contiguous(1), column: head * width, columns: width, into: out,
          outColumn: head * MatrixLayout.headColumns(width))
      }
      return out
    }
    return try constant(
      x, .heads, shape: [1, heads * MatrixLayout.headColumns(width)]
    ) { values, columns in
      var out = [Float](repeating: 0, count: columns)
      for (i, value) in values.enumerated() {
        out[i / width * MatrixLayout.headColumns(width) + i % width] = value
      }
      return out
    }
  }

  // MARK: - Constants, each uploaded once

  /// What a matrix was made of.
  private struct ConstantKey: Hashable {
    enum Purpose: Hashable {
      case matrix(TileFormat)
      case heads
      /// Of so many rows.
      case rotaryTable
      /// Of so many keys in each segment; of one sample.
      case mask(segments: [Int], item: Int)
      case rotation(width: Int)
    }
    let storage: ObjectIdentifier?
    let byteOffset: Int
    let shape: [Int]
    let purpose: Purpose
  }

  private func constant(
    _ x: Tensor, shape: [Int], as format: TileFormat
  ) throws(PI0Error) -> Matrix {
    try constant(x, .matrix(format), shape: shape, as: format) { (values, _) in values }
  }

  /// A matrix that `make` fills, of the elements of `x` and the number of columns; no shape, no matrix.
  private func constant(
    _ x: Tensor?, _ purpose: ConstantKey.Purpose, shape: [Int], as format: TileFormat = .bfloat16,
    _ make: (_ values: [Float], _ columns: Int) -> [Float]
  ) throws(PI0Error) -> Matrix {
    var key = ConstantKey(storage: nil, byteOffset: 0, shape: shape, purpose: purpose)
    if let x, case .host(let storage, let byteOffset) = x.elements {
      key = ConstantKey(
        storage: ObjectIdentifier(storage), byteOffset: byteOffset, shape: shape, purpose: purpose)
    }
    if let matrix = constants[key] { return matrix }
    let matrix = try reserve(shape.dropLast().reduce(1, *), shape.last ?? 1, format)
    let values = make(x?.numbers() ?? [], shape.last ?? 1)
    uploads.append(.values(values, matrix))
    constants[key] = matrix
    if let x { operands.append(x) }
    return matrix
  }

  /// Cosines or sines `[batch, rows, width / 2]` for both halves of a head.
  func rotaryTable(_ table: Tensor, width: Int) throws(PI0Error) -> Matrix {
    let half = width / 2, rows = table.count / max(1, half)
    return try constant(
      table, .rotaryTable, shape: [rows, MatrixLayout.headColumns(width)]
    ) { values, columns in
      var out = [Float](repeating: 0, count: rows * columns)
      for row in 0..<rows {
        for i in 0..<2 * half { out[row * columns + i] = values[row * half + i % half] }
      }
      return out
    }
  }

  /// The matrix r with x r = [-second half of x | first half of x].
  func rotation(width: Int) throws(PI0Error) -> Matrix {
    let columns = MatrixLayout.headColumns(width)
    return try constant(nil, .rotation(width: width), shape: [columns, columns]) { _, _ in
      var out = [Float](repeating: 0, count: columns * columns)
      for i in 0..<width / 2 {
        out[(i + width / 2) * columns + i] = -1
        out[i * columns + i + width / 2] = 1
      }
      return out
    }
  }

  /// A mask in host memory.
  enum Mask {
    /// `[batch or 1, 1, rows or 1, keys]`
    case matrix(Tensor)
    case rows(AttentionBias)

    /// What it is known by.
    var tensor: Tensor {
      switch self {
      case .matrix(let matrix): matrix
      case .rows(let bias): bias.rows
      }
    }

    var isForAllSamples: Bool {
      switch self {
      case .matrix(let matrix): matrix.shape[0] == 1
      case .rows(let bias): bias.indices.shape[0] == 1
      }
    }

    /// Which row of ``tensor`` each row of a sample has.
    func indices(item: Int, rows: Int) -> [Int] {
      switch self {
      case .matrix(let matrix):
        let count = matrix.shape[2], item = isForAllSamples ? 0 : item
        return (0..<rows).map { item * count + (count == 1 ? 0 : $0) }
      case .rows(let bias):
        let item = isForAllSamples ? 0 : item
        return (0..<rows).map {
          Int(
            bias.indices.bytes.loadUnaligned(fromByteOffset: 4 * (item * rows + $0), as: Int32.self)
          )
        }
      }
    }
  }

  /// A mask as attention on the card wants it: transposed, each segment's keys rounded up to whole tiles, of
  /// which those that are none are masked. Nil where there is nothing to mask.
  ///
  /// - Parameters:
  ///   - item: of the batch.
  ///   - rows: of the query.
  ///   - segments: how many keys each has.
  func attentionMask(
    _ mask: Mask?, item: Int, rows: Int, segments: [Int]
  ) throws(PI0Error) -> Matrix? {
    let padded = segments.map { ($0 + 31) / 32 * 32 }
    if mask == nil && padded == segments { return nil }
    let total = segments.reduce(0, +)
    let indices = mask?.indices(item: item, rows: rows) ?? []
    // One row for all stands in a whole tile.
    let isForAll = indices.allSatisfy { $0 == indices[0] }
    return try constant(
      mask?.tensor, .mask(segments: segments, item: item),
      shape: [padded.reduce(0, +), isForAll ? 32 : rows]
    ) { values, columns in
      let blocked: Float = -3e38
      var out = [Float](repeating: blocked, count: padded.reduce(0, +) * columns)
      var (top, first) = (0, 0)
      for (count, room) in zip(segments, padded) {
        for key in 0..<count {
          for row in 0..<columns {
            out[(top + key) * columns + row] =
              indices.isEmpty
              ? 0 : max(values[indices[isForAll ? 0 : row] * total + first + key], blocked)
          }
        }
        top += room
        first += count
      }
      return out
    }
  }

  /// Row numbers for ``gather(_:row:rows:column:columns:into:outRow:outColumn:)``.
  func makeRowTable(_ rows: [UInt32]) throws(PI0Error) -> RowTable {
    let table = try makeRowTable(count: rows.count)
    uploads.append(.rows(rows, table))
    return table
  }

  func makeRowTable(count: Int) throws(PI0Error) -> RowTable {
    let table = try session.use { (card) throws(CardError) in
      try card.allocateTable(count: count)
    }
    ownedTables.append(table)
    return table
  }

  /// The row numbers that int32 tokens are.
  func rowTable(of tokens: Tensor) throws(PI0Error) -> RowTable {
    if case .rowTable(let table) = tokens.cardTensor?.memory { return table }
    return try makeRowTable(tokens.int32s().map(UInt32.init(bitPattern:)))
  }

  // MARK: - Pictures

  /// The pictures that uint8 `[count, height, width, 3]` are.
  func pictures(of images: Tensor) throws(PI0Error) -> Pictures {
    if case .pictures(let pictures) = images.cardTensor?.memory { return pictures }
    let pictures = try makePictures(images.shape)
    uploads.append(.pixels(images, pictures))
    return pictures
  }

  private func makePictures(_ shape: [Int]) throws(PI0Error) -> Pictures {
    let pictures = try session.use { (card) throws(CardError) in
      try card.allocatePictures(count: shape[0], height: shape[1], width: shape[2])
    }
    ownedPictures.append(pictures)
    return pictures
  }

  /// Room for a tensor like `input`, that each run is given.
  func makeInput(_ input: Tensor) throws(PI0Error) -> CardMemory {
    switch input.elementType {
    case .int32: .rowTable(try makeRowTable(count: input.count))
    case .uint8 where input.rank == 4: .pictures(try makePictures(input.shape))
    default: .matrix(try makeMatrix(input.shape, as: .float32))
    }
  }

  // MARK: - What commands are for

  /// Operations that have been recorded.
  private(set) var operations = 0
  /// The layer whose weight was used last.
  private var layer = ""

  /// Begins an operation; reports say that it belongs to the layer whose weight was used last.
  func beginOperation() {
    operations += 1
    builder.purpose = layer
  }

  /// The operation has this weight.
  func use(_ weight: Tensor) {
    guard var name = weight.name else { return }
    if name.hasSuffix(".weight") { name.removeLast(".weight".count) }
    builder.purpose = name
    // As far as the layer's number, or without the last part.
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    let number = parts.firstIndex { Int($0) != nil } ?? parts.count - 2
    layer = parts.prefix(number + 1).joined(separator: ".")
  }

  // MARK: - Commands

  /// out = activation(x weight + bias + residual), or, with a gate, residual + (x weight + bias) * gate.
  func linear(
    _ x: Matrix, weight: Matrix, bias: Matrix?, gate: Matrix? = nil, residual: Matrix? = nil,
    activation: Activation, into out: Matrix, weightIsConstant: Bool
  ) throws(PI0Error) {
    if let gate, let residual {
      return try linear(x, weight: weight, bias: bias, gate: gate, residual: residual, into: out)
    }
    try emit { (builder) throws(CardError) in
      try builder.linear(
        x, weight, bias: bias, residual: residual, activation: activation.onCard, into: out,
        weightIsConstant: weightIsConstant)
    }
  }

  private func linear(
    _ x: Matrix, weight: Matrix, bias: Matrix?, gate: Matrix, residual: Matrix, into out: Matrix
  ) throws(PI0Error) {
    let isDone =
      try bias == nil
      ? emit { (builder) throws(CardError) in
        try builder.linear(x, weight, gate: gate, residual: residual, into: out)
      } : false
    guard !isDone else { return }
    let product = try makeMatrix([out.rows, out.columns], as: out.format, zeros: false)
    try linear(
      x, weight: weight, bias: bias, activation: .none, into: product, weightIsConstant: true)
    try binary(.multiply, product, gate, into: product)
    try binary(.add, residual, product, into: out)
    recycle(product)
  }

  /// out = activation(x gate) * (x up), with weights that no command writes.
  func gatedLinear(
    _ x: Matrix, gate: Matrix, up: Matrix, activation: Activation, into out: Matrix
  ) throws(PI0Error) {
    let isDone = try emit { (builder) throws(CardError) in
      try builder.gatedLinear(
        x, gate: gate, up: up, activation: activation.onCard, into: out)
    }
    guard !isDone else { return }
    let gated = try makeMatrix([out.rows, out.columns], as: out.format, zeros: false)
    let product = try makeMatrix([out.rows, out.columns], as: out.format, zeros: false)
    try linear(
      x, weight: gate, bias: nil, activation: activation, into: gated, weightIsConstant: true)
    try linear(
      x, weight: up, bias: nil, activation: .none, into: product, weightIsConstant: true)
    try binary(.multiply, product, gated, into: out)
    recycle(gated)
    recycle(product)
  }

  func binary(
    _ operation: CommandBuilder.Combination, _ a: Matrix, _ b: Matrix, into out: Matrix
  ) throws(PI0Error) {
    try emit { (builder) throws(CardError) in try builder.binary(operation, a, b, into: out) }
  }

  func binary(
    _ operation: CommandBuilder.Combination, _ a: Matrix, scalar: Float, into out: Matrix
  ) throws(PI0Error) {
    try binary(operation, a, self.scalar(scalar), into: out)
  }

  func normalize(
    _ x: Matrix, centred: Bool, weight: Matrix?, offset: Float = 0, bias: Matrix?,
    epsilon: Float, into out: Matrix
  ) throws(PI0Error) {
    try emit { (builder) throws(CardError) in
      try builder.normalize(
        x, centred: centred, weight: weight, offset: offset, bias: bias, epsilon: epsilon,
        into: out)
    }
  }

  func rotate(
    _ x: Matrix, heads: Int, width: Int, cosine: Matrix, sine: Matrix, into out: Matrix
  ) throws(PI0Error) {
    let r = try rotation(width: width)
    try emit { (builder) throws(CardError) in
      try builder.rotate(
        x, heads: heads, cosine: cosine, sine: sine, r: r,
        distance: width % 64 == 0 ? width / 64 : 0, into: out)
    }
  }

  func attention(
    _ q: Matrix, _ segments: [CommandBuilder.KeySegment], heads: Int, sharedHeads: Int,
    batch: Int = 1, mask: Matrix?, scale: Float, into out: Matrix
  ) throws(PI0Error) {
    try emit { (builder) throws(CardError) in
      try builder.attention(
        q, segments, heads: heads, sharedHeads: sharedHeads, batch: batch, mask: mask,
        scale: scale, into: out)
    }
  }

  /// Attention of heads that are turned first, and the last segment's keys with them.
  func attention(
    _ q: Matrix, _ segments: [CommandBuilder.KeySegment], heads: Int, sharedHeads: Int, width: Int,
    cosine: Matrix, sine: Matrix, mask: Matrix?, scale: Float, into out: Matrix
  ) throws(PI0Error) {
    let isDone =
      try sharedHeads == 1 && width % 64 == 0
      ? emit { (builder) throws(CardError) in
        try builder.turnedAttention(
          q, segments, heads: heads, cosine: cosine, sine: sine, mask: mask, scale: scale,
          into: out)
      } : false
    guard !isDone, let own = segments.last else { return }
    func turned(_ x: Matrix, _ heads: Int) throws(PI0Error) -> Matrix {
      let out = try makeMatrix([x.rows, x.columns], as: x.format, zeros: false)
      try rotate(x, heads: heads, width: width, cosine: cosine, sine: sine, into: out)
      return out
    }
    let turnedQ = try turned(q, heads), turnedKeys = try turned(own.keys, sharedHeads)
    try attention(
      turnedQ, segments.dropLast() + [.init(keys: turnedKeys, values: own.values)], heads: heads,
      sharedHeads: sharedHeads, mask: mask, scale: scale, into: out)
    recycle(turnedQ)
    recycle(turnedKeys)
  }

  func unary(_ activation: Activation, _ x: Matrix, into out: Matrix) throws(PI0Error) {
    try emit { (builder) throws(CardError) in
      try builder.unary(x, activation: activation.onCard, into: out)
    }
  }

  /// Which rows of a source become rows of a result, in order.
  enum Rows {
    /// One after the other.
    case contiguous(Int)
    /// `count` blocks of `rows`, whose first rows are `sourceStride` and `outStride` apart.
    case blocks(count: Int, rows: Int, sourceStride: Int, outStride: Int)
    /// Those that the table names; a row that the source does not have is zeros.
    case table(RowTable)
  }

  /// Copies rows, or parts of them, into a part of `out`; the rest of `out` stays as it is.
  func gather(
    _ source: Matrix, row: Int = 0, rows: Rows, column: Int = 0, columns: Int? = nil,
    into out: Matrix, outRow: Int = 0, outColumn: Int = 0
  ) throws(PI0Error) {
    let columns = columns ?? min(source.columns - column, out.columns - outColumn)
    try emit { (builder) throws(CardError) in
      switch rows {
      case .contiguous(let count):
        try builder.gather(
          source, row: row, column: column, rows: count, columns: columns, into: out,
          outRow: outRow, outColumn: outColumn)
      case .blocks(let count, let rows, let sourceStride, let outStride):
        try builder.gather(
          source, row: row, column: column, rows: rows, columns: columns, blocks: count,
          blockStride: sourceStride, into: out, outRow: outRow, outBlockStride: outStride,
          outColumn: outColumn)
      case .table(let table):
        try builder.lookup(
          source, table, column: column, columns: columns, into: out, outRow: outRow,
          outColumn: outColumn)
      }
    }
  }

  func reshape(_ source: Matrix, into out: Matrix) throws(PI0Error) {
    try emit { (builder) throws(CardError) in try builder.reshape(source, into: out) }
  }

  func patches(
    _ side: Int, of pictures: Pictures, into out: Matrix
  ) throws(PI0Error) {
    try emit { (builder) throws(CardError) in
      try builder.patches(side, of: pictures, into: out)
    }
  }

  func download(_ matrix: Matrix, to buffer: HostBuffer) throws(PI0Error) {
    try emit { (builder) throws(CardError) in try builder.download(matrix, to: buffer) }
  }

  private func emit<Result>(
    _ body: (inout CommandBuilder) throws(CardError) -> Result
  ) throws(PI0Error) -> Result {
    do {
      return try body(&builder)
    } catch {
      throw .device("\(error)")
    }
  }

  /// Runs the commands now.
  func runOnce() throws(PI0Error) {
    let list = try session.load(builder, uploads)
    isLoaded = true
    uploads = []
    try session.use { (card) throws(CardError) in
      defer { card.free(list) }
      try card.run(list, deadline: card.transport.runDeadline)
    }
  }

  /// Brings weights, constants and commands to the card, and counts what a run of them does.
  ///
  /// - Parameter onProgress: see ``CardSession/load(_:_:onProgress:)``.
  func load(
    onProgress: (_ done: Int, _ total: Int) -> Void
  ) throws(PI0Error) -> (list: CommandList, report: WorkReport, plan: [CommandPlan]) {
    let list = try session.load(builder, uploads, onProgress: onProgress)
    isLoaded = true
    uploads = []
    return try session.use { (card) in (list, card.report(on: list), card.plan(of: list)) }
  }
}

extension PI0Kit.Activation {
  fileprivate var onCard: Wormhole.Activation {
    switch self {
    case .none: .none
    case .silu: .silu
    case .geluTanh: .gelu
    }
  }
}
