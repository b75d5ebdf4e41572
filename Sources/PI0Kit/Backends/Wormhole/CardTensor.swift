internal import Wormhole

/// Where a tensor's elements stand in its matrix.
enum MatrixLayout {
  /// `[product of the leading dimensions, last dimension]`
  case rows
  /// `[batch, heads, rows, width]` as `[batch * rows, heads * width]`, each head's width rounded up to
  /// whole tiles; the columns that this adds are zeros.
  case heads

  /// Columns of a head.
  static func headColumns(_ width: Int) -> Int { (width + 31) / 32 * 32 }
}

/// Memory of the card that holds a tensor.
enum CardMemory {
  /// Tiles of floats.
  case matrix(Matrix)
  /// Token ids, the input of a trace.
  case rowTable(RowTable)
  /// Frames of cameras, the input of a trace.
  case pictures(Pictures)
}

/// A tensor's elements in the card's DRAM.
final class CardTensor: DeviceStorage {
  let memory: CardMemory
  let layout: MatrixLayout
  private let session: CardSession
  /// The recording that computes the elements; nil where they are computed already.
  let recording: CardProgram?

  /// Elements that are there. The tensor owns their memory.
  init(_ matrix: Matrix, _ layout: MatrixLayout = .rows, in session: CardSession) {
    memory = .matrix(matrix)
    self.layout = layout
    self.session = session
    recording = nil
  }

  /// Elements that a recording computes, or is given. The recording owns their memory.
  init(
    _ memory: CardMemory, _ layout: MatrixLayout = .rows, recordedBy program: CardProgram
  ) {
    self.memory = memory
    self.layout = layout
    session = program.session
    recording = program
  }

  deinit {
    guard let matrix else { return }
    if let recording { recording.recycle(matrix) } else { session.free(matrix) }
  }

  /// The elements' tiles, if they are floats.
  var matrix: Matrix? {
    if case .matrix(let matrix) = memory { matrix } else { nil }
  }

  func download(
    shape: [Int], elementType: ElementType, device: Device
  ) throws(PI0Error) -> Tensor {
    guard recording == nil, let matrix else {
      throw .device("\(device): a value that is being recorded cannot be read yet")
    }
    let floats = try session.use { (card) throws(CardError) in try card.download(matrix) }
    return try .fromFloats(shape: shape, type: elementType, device: device) { out in
      switch layout {
      case .rows:
        _ = out.initialize(from: floats)
      case .heads:
        var next = 0
        forEachHeadRow(shape, columns: matrix.columns) { place in
          for i in 0..<shape[3] { out.initializeElement(at: next + i, to: floats[place + i]) }
          next += shape[3]
        }
      }
    }
  }
}

/// Calls `body` for each row of each head, in the order of a tensor `[batch, heads, rows, width]`, with the
/// place of its first element in a row-major matrix of the ``MatrixLayout/heads`` layout.
func forEachHeadRow(_ shape: [Int], columns: Int, _ body: (_ place: Int) -> Void) {
  let width = MatrixLayout.headColumns(shape[3])
  for item in 0..<shape[0] {
    for head in 0..<shape[1] {
      for row in 0..<shape[2] { body((item * shape[2] + row) * columns + head * width) }
    }
  }
}

extension Tensor {
  /// The elements on the card; nil where they are in host memory.
  var cardTensor: CardTensor? {
    guard case .device(let storage) = elements else { return nil }
    return storage as? CardTensor
  }
}
