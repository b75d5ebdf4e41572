import Synchronization
internal import Wormhole

/// How weights are kept on a card.
public enum CardWeightFormat: String, Sendable, CaseIterable {
  /// 16 bits a weight.
  case bfloat16
  /// 8 bits a weight and a shared exponent for every 16. Where a product has many rows, most weights are rounded to five
  /// significant bits, which the matrix unit takes in one pass (LoFi): those of vision, and of the language model `gate`
  /// and `up`, which are two thirds of it, but not in the first layers, whose errors pass through all others. The rest
  /// of the language model, and products of few rows, as the action expert's, have all seven.
  case bfp8
  /// The same with all seven bits in every product (HiFi2): the matrix unit takes two passes where rows are many.
  case bfp8HiFi2 = "bfp8-hifi2"

  /// The format of the weight that has this key in its checkpoint, for products with many rows or few.
  func tileFormat(of key: String?, manyRows: Bool) -> TileFormat {
    switch self {
    case .bfloat16: .bfloat16
    case .bfp8: manyRows && Self.takesOnePass(key) ? .bfp8LoFi : .bfp8
    case .bfp8HiFi2: .bfp8
    }
  }

  /// Layers of the language model whose weights all keep seven bits.
  private static let exactLayers = 4

  /// Whether ``bfp8`` rounds the weight to five bits.
  private static func takesOnePass(_ key: String?) -> Bool {
    guard let parts = key?.split(separator: "."),
      let model = parts.firstIndex(of: "language_model"), parts.count > model + 2,
      parts[model + 1] == "layers", let layer = Int(parts[model + 2])
    else { return true }
    return layer >= exactLayers && (parts.contains("gate_proj") || parts.contains("up_proj"))
  }
}

/// A card that is open, and the weights on it.
///
/// The card is used by one thread at a time: a second one that comes meanwhile gets an error, it
/// does not wait.
final class CardSession: Sendable {
  let name: String
  /// Rows of the card's grid of tiles.
  let gridRows: Int?
  /// Used by whoever has set `isBusy`.
  nonisolated(unsafe) private let card: Card
  nonisolated(unsafe) private var weights: [WeightKey: Matrix] = [:]
  private let isBusy = Atomic(false)
  /// What nobody needs any more, given back when the card is next used.
  private let unneeded = Mutex<(matrices: [Matrix], tables: [RowTable], pictures: [Pictures])>(
    ([], [], []))

  init(name: String, card: sending Card) {
    self.name = name
    gridRows = card.gridRows
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
      defer { waiting = ([], [], []) }
      return waiting
    }
    for matrix in unneeded.matrices { card.free(matrix) }
    for table in unneeded.tables { card.free(table) }
    for pictures in unneeded.pictures { card.free(pictures) }
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

  /// Gives pictures back when the card is next used.
  func free(_ pictures: Pictures) { unneeded.withLock { $0.pictures.append(pictures) } }

  /// Bytes of the card's memory that nobody has.
  var freeMemory: Int {
    get throws(PI0Error) { try use { (card) in card.freeDRAM } }
  }

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

    var width: Int {
      switch self {
      case .rows(let width), .columns(let width): width
      }
    }
  }
  /// Keeps the storage of every key alive, so that no other takes its identity.
  nonisolated(unsafe) private var storages: [TensorStorage] = []

  /// Weights that have a matrix, but are not there yet.
  nonisolated(unsafe) private var awaited: [(key: WeightKey, weight: Tensor)] = []

  /// The matrix of a weight in host memory. Its memory is reserved; ``load(_:_:onProgress:)`` brings it there.
  ///
  /// - Parameters:
  ///   - weight: `[rows, columns]`.
  ///   - transposed: whether the matrix is `[columns, rows]`, as products want it.
  ///   - format: of the matrix.
  ///   - heads: of the matrix, which is transposed.
  func weight(
    _ weight: Tensor, transposed: Bool, as format: TileFormat, heads: HeadSide? = nil
  ) throws(PI0Error) -> Matrix {
    guard case .host(let storage, let byteOffset) = weight.elements, weight.rank == 2,
      weight.elementType.isFloat
    else {
      throw .device("\(name): a weight must be a matrix in host memory, found \(weight)")
    }
    let key = WeightKey(
      storage: ObjectIdentifier(storage), byteOffset: byteOffset, shape: weight.shape,
      isTransposed: transposed, format: format, heads: heads)
    var (rows, columns) = (weight.shape[0], weight.shape[1])
    if transposed { swap(&rows, &columns) }
    switch heads {
    case .rows(let width): rows = rows / width * MatrixLayout.headColumns(width)
    case .columns(let width): columns = columns / width * MatrixLayout.headColumns(width)
    case nil: break
    }
    return try use { (card) throws(CardError) in
      if let matrix = weights[key] { return matrix }
      let matrix = try card.reserve(rows: rows, columns: columns, format: format)
      weights[key] = matrix
      storages.append(storage)
      awaited.append((key, weight))
      return matrix
    }
  }

  /// Brings everything to the card that has been recorded: weights first, then what `uploads` bring, then the
  /// commands. Nothing of it where memory does not suffice for all.
  ///
  /// - Parameter onProgress: called with bytes of weights that are there, and of all that were to be brought.
  func load(
    _ builder: CommandBuilder, _ uploads: [CardUpload],
    onProgress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(PI0Error) -> CommandList {
    try use { (card) throws(CardError) in
      let total = awaited.reduce(0) { $0 + (weights[$1.key]?.byteCount ?? 0) }
      var done = 0, told = 0, next = 0
      do throws(CardError) {
        try card.checkMemory("load")
        while next < awaited.count {
          let (key, weight) = awaited[next]
          if let matrix = weights[key] {
            try card.upload(to: matrix) { rows, target, stride in
              weight.copyRows(rows, of: key.isTransposed, key.heads, to: target, stride: stride)
              done += (rows.count + 31) / 32 * matrix.tileColumns * matrix.format.tileBytes
              if done - told > total / 1000 || done == total {
                told = done
                onProgress(done, total)
              }
            }
          }
          next += 1
        }
      } catch {
        // Who asks for them again, loads them again.
        for (key, _) in awaited[next...] {
          if let matrix = weights.removeValue(forKey: key) { card.free(matrix) }
        }
        awaited = []
        throw error
      }
      awaited = []
      for upload in uploads { try upload.write(to: card) }
      return try card.load(builder)
    }
  }
}

extension Tensor {
  /// Writes rows of the matrix that a weight becomes, at most 32, which begin at a multiple of 32: row
  /// `rows.lowerBound + i` from `target[i * stride]` on. What no value belongs to is left as it is.
  fileprivate func copyRows(
    _ rows: Range<Int>, of isTransposed: Bool, _ heads: CardSession.HeadSide?,
    to target: UnsafeMutableBufferPointer<Float>, stride: Int
  ) {
    switch elementType {
    case .bfloat16: copyRows(rows, isTransposed, heads, target, stride, BFloat16.float)
    case .float16: copyRows(rows, isTransposed, heads, target, stride, Half.float)
    default: copyRows(rows, isTransposed, heads, target, stride) { (value: Float) in value }
    }
  }

  @inline(__always)
  private func copyRows<Bits: BitwiseCopyable>(
    _ rows: Range<Int>, _ isTransposed: Bool, _ heads: CardSession.HeadSide?,
    _ target: UnsafeMutableBufferPointer<Float>, _ stride: Int, _ float: (Bits) -> Float
  ) {
    let size = MemoryLayout<Bits>.size, (outer, inner) = (shape[0], shape[1]), bytes = bytes
    guard isTransposed else {
      for (i, row) in rows.enumerated() {
        for j in 0..<inner {
          target[i * stride + j] = float(
            bytes.loadUnaligned(fromByteOffset: (row * inner + j) * size, as: Bits.self))
        }
      }
      return
    }
    // Which elements of the weight's rows these are: a head's width is rounded up to whole tiles, so that
    // all belong to one head.
    var (first, count) = (rows.lowerBound, rows.count)
    if case .rows(let width) = heads {
      let room = MatrixLayout.headColumns(width), offset = first % room
      first = first / room * width + offset
      count = min(count, width - offset)
    }
    for row in 0..<outer {
      var column = row
      if case .columns(let width) = heads {
        column = row / width * MatrixLayout.headColumns(width) + row % width
      }
      let start = (row * inner + first) * size
      for i in 0..<count {
        target[i * stride + column] = float(
          bytes.loadUnaligned(fromByteOffset: start + i * size, as: Bits.self))
      }
    }
  }
}
