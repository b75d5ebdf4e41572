import Synchronization
internal import Wormhole

/// How weights are kept on a card.
public enum CardWeightFormat: String, Sendable, CaseIterable {
  /// 16 bits a weight.
  case bfloat16
  /// 8 bits a weight and a shared exponent for every 16.
  case bfp8

  var tileFormat: TileFormat {
    switch self {
    case .bfloat16: .bfloat16
    case .bfp8: .bfp8
    }
  }
}

/// A card that is open, and the weights on it.
///
/// The card is used by one thread at a time: a second one that comes meanwhile gets an error, it
/// does not wait.
final class CardSession: Sendable {
  let name: String
  /// Used by whoever has set `isBusy`.
  nonisolated(unsafe) private let card: Card
  nonisolated(unsafe) private var weights: [WeightKey: Matrix] = [:]
  private let isBusy = Atomic(false)
  /// What nobody needs any more, given back when the card is next used.
  private let unneeded = Mutex<(matrices: [Matrix], tables: [RowTable])>(([], []))

  init(name: String, card: sending Card) {
    self.name = name
    self.card = card
  }

  func use<Result>(
    _ body: (Card) throws(CardError) -> Result
  ) throws(PI0Error) -> Result {
    guard !isBusy.exchange(true, ordering: .acquiring) else {
      throw .device("\(name): another thread is using the card; use it from one at a time")
    }
    defer { isBusy.store(false, ordering: .releasing) }
    let unneeded = unneeded.withLock { waiting in
      defer { waiting = ([], []) }
      return waiting
    }
    for matrix in unneeded.matrices { card.free(matrix) }
    for table in unneeded.tables { card.free(table) }
    do {
      return try body(card)
    } catch {
      throw .device("\(error)")
    }
  }

  /// Gives a matrix back when the card is next used.
  func free(_ matrix: Matrix) { unneeded.withLock { $0.matrices.append(matrix) } }

  /// Gives row numbers back when the card is next used.
  func free(_ table: RowTable) { unneeded.withLock { $0.tables.append(table) } }

  /// Stops the card. A second time does nothing.
  func close() throws(PI0Error) {
    try use { (card) in card.close() }
  }

  // MARK: - Reports

  private let reports = Mutex<[TraceReport]>([])

  /// What every function recorded so far does in a run.
  var traceReports: [TraceReport] { reports.withLock { $0 } }

  /// Returns the report's number.
  func add(_ report: TraceReport) -> Int {
    reports.withLock { reports in
      reports.append(report)
      return reports.count - 1
    }
  }

  /// What a card that counts saw of a run.
  func setEstimates(_ estimates: [CommandEstimate], ofReport number: Int) {
    guard !estimates.isEmpty else { return }
    reports.withLock { reports in
      guard reports.indices.contains(number) else { return }
      reports[number].work.estimates = estimates
    }
  }

  // MARK: - Weights

  /// A weight on the card: the tensor in host memory that it was made of, and how.
  private struct WeightKey: Hashable {
    let storage: ObjectIdentifier
    let byteOffset: Int
    let shape: [Int]
    let isTransposed: Bool
    let format: TileFormat
    let heads: HeadSide?
  }

  /// Which side of a weight's matrix are heads, each of whose width is rounded up to whole tiles.
  enum HeadSide: Hashable {
    case rows(width: Int)
    case columns(width: Int)
  }
  /// Keeps the storage of every key alive, so that no other takes its identity.
  nonisolated(unsafe) private var storages: [TensorStorage] = []

  /// The matrix of a weight in host memory, converted and uploaded when it is first asked for.
  ///
  /// - Parameters:
  ///   - weight: `[rows, columns]`.
  ///   - transposed: whether the matrix is `[columns, rows]`, as products want it.
  ///   - format: of the matrix.
  ///   - heads: of the matrix.
  func weight(
    _ weight: Tensor, transposed: Bool, as format: TileFormat, heads: HeadSide? = nil
  ) throws(PI0Error) -> Matrix {
    guard case .host(let storage, let byteOffset) = weight.elements, weight.rank == 2 else {
      throw .device("\(name): a weight must be a matrix in host memory, found \(weight)")
    }
    let key = WeightKey(
      storage: ObjectIdentifier(storage), byteOffset: byteOffset, shape: weight.shape,
      isTransposed: transposed, format: format, heads: heads)
    let (rows, columns) = (weight.shape[0], weight.shape[1])
    return try use { (card) throws(CardError) in
      if let matrix = weights[key] { return matrix }
      if let heads {
        let matrix = try upload(weight, transposed: transposed, as: format, heads, to: card)
        weights[key] = matrix
        storages.append(storage)
        return matrix
      }
      let matrix = try card.reserve(
        rows: transposed ? columns : rows, columns: transposed ? rows : columns, format: format)
      let (rowStride, columnStride) = transposed ? (1, columns) : (columns, 1)
      if weight.elementType == .bfloat16 {
        try card.upload(
          bfloat16: weight.bytes.bindMemory(to: UInt16.self), to: matrix, rowStride: rowStride,
          columnStride: columnStride)
      } else {
        try card.upload(
          weight.numbers(), to: matrix, rowStride: rowStride, columnStride: columnStride)
      }
      weights[key] = matrix
      storages.append(storage)
      return matrix
    }
  }

  /// With zeros between the heads.
  private func upload(
    _ weight: Tensor, transposed: Bool, as format: TileFormat, _ heads: HeadSide, to card: Card
  ) throws(CardError) -> Matrix {
    let values = weight.numbers(), inner = weight.shape[1]
    let (rows, columns) = transposed ? (inner, weight.shape[0]) : (weight.shape[0], inner)
    func room(_ count: Int, _ width: Int) -> Int { count / width * MatrixLayout.headColumns(width) }
    func place(_ i: Int, _ width: Int) -> Int {
      i / width * MatrixLayout.headColumns(width) + i % width
    }
    let (rowWidth, columnWidth): (Int, Int) =
      switch heads {
      case .rows(let width): (width, 32)
      case .columns(let width): (32, width)
      }
    let matrixRows = if case .rows = heads { room(rows, rowWidth) } else { rows }
    let matrixColumns = if case .columns = heads { room(columns, columnWidth) } else { columns }
    var padded = [Float](repeating: 0, count: matrixRows * matrixColumns)
    for row in 0..<rows {
      for column in 0..<columns {
        padded[place(row, rowWidth) * matrixColumns + place(column, columnWidth)] =
          transposed ? values[column * inner + row] : values[row * inner + column]
      }
    }
    let matrix = try card.reserve(rows: matrixRows, columns: matrixColumns, format: format)
    try card.upload(padded, to: matrix)
    return matrix
  }
}
