// Math and pack threads: what normalize, rotate and attention have in common.

/// Where vector `v` of four is in strip `strip` of eight: four rows of a tile, even or odd columns of one
/// half.
@inline(__always) func vectorRow(_ tile: UInt32, _ strip: UInt32, _ v: UInt32) -> UInt32 {
  64 * tile + (strip >> 2) * 32 + (strip & 3) * 4 + (v & 1) * 2 + (v >> 1) * 16
}

/// Instructions mean rows of this strip of a tile.
@inline(__always) func selectStrip(_ tile: UInt32, _ strip: UInt32) {
  Thread.push(Tensix.setc16(1, vectorRow(tile, strip, 0)))
}

/// The eight lanes of a row of L0 become their sum, or their maximum; L1 is lost.
@inline(__always) func combineRow(_ push: (UInt32) -> Void = Thread.push, _ step: () -> Void) {
  vector(push, VectorUnit.rotateRow(1, 0))
  step()
  vector(push, VectorUnit.rotateRow(1, 0))
  vector(push, VectorUnit.rotateRow(1, 1))
  step()
  vector(push, VectorUnit.rotateRow(1, 0))
  for _ in 0..<3 { vector(push, VectorUnit.rotateRow(1, 1)) }
  step()
}

/// 1 / L0 to L0, of a normal number; L1 and L2 are lost. `guess` holds 0x7EF311C7.
@inline(__always) func reciprocal(_ push: (UInt32) -> Void = Thread.push, guess: UInt32) {
  push(VectorUnit.move(1, 0))
  push(VectorUnit.integerSubtract(1, from: guess))
  push(VectorUnit.negate(0, 0))
  for _ in 0..<3 {  // y += y (1 - d y)
    vector(push, VectorUnit.mad(2, 0, 1, VectorUnit.one))
    vector(push, VectorUnit.mad(1, 1, 2, 1))
  }
  push(VectorUnit.move(0, 1))
}

/// 1 / sqrt(L0) to L0; L1 and L2 are lost. `guess` holds 0x5F3759DF, `half` 1.5.
@inline(__always) func reciprocalRoot(guess: UInt32, half: UInt32) {
  Thread.push(VectorUnit.move(1, 0))
  Thread.push(VectorUnit.shiftRight(1, 1))
  Thread.push(VectorUnit.integerSubtract(1, from: guess))
  Thread.push(VectorUnit.loadShort(2, 0xBF00_0000))  // -0.5
  vector(VectorUnit.multiply(0, 0, 2))
  for _ in 0..<3 {  // y *= 1.5 - x / 2 y^2
    vector(VectorUnit.multiply(2, 1, 1))
    vector(VectorUnit.mad(2, 2, 0, half))
    vector(VectorUnit.multiply(1, 1, 2))
  }
  Thread.push(VectorUnit.move(0, 1))
}
