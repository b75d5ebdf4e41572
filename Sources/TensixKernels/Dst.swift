// Math and pack threads: rows of Dst and of the source registers that instructions mean.

/// Instructions of the matrix and vector unit from now on mean rows of this tile.
@inline(__always) func selectDst(_ tile: UInt32) { Thread.push(Tensix.setc16(1, 64 * tile)) }

/// After each instruction, SrcA, SrcB, Dst and fidelity counters move as the instruction's address
/// mode says.
func setAddressMode(_ mode: UInt32, sources: UInt32, destination: UInt32, bias: UInt32 = 0) {
  Thread.push(Tensix.setc16(7 + 2 * mode, sources))
  Thread.push(Tensix.setc16(23 + mode, destination))
  Thread.push(Tensix.setc16(48 + mode, bias))
}

/// Fields of an address mode: step of a source, back to where the last return went and on from
/// there, back to 0.
enum Move {
  @inline(__always) static func a(_ rows: UInt32) -> UInt32 { rows }
  static var aReturn: UInt32 { 1 << 6 }
  static var aClear: UInt32 { 1 << 7 }
  @inline(__always) static func b(_ rows: UInt32) -> UInt32 { rows << 8 }
  static var bReturn: UInt32 { 1 << 14 }
  static var bClear: UInt32 { 1 << 15 }
  static var dstReturn: UInt32 { 1 << 10 }
  static var dstClear: UInt32 { 1 << 11 }
  static var nextPhase: UInt32 { 1 << 13 }
}
