import Wormhole

/// The two NoCs: who waits for whom, and what was carried.
///
/// A packet's head takes 9 cycles a hop and 5 at either end, and its body goes through each link at 32
/// bytes a cycle (NoC/README.md of the ISA documentation); DRAM gives or takes 24 bytes a cycle a
/// channel (DRAMTile/README.md).
struct Network {
  private static let hopCycles: UInt64 = 9
  private static let interfaceCycles: UInt64 = 5
  private static let linkBytes = 32
  private static let dramBytes = 24

  /// By NoC, place, and axis: when the link to the next place is free.
  private var links = [UInt64](repeating: 0, count: 2 * Grid.columns * Grid.rows * 2)
  private var channels = [UInt64](repeating: 0, count: 2 * DRAM.controllerCount)

  private(set) var counters = NetworkCounters()
  /// Cycles that each link and each channel has been at work.
  private(set) var linkCycles = [UInt64](repeating: 0, count: 2 * Grid.columns * Grid.rows * 2)
  private(set) var channelCycles = [UInt64](repeating: 0, count: 2 * DRAM.controllerCount)

  /// When `count` bytes that leave at `clock` are at their destination.
  mutating func send(
    _ count: Int, from: Grid.Place, to: Grid.Place, noc: Int, clock: UInt64
  ) -> UInt64 {
    let body = UInt64((count + Self.linkBytes - 1) / Self.linkBytes)
    var head = clock + Self.interfaceCycles
    var x = from.x, y = from.y
    // NoC 0 goes right, then down; NoC 1 up, then left. Both wrap around.
    func index(_ axis: Int) -> Int { ((noc * Grid.rows + y) * Grid.columns + x) * 2 + axis }
    func pass(_ axis: Int) {
      let link = index(axis)
      head = max(head, links[link])
      links[link] = head + body
      linkCycles[link] += body
      head += Self.hopCycles
    }
    if noc == 0 {
      while x != to.x {
        pass(0)
        x = x == Grid.columns - 1 ? 0 : x + 1
      }
      while y != to.y {
        pass(1)
        y = y == Grid.rows - 1 ? 0 : y + 1
      }
    } else {
      while y != to.y {
        pass(1)
        y = y == 0 ? Grid.rows - 1 : y - 1
      }
      while x != to.x {
        pass(0)
        x = x == 0 ? Grid.columns - 1 : x - 1
      }
    }
    counters.packets[noc] += 1
    counters.bytes[noc] += count
    return head + body + Self.interfaceCycles
  }

  /// The same for a packet that meets no other.
  static func arrival(
    _ count: Int, from: Grid.Place, to: Grid.Place, noc: Int, clock: UInt64
  ) -> UInt64 {
    let right = (to.x - from.x + Grid.columns) % Grid.columns
    let down = (to.y - from.y + Grid.rows) % Grid.rows
    let hops =
      noc == 0
      ? right + down : (Grid.columns - right) % Grid.columns + (Grid.rows - down) % Grid.rows
    let body = (count + linkBytes - 1) / linkBytes
    return clock + 2 * interfaceCycles + UInt64(hops) * hopCycles + UInt64(body)
  }

  /// A multicast is one packet, whoever receives it.
  mutating func countMulticast(_ count: Int, noc: Int) {
    counters.packets[noc] += 1
    counters.bytes[noc] += count
  }

  /// When a DRAM channel is through with `count` bytes that it is asked for at `clock`.
  mutating func access(
    controller: Int, address: UInt64, _ count: Int, isWrite: Bool, clock: UInt64
  ) -> UInt64 {
    let channel = 2 * controller + (address >> 30 & 1 == 0 ? 0 : 1)
    let cycles = UInt64((count + Self.dramBytes - 1) / Self.dramBytes)
    let end = max(clock, channels[channel]) + cycles
    channels[channel] = end
    channelCycles[channel] += cycles
    if isWrite {
      counters.dramWritten[channel] += count
    } else {
      counters.dramRead[channel] += count
    }
    return end
  }

  mutating func countHost(_ count: Int, isWrite: Bool) {
    if isWrite { counters.hostWritten += count } else { counters.hostRead += count }
  }
}

/// What the NoCs have carried.
package struct NetworkCounters: Equatable, Sendable {
  /// By NoC.
  package var packets = [0, 0]
  package var bytes = [0, 0]
  /// By channel.
  package var dramRead = [Int](repeating: 0, count: 12)
  package var dramWritten = [Int](repeating: 0, count: 12)
  /// Through the PCIe tile.
  package var hostRead = 0
  package var hostWritten = 0
}
