package import Wormhole

/// What one run of a recorded function does.
package struct TraceReport: Sendable, Encodable {
  /// The function.
  package let function: String
  /// Types and shapes of its inputs.
  package let inputs: [String]
  /// Commands, bytes, instructions and the time they take at least.
  package internal(set) var work: WorkReport
}

/// A function recorded on the card: inputs at fixed addresses, one command list, results that the
/// card delivers into host memory. Running it allocates nothing on the card.
final class CardTrace: Sendable {
  private enum Input {
    case matrix(Matrix)
    case rowTable(RowTable)
  }

  private struct Output {
    let matrix: Matrix
    /// Where the card delivers it; nil where host memory has no room, and it is fetched.
    let buffer: HostBuffer?
    let shape: [Int]
    let elementType: ElementType
  }

  private let program: CardProgram
  private let inputs: [Input]
  private let outputs: [Output]
  private let list: CommandList
  private let device: Device
  private let reportNumber: Int

  /// Records `body` for inputs of these shapes and types.
  init(
    _ name: String, _ program: CardProgram, like inputs: [Tensor], on device: Device,
    _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) {
    var places: [Input] = []
    var recorded: [Tensor] = []
    for input in inputs {
      let storage: CardTensor
      if input.elementType == .int32 {
        let table = try program.makeRowTable(count: input.count)
        places.append(.rowTable(table))
        storage = CardTensor(nil, rowTable: table, recordedBy: program)
      } else {
        let matrix = try program.makeMatrix(input.shape, as: .float32)
        places.append(.matrix(matrix))
        storage = CardTensor(matrix, recordedBy: program)
      }
      recorded.append(
        try Tensor(
          shape: input.shape, elementType: input.elementType, device: device, storage: storage))
    }
    var outputs: [Output] = []
    let results = try body(recorded)
    for result in results {
      guard result.cardTensor?.recording === program else {
        throw .device("\(device): the result \(result) of a trace was not computed on the card")
      }
      let matrix = try program.matrix(of: result)
      let buffer = try program.session.use { (card) throws(CardError) in
        try? card.allocateHostBuffer(for: matrix)
      }
      if let buffer { try program.download(matrix, to: buffer) }
      outputs.append(
        Output(
          matrix: matrix, buffer: buffer, shape: result.shape, elementType: result.elementType))
    }
    self.program = program
    self.inputs = places
    self.outputs = outputs
    self.device = device
    let (list, work) = try withExtendedLifetime((recorded, results)) { () throws(PI0Error) in
      try program.load()
    }
    self.list = list
    var report = TraceReport(function: name, inputs: inputs.map(\.description), work: work)
    for place in places {
      switch place {
      case .matrix(let matrix): report.work.hostBytesIn += matrix.byteCount
      case .rowTable(let table): report.work.hostBytesIn += 4 * table.count
      }
    }
    reportNumber = program.session.add(report)
  }

  /// Writes the inputs, rings, waits, reads the results.
  func run(_ inputs: [Tensor]) throws(PI0Error) -> [Tensor] {
    var values: [(Input, Tensor)] = []
    for (place, input) in zip(self.inputs, inputs) { values.append((place, try input.onHost())) }
    let results = try program.session.use { (card) throws(CardError) in
      for (place, input) in values {
        switch place {
        case .matrix(let matrix): try card.upload(input.numbers(), to: matrix)
        case .rowTable(let table): try card.upload(input.rowNumbers(), to: table)
        }
      }
      let report = try card.run(list)
      program.session.setEstimates(report.estimates, ofReport: reportNumber)
      var results: [[Float]] = []
      for output in outputs {
        if let buffer = output.buffer {
          results.append(try card.values(of: buffer))
        } else {
          results.append(try card.download(output.matrix))
        }
      }
      return results
    }
    var tensors: [Tensor] = []
    for (output, values) in zip(outputs, results) {
      tensors.append(
        try .fromFloats(shape: output.shape, type: output.elementType, device: device) {
          _ = $0.initialize(from: values)
        })
    }
    return tensors
  }
}

extension Tensor {
  /// int32 elements in host memory as row numbers; a negative one is a row that no table has.
  fileprivate func rowNumbers() -> [UInt32] {
    (0..<count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self) }
  }
}
