/// Tiles in flight between two cores of one tile. The producer alone writes `pushed`, the consumer
/// alone writes `popped`; both only grow, so neither is ever reset. Between commands it is empty, but
/// for the right one.
///
/// Tiles have numbers, and both counters count slots: a tile of a wide format takes `1 << shift` of them, and
/// begins at a multiple of that.
struct CircularBuffer {
  let base: UInt32
  let depth: UInt32
  let slotBytes: UInt32
  let shift: UInt32
  let pushed: UInt32
  let popped: UInt32

  /// First operands; `format` says how large its slots are.
  @inline(__always) static func left(_ format: UInt32) -> CircularBuffer {
    let wide = format == DataFormat.float32
    return CircularBuffer(
      base: Buffer.left, depth: wide ? Buffer.leftDepth / 2 : Buffer.leftDepth,
      slotBytes: wide ? 4096 : 2048, shift: 0, pushed: Control.leftPushed,
      popped: Control.leftPopped)
  }
  /// Second operands of a format; those of one command may come while another's are still there.
  @inline(__always) static func right(_ format: UInt32) -> CircularBuffer {
    CircularBuffer(
      base: Buffer.right, depth: Buffer.rightDepth, slotBytes: Buffer.rightSlotBytes,
      shift: format == DataFormat.bfp8 ? 0 : format == DataFormat.bfloat16 ? 1 : 2,
      pushed: Control.rightPushed, popped: Control.rightPopped)
  }
  /// Results.
  static var output: CircularBuffer {
    CircularBuffer(
      base: Buffer.output, depth: Buffer.outputDepth, slotBytes: 4096,
      shift: 0, pushed: Control.outputPushed, popped: Control.outputPopped)
  }

  /// How many tiles fit.
  @inline(__always) var capacity: UInt32 { depth &>> shift }
  /// How many slots are full.
  @inline(__always) var full: UInt32 { Memory[pushed] &- Memory[popped] }

  @inline(__always) func slot(_ number: UInt32) -> UInt32 {
    base + (number &<< shift & (depth - 1)) * slotBytes
  }

  /// The first tile that begins at or behind a slot.
  @inline(__always) private func number(at slot: UInt32) -> UInt32 {
    (slot &+ 1 &<< shift &- 1) &>> shift
  }

  // MARK: Producer

  /// The number of the next tile to be pushed.
  @inline(__always) var next: UInt32 { number(at: Memory[pushed]) }
  /// Whether `count` tiles from there on fit.
  @inline(__always) func hasRoom(_ count: UInt32) -> Bool {
    (next &+ count) &<< shift &- Memory[popped] <= depth
  }
  /// Waits until `count` tiles fit and returns the number of the first.
  @inline(__always) func reserve(_ count: UInt32 = 1) -> UInt32 {
    let first = next
    while (first &+ count) &<< shift &- Memory[popped] > depth {}
    return first
  }
  /// Nothing pushed is nothing, not even the way to where a tile may begin; so it is with popping.
  @inline(__always) func push(_ count: UInt32 = 1) {
    guard count != 0 else { return }
    Memory[pushed] = (next &+ count) &<< shift
  }

  // MARK: Consumer

  /// The number of the first tile, which need not be there yet.
  @inline(__always) var first: UInt32 { number(at: Memory[popped]) }
  /// The first tile that is not there yet.
  @inline(__always) var end: UInt32 { Memory[pushed] &>> shift }
  /// Waits for tile `number`, which has not been popped.
  @inline(__always) func wait(for number: UInt32) {
    while Int32(bitPattern: Memory[pushed] &- number &<< shift) <= 0 {}
  }
  /// Waits for a full slot and returns how many there are.
  @inline(__always) func waitForAny() -> UInt32 {
    let first = Memory[popped]
    while true {
      let count = Memory[pushed] &- first
      if count != 0 { return count }
    }
  }
  @inline(__always) func pop(_ count: UInt32 = 1) {
    guard count != 0 else { return }
    Memory[popped] = (first &+ count) &<< shift
  }
}
