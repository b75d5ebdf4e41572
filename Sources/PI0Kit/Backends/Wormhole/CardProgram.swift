internal import Wormhole

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

  init(_ session: CardSession, activations format: TileFormat) throws(PI0Error) {
    self.session = session
    self.format = format
    builder = try session.use { (card) throws(CardError) in CommandBuilder(for: card) }
  }

  deinit {
    for matrix in owned { session.free(matrix) }
    for table in ownedTables { session.free(table) }
  }

  // MARK: - Memory

  /// A matrix of zeros for a tensor of `shape`: all dimensions but the last are rows.
  func makeMatrix(_ shape: [Int]) throws(PI0Error) -> Matrix {
    try makeMatrix(shape, as: format)
  }

  private func makeMatrix(_ shape: [Int], as format: TileFormat) throws(PI0Error) -> Matrix {
    let rows = shape.dropLast().reduce(1, *)
    let matrix = try session.use { (card) throws(CardError) in
      try card.allocate(rows: rows, columns: shape.last ?? 1, format: format)
    }
    owned.append(matrix)
    return matrix
  }

  /// Leaves a matrix to whoever asks for it.
  func release(_ matrix: Matrix) { owned.removeAll { $0 == matrix } }

  /// The matrix of an operand; one in host memory is uploaded, as a constant of the program.
  func matrix(of x: Tensor) throws(PI0Error) -> Matrix {
    if let card = x.cardTensor {
      guard let matrix = card.matrix else {
        throw .device("\(session.name): row numbers are no operand, found \(x)")
      }
      return matrix
    }
    return try constant(x, shape: x.shape, as: format)
  }

  /// The same of a bias, `[1, columns]`, which products take as bfloat16.
  func row(of x: Tensor?) throws(PI0Error) -> Matrix? {
    guard let x else { return nil }
    guard x.cardTensor != nil else { return try constant(x, shape: [1, x.count], as: .bfloat16) }
    let matrix = try matrix(of: x)
    if matrix.format == .bfloat16 { return matrix }
    let row = try makeMatrix([1, x.count], as: .bfloat16)
    try unary(.none, matrix, into: row)
    return row
  }

  /// One number, kept as float32.
  private func scalar(_ value: Float) throws(PI0Error) -> Matrix {
    try constant(Tensor([value], shape: [1, 1]), shape: [1, 1], as: .float32)
  }

  private func constant(
    _ x: Tensor, shape: [Int], as format: TileFormat
  ) throws(PI0Error) -> Matrix {
    let matrix = try makeMatrix(shape, as: format)
    let values = x.numbers()
    try session.use { (card) throws(CardError) in try card.upload(values, to: matrix) }
    return matrix
  }

  /// Row numbers for ``gather(_:row:rows:column:columns:into:outRow:outColumn:)``.
  func makeRowTable(_ rows: [UInt32]) throws(PI0Error) -> RowTable {
    let table = try makeRowTable(count: rows.count)
    try session.use { (card) throws(CardError) in try card.upload(rows, to: table) }
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
    if let table = tokens.cardTensor?.rowTable { return table }
    return try makeRowTable(tokens.int32s().map(UInt32.init(bitPattern:)))
  }

  // MARK: - Commands

  func linear(
    _ x: Matrix, weight: Matrix, bias: Matrix?, activation: Activation, into out: Matrix,
    weightIsConstant: Bool
  ) throws(PI0Error) {
    try emit { (builder) throws(CardError) in
      try builder.linear(
        x, weight, bias: bias, activation: activation.onCard, into: out,
        weightIsConstant: weightIsConstant)
    }
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

  func download(_ matrix: Matrix, to buffer: HostBuffer) throws(PI0Error) {
    try emit { (builder) throws(CardError) in try builder.download(matrix, to: buffer) }
  }

  private func emit(
    _ body: (inout CommandBuilder) throws(CardError) -> Void
  ) throws(PI0Error) {
    do {
      try body(&builder)
    } catch {
      throw .device("\(error)")
    }
  }

  /// Runs the commands now.
  func runOnce() throws(PI0Error) {
    try session.use { (card) throws(CardError) in
      let list = try card.load(builder)
      defer { card.free(list) }
      try card.run(list)
    }
  }

  /// Uploads the commands, and counts what a run of them does.
  func load() throws(PI0Error) -> (list: CommandList, report: WorkReport) {
    try session.use { (card) throws(CardError) in
      let list = try card.load(builder)
      return (list, card.report(on: list))
    }
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
