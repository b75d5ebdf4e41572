// Math and pack threads: the vector unit on fp32 accumulators, 32 values a step, 32 steps a tile.

/// A multiply-add needs one idle instruction before its result is used.
@inline(__always) func vector(_ instruction: UInt32) { vector(Thread.push, instruction) }
@inline(__always) func vector(_ push: (UInt32) -> Void, _ instruction: UInt32) {
  push(instruction)
  push(VectorUnit.nop)
}

@inline(never) func setVectorRegister(_ register: UInt32, _ bits: UInt32) {
  Thread.push(VectorUnit.loadLow(register, bits))
  Thread.push(VectorUnit.loadHigh(register, bits))
}

@inline(never) func setVectorConstant(_ register: UInt32, _ bits: UInt32) {
  setVectorRegister(0, bits)
  Thread.push(VectorUnit.setConstant(register))
}

/// The vector unit waits for the matrix unit; address mode 3 does not move.
func beginVector() {
  Thread.push(Tensix.stallwait(until: Idle.matrix, blocking: Block.vector))
  setAddressMode(3, sources: 0, destination: 0)
  Thread.push(Tensix.setrwcZero())
}

/// Both activations are x / (1 + 2^t): t = -x / ln 2 for SiLU, x (c1 + c2 x^2) for gelu.
func setGateConstants(_ activation: UInt32) {
  setVectorConstant(11, 0x3C1D_955B)  // coefficients of 2^f, from that of f^4 on
  setVectorRegister(7, 0x3D63_5847)
  setVectorConstant(12, 0x3E75_FDF0)
  setVectorConstant(13, 0x3F31_7218)
  setVectorConstant(14, 0x7EF3_11C7)  // first guess of a reciprocal: this minus the bits
  setVectorRegister(
    6, activation == ActivationCode.gelu ? 0xC013_5761 : 0xBFB8_AA3B)  // -2.3022082, -1 / ln 2
}

/// One instruction for each of two vectors, whose registers are L0 to L2 and L3 to L5. So there is
/// always another one before a result is used.
@inline(__always) func both(
  _ push: (UInt32) -> Void, _ instruction: (_ x: UInt32, _ t: UInt32, _ p: UInt32) -> UInt32
) {
  push(instruction(0, 1, 2))
  push(instruction(3, 4, 5))
}

/// The activation of 64 values, in two vectors; where `factor` is not 0, times those as many rows further. If it is to
/// advance, the row counter then moves as address mode 2 says.
func gateRoutine(
  _ activation: UInt32, factor: UInt32 = 0, advances: Bool = false
) -> Routine? {
  guard activation != ActivationCode.none else { return nil }
  return Routine { push in gate(push, gelu: activation == ActivationCode.gelu, factor, advances) }
}

/// Applies it to a tile of Dst.
@inline(never) func gateTile(_ tile: UInt32, _ routine: Routine) {
  for step: UInt32 in 0..<16 {
    Thread.push(Tensix.setc16(1, 64 * tile + 4 * step))
    routine()
  }
}

@inline(__always)
private func gate(
  _ push: (UInt32) -> Void, gelu: Bool, _ factor: UInt32, _ advances: Bool
) {
  both(push) { x, _, _ in VectorUnit.load(x, row: x == 0 ? 0 : 2) }
  if gelu {
    both(push) { x, t, _ in VectorUnit.multiply(t, x, x) }
    both(push) { _, _, p in VectorUnit.loadLow(p, 0xBDD2_D3E8) }  // -0.10294324
    both(push) { _, _, p in VectorUnit.loadHigh(p, 0xBDD2_D3E8) }
    both(push) { _, t, p in VectorUnit.mad(t, t, p, 6) }
    both(push) { x, t, _ in VectorUnit.multiply(t, t, x) }
  } else {
    both(push) { x, t, _ in VectorUnit.multiply(t, x, 6) }
  }
  // -120 <= t <= 120, beyond which nothing changes in x / (1 + 2^t)
  both(push) { _, _, p in VectorUnit.loadShort(p, 0x42F0_0000) }
  both(push) { _, t, p in VectorUnit.sort(larger: p, smaller: t) }
  both(push) { _, _, p in VectorUnit.loadShort(p, 0xC2F0_0000) }
  both(push) { _, t, p in VectorUnit.sort(larger: t, smaller: p) }
  // To 1.5 * 2^23 added, t's integer part stands in the low bits.
  both(push) { _, t, p in VectorUnit.move(p, t) }
  both(push) { _, _, p in VectorUnit.addShort(p, 0x4B40_0000) }
  both(push) { x, _, p in VectorUnit.move(x, p) }
  both(push) { x, _, _ in VectorUnit.addShort(x, 0xCB40_0000) }
  both(push) { x, _, _ in VectorUnit.negate(x, x) }
  both(push) { x, t, _ in VectorUnit.add(t, x, t) }  // f = t - integer part
  both(push) { x, t, _ in VectorUnit.mad(x, 11, t, 7) }  // 2^f by Horner's rule
  both(push) { x, t, _ in VectorUnit.mad(x, x, t, 12) }
  both(push) { x, t, _ in VectorUnit.mad(x, x, t, 13) }
  both(push) { x, t, _ in VectorUnit.mad(x, x, t, VectorUnit.one) }
  both(push) { _, _, p in VectorUnit.shiftLeft(p, 23) }
  both(push) { x, _, p in VectorUnit.integerAdd(x, p) }  // times 2^integer part
  both(push) { x, _, _ in VectorUnit.add(x, x, VectorUnit.one) }  // d = 1 + 2^t
  both(push) { x, _, p in VectorUnit.move(p, x) }
  both(push) { _, _, p in VectorUnit.integerSubtract(p, from: 14) }  // y = about 1 / d
  both(push) { x, _, _ in VectorUnit.negate(x, x) }
  for _ in 0..<3 {  // y += y (1 - d y)
    both(push) { x, t, p in VectorUnit.mad(t, x, p, VectorUnit.one) }
    both(push) { _, t, p in VectorUnit.mad(p, t, p, p) }
  }
  both(push) { x, _, _ in VectorUnit.load(x, row: x == 0 ? 0 : 2) }
  if factor != 0 {
    both(push) { x, t, _ in VectorUnit.load(t, row: (x == 0 ? 0 : 2) + factor) }
    both(push) { x, _, p in VectorUnit.multiply(x, x, p) }
    both(push) { x, t, _ in VectorUnit.multiply(x, x, t) }
  } else {
    both(push) { x, _, p in VectorUnit.multiply(x, x, p) }
  }
  push(VectorUnit.store(0))
  push(advances ? VectorUnit.storeAdvancing(3, row: 2) : VectorUnit.store(3, row: 2))
}
