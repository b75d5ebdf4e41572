/// Checks an operation's operands and says, where they do not fit, which operation and what shapes.
struct OperandCheck {
  let operation: String
  let operands: [(name: String, tensor: Tensor)]

  /// Throws where the operands live on different devices.
  init(_ operation: String, _ operands: [(name: String, tensor: Tensor?)]) throws(PI0Error) {
    self.operation = operation
    self.operands = operands.compactMap { operand in
      operand.tensor.map { (operand.name, $0) }
    }
    let device = self.operands.first?.tensor.device
    for operand in self.operands {
      try require(
        operand.tensor.device == device,
        "operands are on different devices: "
          + self.operands.map { "\($0.name) on \($0.tensor.device)" }.joined(separator: ", "))
    }
  }

  /// The backend that all operands live on. An operation without operands has none to ask.
  var backend: any Backend { (operands.first?.tensor.device ?? .reference).backend }

  /// The type that all floating-point operands combine to.
  var promotedType: ElementType {
    var type = operands.first?.tensor.elementType ?? .float32
    for operand in operands { type = .promoted(type, operand.tensor.elementType) }
    return type
  }

  /// Throws an error that prints every operand unless `condition` holds.
  func require(_ condition: Bool, _ reason: @autoclosure () -> String) throws(PI0Error) {
    guard condition else { throw error(reason()) }
  }

  /// Throws unless all operands are floating-point.
  func requireFloats() throws(PI0Error) {
    for operand in operands {
      try require(operand.tensor.elementType.isFloat, "\(operand.name) must be floating-point")
    }
  }

  /// `axis` counted from the front; negative axes count from the back.
  func axis(_ axis: Int, rank: Int) throws(PI0Error) -> Int {
    try require((-rank..<rank).contains(axis), "there is no axis \(axis)")
    return axis < 0 ? axis + rank : axis
  }

  func error(_ reason: String) -> PI0Error {
    .operation(operation, reason: reason, operands: operands.map { "\($0.name): \($0.tensor)" })
  }
}
