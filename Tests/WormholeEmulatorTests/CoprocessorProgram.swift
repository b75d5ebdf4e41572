import TensixISA
import XCTest

@testable import Wormhole
@testable import WormholeEmulator

/// What the three cores with a coprocessor thread do on one tile, as lists of stores, drains and
/// copies, and what they leave in L1: the same on any simulated card.
struct CoprocessorProgram {
  static let tile = TileCoordinate(x: 1, y: 1)
  /// Where a thread's core begins, and its list.
  private static let starts: [UInt32] = [0x6000, 0xA000, 0xE000]
  private static let lists: [UInt32] = [0x18000, 0x40000, 0x68000]
  private static let listBytes: UInt32 = 0x28000
  private static let flags: UInt32 = 0x17000
  /// Free for a program's data, to the end of L1.
  static let data: UInt32 = 0x90000

  private(set) var threads: [[UInt32]] = [[], [], []]
  private var queued = [0, 0, 0]
  private var isUnsettled = [false, false, false]
  private(set) var inputs: [(address: UInt32, bytes: [UInt8])] = []
  private(set) var outputs: [(address: UInt32, count: Int)] = []
  private var next = CoprocessorProgram.data

  // MARK: - Building

  /// An instruction for the coprocessor. `expands` is how many it becomes at most.
  mutating func push(_ instruction: UInt32, thread: Int = 0, expands: Int = 1) {
    // The official simulator's queue holds 511, and does not say when it is full.
    if queued[thread] + expands > 400 { drain(thread) }
    queued[thread] += expands
    if isUnsettled[thread] {
      // What the core has stored in the configuration is there before the instruction begins.
      isUnsettled[thread] = false
      push(Tensix.stallwait(until: Idle.configuration, blocking: 0x14D), thread: thread)
    }
    store(instruction, 0xFFE4_0000, thread)
  }

  mutating func configure(_ word: UInt32, _ value: UInt32, thread: Int = 0) {
    if queued[thread] > 0 { drain(thread) }
    store(value, 0xFFEF_0000 + 4 * word, thread)
    isUnsettled[thread] = true
  }

  mutating func store(_ value: UInt32, _ address: UInt32, _ thread: Int = 0) {
    threads[thread] += [address, value]
  }

  mutating func drain(_ thread: Int = 0) {
    threads[thread] += [1, 0]
    queued[thread] = 0
  }

  /// A word from `source` to `destination`, by the core.
  mutating func copy(_ source: UInt32, to destination: UInt32, thread: Int = 0) {
    threads[thread] += [2, source, destination, 0]
  }

  /// Bytes in L1 from the start; returns where.
  mutating func input(_ bytes: [UInt8]) -> UInt32 {
    let address = reserve(bytes.count)
    inputs.append((address, bytes))
    return address
  }

  /// Bytes that are read at the end. They are `filled` before.
  mutating func output(_ count: Int, filled: UInt8 = 0xA5) -> UInt32 {
    let address = reserve(count)
    inputs.append((address, [UInt8](repeating: filled, count: count)))
    outputs.append((address, count))
    return address
  }

  /// An input that is read at the end, too.
  mutating func changed(_ bytes: [UInt8]) -> UInt32 {
    let address = input(bytes)
    outputs.append((address, bytes.count))
    return address
  }

  private mutating func reserve(_ count: Int) -> UInt32 {
    let address = next
    next += UInt32(count + 63) & ~63
    return address
  }

  // MARK: - Running

  /// What the program leaves in its outputs.
  func run(on card: SimulatedTransport) throws -> [UInt8] {
    let tile = Self.tile
    try card.write32(TileMemory.allHeld, to: tile, at: TileMemory.softReset)
    for (address, bytes) in inputs { try card.write(bytes, to: tile, at: UInt64(address)) }
    for thread in 0..<3 {
      let list = threads[thread] + [0, 0]
      XCTAssertLessThan(4 * UInt32(list.count), Self.listBytes)
      try card.write(list, to: tile, at: UInt64(Self.lists[thread]))
      try card.write(Self.interpreter(thread), to: tile, at: UInt64(Self.starts[thread]))
    }
    try card.write([UInt32](repeating: 0, count: 4), to: tile, at: UInt64(Self.flags))
    // The cores B and NC stay where they are.
    try card.write32(0x40800, to: tile, at: TileMemory.softReset)
    for _ in 0..<100_000 {
      var flags = [UInt32](repeating: 0, count: 3)
      for thread in 0..<3 {
        flags[thread] = try card.read32(from: tile, at: UInt64(Self.flags) + 4 * UInt64(thread))
      }
      if flags == [1, 1, 1] {
        try card.write32(TileMemory.allHeld, to: tile, at: TileMemory.softReset)
        var result: [UInt8] = []
        for (address, count) in outputs {
          var bytes = [UInt8](repeating: 0, count: count)
          try bytes.withUnsafeMutableBytes {
            try card.read(into: $0, from: tile, at: UInt64(address))
          }
          result += bytes
        }
        return result
      }
      try card.advance()
    }
    throw NeverEnds(waits: card.standstill ?? "")
  }

  struct NeverEnds: Error {
    let waits: String
  }

  /// Carries out the list of `thread`.
  private static func interpreter(_ thread: Int) -> [UInt32] {
    let jump = { (from: Int, to: Int) in RISCV.jump(0, Int32(4 * (to - from))) }
    let head =
      RISCV.li(10, lists[thread]) + RISCV.li(13, 0xFFE8_0000)
      + RISCV.li(14, flags + 4 * UInt32(thread)) + [
        RISCV.addi(5, 0, 1), RISCV.addi(6, 0, 2),
      ]
    // Places, from the loop's start: store 6, drain 8, copy 12, end 17.
    let loop: [UInt32] = [
      RISCV.lw(11, 0, 10),
      RISCV.lw(12, 4, 10),
      RISCV.addi(10, 10, 8),
      RISCV.branch(0, 11, 0, 4 * (17 - 3)),
      RISCV.branch(0, 11, 5, 4 * (8 - 4)),
      RISCV.branch(0, 11, 6, 4 * (12 - 5)),
      RISCV.sw(12, 0, 11),
      jump(7, 0),
      RISCV.sw(0, 4, 13),
      RISCV.lw(7, 4, 13),
      RISCV.addi(7, 7, 1),
      jump(11, 0),
      RISCV.lw(7, 0, 12),
      RISCV.lw(8, 0, 10),
      RISCV.addi(10, 10, 8),
      RISCV.sw(7, 0, 8),
      jump(16, 0),
      RISCV.sw(0, 4, 13),
      RISCV.lw(7, 4, 13),
      RISCV.addi(7, 7, 1),
      RISCV.sw(5, 0, 14),
      jump(21, 21),
    ]
    return head + loop
  }
}

extension CoprocessorProgram {
  /// The value that thread 0's core has given a configuration word last.
  func word(_ word: UInt32) -> UInt32 {
    let list = threads[0]
    var index = list.count - 2
    while index >= 0 {
      if list[index] == 0xFFEF_0000 + 4 * word { return list[index + 1] }
      index -= 2
    }
    return 0
  }
}
