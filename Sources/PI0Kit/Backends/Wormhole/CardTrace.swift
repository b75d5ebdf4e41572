package import Wormhole

/// What one run of a recorded function does.
package struct TraceReport: Sendable, Encodable {
  /// The function.
  package let function: String
  /// Types and shapes of its inputs.
  package let inputs: [String]
  /// Commands, bytes, instructions and the time they take at least.
  package internal(set) var work: WorkReport
  /// Operations on tensors that the commands carry out: all that there are between inputs and results.
  package let operations: Int
  /// The commands, one by one.
  package let plan: [CommandPlan]

  private enum CodingKeys: String, CodingKey { case function, inputs, work, operations }
}

/// A function recorded on the card: inputs at fixed addresses, one command list, results that the
/// card delivers into host memory. Running it allocates nothing on the card.
final class CardTrace: Sendable {
  private struct Output {
    let matrix: Matrix
    /// Where the card delivers it; nil where host memory has no room, and it is fetched.
    let buffer: HostBuffer?
    let shape: [Int]
    let elementType: ElementType
  }

  private let program: CardProgram
  private let inputs: [CardMemory]
  private let outputs: [Output]
  private let list: CommandList
  private let device: Device
  private let reportNumber: Int

  /// Records `body` for inputs of these shapes and types, and brings what it needs to the card.
  init(
    _ name: String, _ program: CardProgram, like inputs: [Tensor], on device: Device,
    onProgress: (_ done: Int, _ total: Int) -> Void,
    _ body: ([Tensor]) throws(PI0Error) -> [Tensor]
  ) throws(PI0Error) {
    var places: [CardMemory] = []
    var recorded: [Tensor] = []
    for input in inputs {
      let place = try program.makeInput(input)
      places.append(place)
      recorded.append(
        try Tensor(
          shape: input.shape, elementType: input.elementType, device: device,
          storage: CardTensor(place, recordedBy: program)))
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
    let loaded = try withExtendedLifetime((recorded, results)) { () throws(PI0Error) in
      try program.load(onProgress: onProgress)
    }
    list = loaded.list
    var report = TraceReport(
      function: name, inputs: inputs.map(\.description), work: loaded.report,
      operations: program.operations, plan: loaded.plan)
    for place in places {
      switch place {
      case .matrix(let matrix): report.work.hostBytesIn += matrix.byteCount
      case .rowTable(let table): report.work.hostBytesIn += 4 * table.count
      case .pictures(let pictures): report.work.hostBytesIn += pictures.byteCount
      }
    }
    reportNumber = program.session.add(report)
  }

  /// Writes the inputs, rings, waits, reads the results.
  func run(_ inputs: [Tensor]) throws(PI0Error) -> [Tensor] {
    var values: [(CardMemory, Tensor)] = []
    for (place, input) in zip(self.inputs, inputs) { values.append((place, try input.onHost())) }
    let results = try program.session.use { (card) throws(CardError) in
      for (place, input) in values {
        switch place {
        case .matrix(let matrix): try card.upload(input.numbers(), to: matrix)
        case .rowTable(let table): try card.upload(input.rowNumbers(), to: table)
        case .pictures(let pictures): try card.upload(input.bytes, to: pictures)
        }
      }
      let report = try card.run(list, deadline: card.transport.runDeadline)
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
