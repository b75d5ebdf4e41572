internal import TensixISA

/// What a command applies to its result before rounding.
package enum Activation: Hashable, Sendable, CaseIterable {
  case none
  /// x / (1 + exp(-x))
  case silu
  /// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  case gelu

  var code: UInt32 {
    switch self {
    case .none: ActivationCode.none
    case .silu: ActivationCode.silu
    case .gelu: ActivationCode.gelu
    }
  }
}
