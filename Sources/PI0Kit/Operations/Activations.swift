extension Tensor {
  /// `x * sigmoid(x)`, as `torch.nn.functional.silu`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where x is not floating-point.
  public func silu() throws(PI0Error) -> Tensor {
    try activated(.silu)
  }

  /// `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`, as `gelu(approximate="tanh")`.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where x is not floating-point.
  public func gelu() throws(PI0Error) -> Tensor {
    try activated(.geluTanh)
  }

  private func activated(_ activation: Activation) throws(PI0Error) -> Tensor {
    let check = try OperandCheck(activation.rawValue, [("x", self)])
    try check.requireFloats()
    return try check.backend.activate(self, activation)
  }
}
