// Math thread: the vector unit on fp32 accumulators, 32 values a step, 32 steps a tile.

/// A multiply-add needs one idle instruction before its result is used.
@inline(__always) func vector(_ instruction: UInt32) {
  Thread.push(instruction)
  Thread.push(VectorUnit.nop)
}

@inline(__always) func setVectorRegister(_ register: UInt32, _ bits: UInt32) {
  Thread.push(VectorUnit.loadLow(register, bits))
  Thread.push(VectorUnit.loadHigh(register, bits))
}

@inline(__always) func setVectorConstant(_ register: UInt32, _ bits: UInt32) {
  setVectorRegister(0, bits)
  Thread.push(VectorUnit.setConstant(register))
}

/// The vector unit waits for the matrix unit; address mode 3 does not move.
func beginVector() {
  Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.vector))
  setAddressMode(3, sources: 0, destination: 0)
  Thread.push(Tensix.setrwcZero())
}

/// Applies the activation to `tiles` tiles of Dst.
func activate(_ activation: UInt32, tiles: UInt32, from first: UInt32) {
  guard activation != ActivationCode.none else { return }
  beginVector()
  setGateConstants(activation)
  for tile in first..<first + tiles {
    selectDst(tile)
    for step: UInt32 in 0..<32 {
      Thread.drain()
      gate(row: 2 * step, gelu: activation == ActivationCode.gelu)
    }
  }
  Thread.push(Tensix.stallwait(until: Idle.vector, blocking: Block.matrix))
  restoreModeThree()
  Thread.drain()
}

/// Mode 3 as products have it.
func restoreModeThree() {
  setAddressMode(
    3, sources: Move.bReturn | Move.b(48) | Move.aReturn | Move.a(32),
    destination: Move.dstReturn, bias: 1)
}

/// Both activations are x / (1 + 2^t): t = -x / ln 2 for SiLU, x (c1 + c2 x^2) for gelu.
func setGateConstants(_ activation: UInt32) {
  setVectorConstant(11, 0x3E75_FDF0)  // coefficients of 2^f
  setVectorConstant(12, 0x3F31_7218)  // ln 2
  setVectorConstant(13, 0xCB40_0000)  // -1.5 * 2^23
  setVectorConstant(14, 0x7EF3_11C7)  // first guess of a reciprocal: this minus the bits
  setVectorRegister(
    4, activation == ActivationCode.gelu ? 0xC013_5761 : 0xBFB8_AA3B)  // -2.3022082, -1 / ln 2
  setVectorRegister(5, 0x4B40_0000)  // 1.5 * 2^23
  setVectorRegister(6, 0x3C1D_955B)
  setVectorRegister(7, 0x3D63_5847)
}

@inline(__always) func gate(row: UInt32, gelu: Bool) {
  Thread.push(VectorUnit.load(0, row: row))
  if gelu {
    vector(VectorUnit.multiply(1, 0, 0))
    setVectorRegister(2, 0xBDD2_D3E8)  // -0.10294324
    vector(VectorUnit.mad(1, 1, 2, 4))
    vector(VectorUnit.multiply(1, 1, 0))
  } else {
    vector(VectorUnit.multiply(1, 0, 4))
  }
  // -120 <= t <= 120, beyond which nothing changes in x / (1 + 2^t)
  Thread.push(VectorUnit.loadShort(2, 0x42F0_0000))
  vector(VectorUnit.sort(larger: 2, smaller: 1))
  Thread.push(VectorUnit.loadShort(2, 0xC2F0_0000))
  vector(VectorUnit.sort(larger: 1, smaller: 2))
  vector(VectorUnit.add(2, 1, 5))  // integer part in the low bits
  vector(VectorUnit.add(3, 2, 13))  // integer part as a float
  Thread.push(VectorUnit.negate(3, 3))
  vector(VectorUnit.add(1, 3, 1))  // f = t - integer part
  vector(VectorUnit.mad(3, 6, 1, 7))  // 2^f by Horner's rule
  vector(VectorUnit.mad(3, 3, 1, 11))
  vector(VectorUnit.mad(3, 3, 1, 12))
  vector(VectorUnit.mad(3, 3, 1, VectorUnit.one))
  Thread.push(VectorUnit.shiftLeft(2, 23))
  Thread.push(VectorUnit.integerAdd(3, 2))  // times 2^integer part
  vector(VectorUnit.add(3, 3, VectorUnit.one))  // d = 1 + 2^t
  Thread.push(VectorUnit.move(2, 3))
  Thread.push(VectorUnit.integerSubtract(2, from: 14))  // y = about 1 / d
  Thread.push(VectorUnit.negate(3, 3))
  for _ in 0..<3 {  // y += y (1 - d y)
    vector(VectorUnit.mad(1, 3, 2, VectorUnit.one))
    vector(VectorUnit.mad(2, 1, 2, 2))
  }
  vector(VectorUnit.multiply(3, 0, 2))
  Thread.push(VectorUnit.store(3, row: row))
}
