/// Vector instructions that are run over and over, as code of the core's own: an instruction that the
/// coprocessor's encoding leaves room for pushes another one, so the core pushes one a cycle instead of one in
/// three.
struct Routine {
  private let start: UInt32

  /// What follows another routine, or nothing, in the place of this core's routines. It is there until
  /// others are written.
  @inline(__always)
  init(after other: Routine? = nil, _ body: (_ push: (UInt32) -> Void) -> Void) {
    var next = other.map { Memory[$0.start - 4] } ?? Buffer.routines(of: ownCore)
    start = next + 4
    let first = next
    next += 4
    body { instruction in
      Memory[next] = instruction << 2 | instruction >> 30
      next += 4
    }
    Memory[next] = 0x0000_8067  // return
    next += 4
    // The end stands in front.
    Memory[first] = next
    Memory.settle(first)
    // What the instruction cache has of earlier routines goes.
    Configuration[157] = 1 << ownCore
    Memory[0xFFB0_0000] = Configuration[2]
    for _ in 0..<8 { Memory[0xFFB0_0000] = next }
  }

  /// Pushes the instructions, all or those behind the first `skipped`.
  @inline(__always) func callAsFunction(skipping skipped: UInt32 = 0) {
    unsafeBitCast(UInt(start + 4 * skipped), to: (@convention(c) () -> Void).self)()
  }
}
