internal import Wormhole

/// A tensor's elements in the card's DRAM.
final class CardTensor: DeviceStorage {
  /// Its tiles, `[rows, last dimension]`; nil for the token ids of a trace, which are a table.
  let matrix: Matrix?
  /// Where row numbers lie on the card.
  let rowTable: RowTable?
  private let session: CardSession
  /// The recording that computes the elements; nil where they are computed already.
  let recording: CardProgram?

  /// Elements that are there. The tensor owns their memory.
  init(_ matrix: Matrix, in session: CardSession) {
    self.matrix = matrix
    rowTable = nil
    self.session = session
    recording = nil
  }

  /// Elements that a recording computes. The recording owns their memory.
  init(_ matrix: Matrix?, rowTable: RowTable? = nil, recordedBy program: CardProgram) {
    self.matrix = matrix
    self.rowTable = rowTable
    session = program.session
    recording = program
  }

  deinit {
    if recording == nil, let matrix { session.free(matrix) }
  }

  func download(
    shape: [Int], elementType: ElementType, device: Device
  ) throws(PI0Error) -> Tensor {
    guard recording == nil, let matrix else {
      throw .device("\(device): a value that is being recorded cannot be read yet")
    }
    let floats = try session.use { (card) throws(CardError) in try card.download(matrix) }
    return try .fromFloats(shape: shape, type: elementType, device: device) {
      _ = $0.initialize(from: floats)
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
