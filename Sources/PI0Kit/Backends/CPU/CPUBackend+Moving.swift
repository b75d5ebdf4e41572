extension CPUBackend {
  func concat(_ tensors: [Tensor], axis: Int, shape: [Int]) throws(PI0Error) -> Tensor {
    try reference.concat(tensors, axis: axis, shape: shape)
  }

  func slice(
    _ x: Tensor, axis: Int, range: Range<Int>, shape: [Int]
  ) throws(PI0Error) -> Tensor {
    try reference.slice(x, axis: axis, range: range, shape: shape)
  }

  func reshape(_ x: Tensor, shape: [Int]) throws(PI0Error) -> Tensor {
    try reference.reshape(x, shape: shape)
  }

  func permute(_ x: Tensor, order: [Int], shape: [Int]) throws(PI0Error) -> Tensor {
    try reference.permute(x, order: order, shape: shape)
  }

  func repeat_(_ x: Tensor, counts: [Int], shape: [Int]) throws(PI0Error) -> Tensor {
    try reference.repeat_(x, counts: counts, shape: shape)
  }

  func lookUp(_ tokens: Tensor, in table: Tensor, shape: [Int]) throws(PI0Error) -> Tensor {
    try reference.lookUp(tokens, in: table, shape: shape)
  }
}
