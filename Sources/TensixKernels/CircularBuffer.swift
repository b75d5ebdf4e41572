/// Tiles in flight between two cores of one tile. The producer alone writes `pushed`, the consumer
/// alone writes `popped`; both only grow, so neither is ever reset. Between commands it is empty, but
/// for the right one.
struct CircularBuffer {
  let base: UInt32
  let depth: UInt32
  let slotBytes: UInt32
  let pushed: UInt32
  let popped: UInt32

  /// First operands; `format` says how large its slots are.
  @inline(__always) static func left(_ format: UInt32) -> CircularBuffer {
    let wide = format == DataFormat.float32
    return CircularBuffer(
      base: Buffer.left, depth: wide ? Buffer.leftDepth / 2 : Buffer.leftDepth,
      slotBytes: wide ? 4096 : 2048, pushed: Control.leftPushed, popped: Control.leftPopped)
  }
  /// Second operands.
  static var right: CircularBuffer {
    CircularBuffer(
      base: Buffer.right, depth: Buffer.rightDepth, slotBytes: 4096,
      pushed: Control.rightPushed, popped: Control.rightPopped)
  }
  /// Results.
  static var output: CircularBuffer {
    CircularBuffer(
      base: Buffer.output, depth: Buffer.outputDepth, slotBytes: 4096,
      pushed: Control.outputPushed, popped: Control.outputPopped)
  }

  /// How many slots are full.
  @inline(__always) var full: UInt32 { Memory[pushed] &- Memory[popped] }

  @inline(__always) func slot(_ number: UInt32) -> UInt32 {
    base + (number & (depth - 1)) * slotBytes
  }

  // MARK: Producer

  /// Waits until `count` slots are free and returns the number of the first.
  @inline(__always) func reserve(_ count: UInt32 = 1) -> UInt32 {
    let first = Memory[pushed]
    while first &+ count &- Memory[popped] > depth {}
    return first
  }
  @inline(__always) func push(_ count: UInt32 = 1) { Memory[pushed] = Memory[pushed] &+ count }

  // MARK: Consumer

  /// The number of the first full slot, which need not be full yet.
  @inline(__always) var first: UInt32 { Memory[popped] }
  /// Waits for slot `number`, which has not been popped.
  @inline(__always) func wait(for number: UInt32) {
    while Int32(bitPattern: Memory[pushed] &- number) <= 0 {}
  }
  /// Waits for a full slot and returns how many there are.
  @inline(__always) func waitForAny() -> UInt32 {
    let first = Memory[popped]
    while true {
      let count = Memory[pushed] &- first
      if count != 0 { return count }
    }
  }
  @inline(__always) func pop(_ count: UInt32 = 1) { Memory[popped] = Memory[popped] &+ count }
}
