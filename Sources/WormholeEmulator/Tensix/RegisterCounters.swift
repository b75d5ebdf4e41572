/// Each thread's row counters of SrcA, SrcB and Dst, its fidelity phase and its choice of address
/// modes (tt-isa-documentation, TensixCoprocessor/RWCs.md).
final class RegisterCounters {
  /// A counter, and the value that it returns to.
  struct Counter {
    var value: UInt32 = 0
    var origin: UInt32 = 0

    @inline(__always) mutating func step(
      by step: UInt32, returning: Bool, clearing: Bool, modulus mask: UInt32
    ) {
      if clearing {
        value = 0
        origin = 0
      } else if returning {
        origin = (origin &+ step) & mask
        value = origin
      } else {
        value = (value &+ step) & mask
      }
    }

    mutating func set(_ new: UInt32) {
      value = new
      origin = new
    }
  }

  struct Thread {
    var sourceA = Counter()
    var sourceB = Counter()
    var destination = Counter()
    var fidelity: UInt32 = 0
    var bias: UInt32 = 0
    /// Instructions that the thread has carried out, of all units.
    var instructions: UInt64 = 0
  }

  static let sourceMask: UInt32 = 63
  static let destinationMask: UInt32 = 1023

  let threads: UnsafeMutablePointer<Thread>
  private let configuration: Configuration

  init(configuration: Configuration) {
    self.configuration = configuration
    threads = .allocate(capacity: Configuration.threadCount)
    threads.initialize(repeating: Thread(), count: Configuration.threadCount)
  }

  deinit { threads.deallocate() }

  /// To be called for each instruction that a thread carries out, of whatever unit.
  @inline(__always) func countInstruction(thread: Int) { threads[thread].instructions &+= 1 }

  /// Moves the counters after an instruction, as its address mode says.
  @inline(__always) func advance(
    addressMode: UInt32, thread: Int, movesFidelity: Bool = true
  ) throws(Violation) {
    let registers = configuration.threadRegisters + thread * Configuration.threadStride
    let counters = threads + thread
    var mode = Int(addressMode)
    if counters.pointee.bias | registers[2] & 1 != 0 { mode += 4 }
    let sources = registers[7 + 2 * mode]
    let destination = registers[23 + mode]
    let bias = registers[48 + mode]
    counters.pointee.sourceA.step(
      by: sources & 0x3F, returning: sources & 0x40 != 0, clearing: sources & 0x80 != 0,
      modulus: Self.sourceMask)
    counters.pointee.sourceB.step(
      by: sources >> 8 & 0x3F, returning: sources & 0x4000 != 0, clearing: sources & 0x8000 != 0,
      modulus: Self.sourceMask)
    if destination & 0x1000 != 0 {
      guard destination & 0xC00 == 0 else {
        throw Violation(
          "address mode \(mode) sets Dst's origin and returns or clears Dst, too",
          remedy: "set one of the three")
      }
      counters.pointee.destination.set(
        (counters.pointee.destination.value &+ destination & 0x3FF) & Self.destinationMask)
    } else {
      counters.pointee.destination.step(
        by: destination & 0x3FF, returning: destination & 0x400 != 0,
        clearing: destination & 0x800 != 0, modulus: Self.destinationMask)
    }
    if movesFidelity {
      counters.pointee.fidelity =
        destination & 0x8000 != 0 ? 0 : (counters.pointee.fidelity + destination >> 13) & 3
    }
    if bias != 0 {
      guard bias == 1 else {
        throw Violation(
          "address mode \(mode) moves the bias by 0x\(String(bias, radix: 16))",
          remedy: "0 or 1 are modelled")
      }
      counters.pointee.bias ^= 1
    }
  }
}
