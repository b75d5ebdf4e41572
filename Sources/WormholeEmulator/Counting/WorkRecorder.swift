import TensixISA
import Wormhole

/// Takes a card's counters apart by command: the first tile's release word says which one runs, its
/// completion word when the list has ended. Both are looked at between two turns of the tiles, a few
/// hundred cycles apart.
struct WorkRecorder {
  private static let kinds = WorkBound.allCases.count - 1
  /// Commands that nobody asks about are forgotten, the oldest first.
  private static let capacity = 4096
  private static let sampleCycles: UInt64 = 1000

  /// Busy cycles so far, of each unit of each tile, each link and each channel.
  private struct Snapshot {
    var clock: UInt64 = 0
    /// Tile by tile: matrix unit, vector unit, the busier unpacker, packers.
    var tiles: [UInt64] = []
    var links: [UInt64] = []
    var channels: [UInt64] = []
  }

  private var release: UInt32 = 0
  private var completion: UInt32 = 0
  private var begin: Snapshot?
  private var finished: [CommandEstimate] = []
  private var profile: WorkProfile?
  private var lastSample = Snapshot()

  /// What each command did that has ended since this was asked last.
  mutating func takeEstimates() -> [CommandEstimate] {
    defer { finished = [] }
    return finished
  }

  mutating func startProfile(_ card: WormholeEmulator, clock: UInt64) {
    profile = WorkProfile()
    lastSample = snapshot(card, clock)
  }

  mutating func takeProfile() -> WorkProfile? {
    defer { profile = nil }
    return profile
  }

  /// To be called between two turns of the tiles.
  @inline(__always)
  mutating func observe(_ card: WormholeEmulator, clock: UInt64) {
    guard let memory = card.tiles.first?.l1.memory else { return }
    let release = memory.load(fromByteOffset: Int(Control.release), as: UInt32.self)
    let completion = memory.load(fromByteOffset: Int(Control.completion), as: UInt32.self)
    if release != self.release || completion != self.completion {
      boundary(card, clock, release, completion)
    }
    if profile != nil, clock >= lastSample.clock + Self.sampleCycles { sample(card, clock) }
  }

  private mutating func boundary(
    _ card: WormholeEmulator, _ clock: UInt64, _ release: UInt32, _ completion: UInt32
  ) {
    let now = snapshot(card, clock)
    if let begin { finish(from: begin, to: now) }
    // Between lists nothing runs, and a card that starts writes zeros.
    let runs = release != self.release && release != 0
    // Of several that were released since, what they do counts for the last. More than a tile knows of are none of
    // ours: another program has other words there.
    let released = release &- self.release
    if runs && released <= Buffer.commandPlaces {
      for _ in 1..<max(1, released) { finish(from: now, to: now) }
    }
    begin = runs ? now : nil
    self.release = release
    self.completion = completion
  }

  private mutating func finish(from begin: Snapshot, to end: Snapshot) {
    let estimate = estimate(from: begin, to: end)
    if finished.count == Self.capacity { finished.removeFirst(Self.capacity / 2) }
    finished.append(estimate)
    profile?.commands.append((begin.clock, estimate))
  }

  private mutating func sample(_ card: WormholeEmulator, _ clock: UInt64) {
    let now = snapshot(card, clock)
    let time = Double(clock - lastSample.clock)
    func share(_ new: [UInt64], _ old: [UInt64], _ offset: Int, _ step: Int) -> Double {
      var busy: UInt64 = 0, count = 0
      for index in stride(from: offset, to: new.count, by: step) {
        busy += new[index] - old[index]
        count += 1
      }
      return min(100, 100 * Double(busy) / time / Double(max(1, count)))
    }
    let old = lastSample
    profile?.samples.append(
      (
        clock,
        (0..<4).map { share(now.tiles, old.tiles, $0, 4) }
          + [share(now.links, old.links, 0, 1), share(now.channels, old.channels, 0, 1)]
      ))
    lastSample = now
  }

  private func snapshot(_ card: WormholeEmulator, _ clock: UInt64) -> Snapshot {
    var snapshot = Snapshot(clock: clock)
    snapshot.tiles.reserveCapacity(4 * card.tiles.count)
    for tile in card.tiles {
      let work = tile.coprocessor.work
      snapshot.tiles.append(work[.matrix].busyCycles)
      snapshot.tiles.append(work[.vector].busyCycles)
      snapshot.tiles.append(max(work[.unpackerA].busyCycles, work[.unpackerB].busyCycles))
      snapshot.tiles.append(work[.packer].busyCycles)
    }
    snapshot.links = card.network.linkCycles
    snapshot.channels = card.network.channelCycles
    return snapshot
  }

  private func estimate(from old: Snapshot, to new: Snapshot) -> CommandEstimate {
    func most(_ new: [UInt64], _ old: [UInt64], _ offset: Int, _ step: Int) -> Int {
      stride(from: offset, to: new.count, by: step).map { Int(new[$0] - old[$0]) }.max() ?? 0
    }
    return CommandEstimate(
      cycles: Int(new.clock - old.clock),
      busyCycles: (0..<4).map { most(new.tiles, old.tiles, $0, 4) }
        + [most(new.links, old.links, 0, 1), most(new.channels, old.channels, 0, 1)])
  }
}
