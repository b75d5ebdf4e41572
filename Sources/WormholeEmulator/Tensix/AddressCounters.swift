/// The counters from which unpackers and packers compute addresses: for each thread those of unpacker
/// 0, unpacker 1 and the packers, each with two channels, for L1's side and the registers' side
/// (tt-isa-documentation, TensixCoprocessor/ADCs.md).
final class AddressCounters {
  /// x, y, z, w.
  typealias Point = SIMD4<UInt32>

  struct Channel {
    var value = Point.zero
    /// What a counter returns to.
    var origin = Point.zero
  }

  struct Engine {
    /// Channel 0 is the source: L1 for an unpacker, Dst for a packer. Channel 1 is where data go.
    var source = Channel()
    var destination = Channel()
  }

  /// Bits of each counter.
  static let masks = Point(0x3FFFF, 0x1FFF, 0xFF, 0xFF)
  static let engines = 3
  static let packers = 2

  let counters: UnsafeMutablePointer<Engine>

  init() {
    counters = .allocate(capacity: Configuration.threadCount * Self.engines)
    counters.initialize(repeating: Engine(), count: Configuration.threadCount * Self.engines)
  }

  deinit { counters.deallocate() }

  func engine(_ engine: Int, thread: Int) -> UnsafeMutablePointer<Engine> {
    counters + thread * Self.engines + engine
  }

  /// SETADC, SETADCXY, INCADCXY, ADDRCRXY, SETADCZW, INCADCZW, ADDRCRZW, SETADCXX.
  func execute(_ instruction: UInt32, opcode: UInt8, thread: Int) throws(Violation) {
    let engines = instruction >> 21
    guard engines & 7 != 0 else {
      throw Violation(
        "address counters of no engine are changed",
        remedy: "select unpacker 0 (1), unpacker 1 (2) or the packers (4)")
    }
    for engine in 0..<Self.engines where engines >> UInt32(engine) & 1 != 0 {
      try change(self.engine(engine, thread: thread), instruction, opcode)
    }
  }

  private func change(
    _ engine: UnsafeMutablePointer<Engine>, _ instruction: UInt32, _ opcode: UInt8
  )
    throws(Violation)
  {
    switch opcode {
    case 0x50:
      let value = instruction & 0x3FFFF
      guard value <= 0xFFFF else {
        throw Violation(
          "SETADC to 0x\(String(value, radix: 16))", remedy: "bits 16 and 17 are not modelled")
      }
      let dimension = Int(instruction >> 18 & 3)
      let masked = value & Self.masks[dimension]
      if instruction >> 20 & 1 == 0 {
        set(&engine.pointee.source, dimension, masked)
      } else {
        set(&engine.pointee.destination, dimension, masked)
      }
    case 0x5E:
      guard instruction & 0x10_0000 == 0 else { throw Self.unknownBits(instruction) }
      set(&engine.pointee.source, 0, instruction & 0x3FF)
      set(&engine.pointee.destination, 0, instruction >> 10 & 0x3FF)
    default:
      try changePair(engine, instruction, opcode)
    }
  }

  /// x and y, or z and w, of both channels.
  private func changePair(
    _ engine: UnsafeMutablePointer<Engine>, _ instruction: UInt32, _ opcode: UInt8
  ) throws(Violation) {
    let increments = opcode == 0x52 || opcode == 0x55
    guard instruction & (increments ? 0x1C_003F : 0x1C_0030) == 0 else {
      throw Self.unknownBits(instruction)
    }
    let first = opcode >= 0x54 ? 2 : 0
    let selected = increments ? 0xF : instruction & 0xF
    guard selected != 0 else {
      throw Violation("no address counter is selected", remedy: "set the bit of one at least")
    }
    for index in 0..<4 where selected >> UInt32(index) & 1 != 0 {
      let value = instruction >> UInt32(6 + 3 * index) & 7
      let dimension = first + index & 1
      if index < 2 {
        change(&engine.pointee.source, dimension, value, opcode)
      } else {
        change(&engine.pointee.destination, dimension, value, opcode)
      }
    }
  }

  private func change(
    _ channel: inout Channel, _ dimension: Int, _ value: UInt32, _ opcode: UInt8
  ) {
    switch opcode {
    case 0x51, 0x54: set(&channel, dimension, value)
    case 0x52, 0x55:
      channel.value[dimension] = (channel.value[dimension] &+ value) & Self.masks[dimension]
    default:
      set(&channel, dimension, (channel.origin[dimension] &+ value) & Self.masks[dimension])
    }
  }

  private func set(_ channel: inout Channel, _ dimension: Int, _ value: UInt32) {
    channel.value[dimension] = value
    channel.origin[dimension] = value
  }

  private static func unknownBits(_ instruction: UInt32) -> Violation {
    Violation(
      "instruction 0x\(String(instruction, radix: 16)) sets bits that mean nothing",
      remedy: "leave them 0")
  }
}
