/// The plainest code that equals PyTorch. Its loops are meant to be checked against the formula;
/// what they lack in speed the other backends have.
///
/// Values are float32 throughout, one rounding at the end where the result is a 16-bit type.
struct ReferenceBackend: Backend {

  /// A float32 copy of each operand is not made where it is float32 already.
  func compute(
    _ shape: [Int], _ type: ElementType, like x: Tensor,
    _ body: (UnsafeMutableBufferPointer<Float>) throws(PI0Error) -> Void
  ) throws(PI0Error) -> Tensor {
    try .fromFloats(shape: shape, type: type, device: x.device, compute: body)
  }
}
