import TensixISA

/// The circular buffers between the cores of a tile, as the card's own programs count what is in
/// them.
enum BufferCounters {
  private static let buffers = [
    (name: "left", pushed: Control.leftPushed, popped: Control.leftPopped, Buffer.leftDepth),
    (name: "right", pushed: Control.rightPushed, popped: Control.rightPopped, Buffer.rightDepth),
    (
      name: "output", pushed: Control.outputPushed, popped: Control.outputPopped, Buffer.outputDepth
    ),
  ]

  /// Where the counters are, in L1.
  static let addresses = Control.leftPushed..<Control.outputPopped + 4

  /// A core has stored to a counter: no buffer may hold more than fits, or less than nothing. Other
  /// programs than ours may have something else there.
  static func check(_ address: UInt32, in l1: L1) throws(Violation) {
    guard ProgramFunctions.name(at: Image.sequencer, in: l1) != nil else { return }
    for (name, pushed, popped, depth) in buffers where address == pushed || address == popped {
      guard (try? l1.checkRead(pushed, 4)) != nil, (try? l1.checkRead(popped, 4)) != nil else {
        return
      }
      func counter(_ address: UInt32) -> UInt32 {
        l1.memory.load(fromByteOffset: Int(address), as: UInt32.self)
      }
      let held = counter(pushed) &- counter(popped)
      guard held > depth else { return }
      if Int32(bitPattern: held) < 0 {
        throw Violation(
          "\(0 &- held) tiles more are taken out of the \(name) buffer than were put in.",
          remedy: "Wait for a tile before taking it.")
      }
      throw Violation(
        "The \(name) buffer, of \(depth) slots, is to hold \(held) tiles: the first are overwritten.",
        remedy: "Reserve slots before filling them.")
    }
  }
}
