import Wormhole

/// The two NoCs: who waits for whom, and what was carried.
///
/// A packet's head takes 9 cycles a hop and 5 at either end, and its body goes through each link at 32
/// bytes a cycle (NoC/README.md of the ISA documentation); DRAM gives or takes 24 bytes a cycle a
/// channel (DRAMTile/README.md). Virtual channels share a link, so a packet takes what is left of a link's time
/// from its arrival on, and none waits for one that comes later.
struct Network {
  private static let hopCycles: UInt64 = 9
  private static let interfaceCycles: UInt64 = 5
  private static let linkBytes = 32
  private static let dramBytes = 24

  /// By NoC, place, and axis: how much of its time the link to the next place is taken.
  private var links = [LinkTime](repeating: LinkTime(), count: 2 * Grid.columns * Grid.rows * 2)
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
      head = links[link].take(body, from: head) + Self.hopCycles
      linkCycles[link] += body
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

  /// When `count` bytes are at each place of a rectangle, by its index: one packet that takes each link once.
  mutating func multicast(
    _ count: Int, from: Grid.Place, to: (x: ClosedRange<Int>, y: ClosedRange<Int>), noc: Int,
    clock: UInt64
  ) -> [UInt64] {
    let body = UInt64((count + Self.linkBytes - 1) / Self.linkBytes)
    let size = [Grid.columns, Grid.rows], ranges = [to.x, to.y]
    // The first axis and the second; NoC 0 goes along x first and up in coordinates.
    let first = noc == 0 ? 0 : 1, second = 1 - first, step = noc == 0 ? 1 : -1
    var arrivals = [UInt64](repeating: 0, count: Grid.columns * Grid.rows)
    func next(_ place: Int, _ axis: Int) -> Int { (place + step + size[axis]) % size[axis] }
    func pass(_ at: [Int], _ axis: Int, _ head: UInt64) -> UInt64 {
      let link = ((noc * Grid.rows + at[1]) * Grid.columns + at[0]) * 2 + axis
      linkCycles[link] += body
      return links[link].take(body, from: head) + Self.hopCycles
    }
    /// Goes along an axis to the last place of the rectangle.
    func walk(
      _ start: [Int], _ axis: Int, _ head: UInt64, _ body: ([Int], UInt64) -> Void
    ) {
      var at = start, head = head, left = ranges[axis].count
      while true {
        if ranges[axis].contains(at[axis]) {
          body(at, head)
          left -= 1
        }
        if left == 0 { return }
        head = pass(at, axis, head)
        at[axis] = next(at[axis], axis)
      }
    }
    walk([from.x, from.y], first, clock + Self.interfaceCycles) { at, head in
      walk(at, second, head) { at, head in
        arrivals[at[1] * Grid.columns + at[0]] = head + body + Self.interfaceCycles
      }
    }
    counters.packets[noc] += 1
    counters.bytes[noc] += count
    return arrivals
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

/// How much of a link's time is taken, in pieces, for as far ahead as anybody asks.
private struct LinkTime {
  private static let pieceCycles: UInt64 = 64
  private static let pieces = 1024

  /// Piece `n` is element `n` modulo their count, as long as that is the latest with that index.
  private var numbers = [UInt64](repeating: 0, count: pieces)
  private var taken = [UInt8](repeating: 0, count: pieces)

  /// Takes the next `cycles` that are free from `start` on; returns when a packet that is through when
  /// the last of them has passed would have begun.
  mutating func take(_ cycles: UInt64, from start: UInt64) -> UInt64 {
    guard cycles > 0 else { return start }
    var number = start / Self.pieceCycles, left = cycles
    var room = Self.pieceCycles - start % Self.pieceCycles
    while true {
      let index = Int(number % UInt64(Self.pieces))
      if numbers[index] < number { (numbers[index], taken[index]) = (number, 0) }
      if numbers[index] == number {
        let some = min(left, room, Self.pieceCycles - UInt64(taken[index]))
        taken[index] += UInt8(some)
        left -= some
        if left == 0 {
          let end = number * Self.pieceCycles + UInt64(taken[index])
          return end > start + cycles ? end - cycles : start
        }
      }
      number += 1
      room = Self.pieceCycles
    }
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
