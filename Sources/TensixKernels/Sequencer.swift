/// BRISC: configures the tile, steps through the command list with the other tiles, and writes results
/// over NoC 1 (`Writer.swift`).
@c(kmain) public func sequencer() {
  NoC.writing.initialise()
  NoC.commanding.initialise()
  configureBackend()
  releaseCores()
  var master = Memory[Control.tileIndex] == 0 ? Master() : nil
  var sequence: UInt32 = 1
  while true {
    master?.release(sequence)
    waitForRelease(sequence)
    write(sequence)
    Memory[Control.doneWriter] = sequence
    waitForCores(sequence)
    Memory[Control.finished] = sequence
    arrive(sequence)
    sequence &+= 1
  }
}

/// The first tile's extra work: it alone knows the list, and hands out commands.
///
/// A command is released when all tiles have arrived from the one before, an independent one when
/// all have arrived from the one before that.
struct Master {
  var run: UInt32
  var list: UInt32 = 0
  /// Commands of the list that are released, that are announced, and all.
  var index: UInt32 = 0
  var announced: UInt32 = 0
  var count: UInt32 = 0
  /// Reads when the command is here that is announced next.
  var fetched: UInt32 = 0
  /// The newest command that tiles may run.
  var released: UInt32 = 0
  /// Arrivals from all commands with even, with odd numbers that were released.
  var even: UInt32 = 0
  var odd: UInt32 = 0
  /// Acknowledgements of all multicasts.
  var acknowledged = NoC.commanding.writesDone
  /// A command that was announced may not be here yet.
  var isAnnouncing = false

  /// The host has put the number before the first run's there; it may have rung already.
  init() { run = Memory[Control.completion] }

  /// This tile has finished all commands before `sequence`.
  mutating func release(_ sequence: UInt32) {
    // The next command comes where the one before `sequence` was.
    awaitArrivals(sequence &- 1)
    awaitMulticasts()
    // The host takes the rest of the list back, so that it can stop the tiles between commands.
    if Memory[Control.hostValid] == 0 { count = index }
    if released != sequence {
      if index == count {
        if count != 0 { complete(run) }
        repeat {
          run &+= 1
          Memory.wait(Control.doorbellRun) { $0 == run }
          (list, count) = (Memory[Control.doorbell], Memory[Control.doorbell + 4])
          (index, announced) = (0, 0)
          if count == 0 { complete(run) }
        } while count == 0
        fetch()
        announce(upTo: sequence)
      }
      send(release: sequence)
    }
    let next = sequence &+ 1
    announce(upTo: next)
    if isAnnouncing { awaitMulticasts() }
    if index < count, Memory[Buffer.command(next)] & CommandLayout.isIndependent != 0 {
      send(release: next)
    }
    announce(upTo: sequence &+ Buffer.commandsAhead)
  }

  /// All tiles have finished command `sequence`. Of a later one with the same parity none can have
  /// arrived, since it is not released before.
  func awaitArrivals(_ sequence: UInt32) {
    let expected = sequence & 1 == 0 ? even : odd
    Memory.wait(Control.arrivals(sequence)) { $0 == expected }
  }

  @inline(never) mutating func send(release sequence: UInt32) {
    if sequence & 1 == 0 {
      even &+= Memory[Control.tileCount]
    } else {
      odd &+= Memory[Control.tileCount]
    }
    send(sequence, from: Control.releaseSource(sequence), to: Control.release)
    released = sequence
    index += 1
  }

  /// Hands commands up to `last`, where the list has them, to all tiles, so that they can prepare for them.
  @inline(never) mutating func announce(upTo last: UInt32) {
    while announced < count {
      let sequence = released &+ 1 &+ announced &- index
      guard Int32(bitPattern: last &- sequence) >= 0 else { return }
      if isAnnouncing { awaitMulticasts() }
      isAnnouncing = true
      NoC.writing.awaitReads(fetched)
      multicast(
        Buffer.fetchedCommand(announced), to: Buffer.command(sequence),
        bytes: CommandLayout.byteCount)
      send(sequence, from: Control.announcedSource, to: Control.announced)
      announced += 1
      fetch()
    }
  }

  /// Asks DRAM for the command that is announced next.
  @inline(never) mutating func fetch() {
    guard announced < count else { return }
    fetched = NoC.writing.readsDone &+ 1
    NoC.writing.read(
      DRAMLocation(command: announced, ofListAt: list), to: Buffer.fetchedCommand(announced),
      bytes: CommandLayout.byteCount)
  }

  @inline(never) mutating func send(_ sequence: UInt32, from source: UInt32, to address: UInt32) {
    Memory[source] = sequence
    Memory.settle(source)
    multicast(source, to: address, bytes: 4)
  }

  /// What is multicast arrives in this order. Its source may be written again after ``awaitMulticasts()``.
  @inline(never) mutating func multicast(_ source: UInt32, to address: UInt32, bytes: UInt32) {
    NoC.commanding.multicast(source, to: address, bytes: bytes)
    acknowledged &+= Memory[Control.receiverCount]
  }

  @inline(never) mutating func awaitMulticasts() {
    NoC.commanding.awaitWrites(acknowledged)
    isAnnouncing = false
  }

  /// Every tile has had its results acknowledged, so whoever sees this sees them.
  func complete(_ run: UInt32) {
    Memory[Control.completion] = run
    Memory.settle(Control.completion)
    guard Memory[Control.hostValid] != 0 else { return }
    let hostAddress = Memory[Control.hostCompletion]
    guard hostAddress != Control.nowhere else { return }
    let awaited = NoC.writing.writesDone &+ 1
    NoC.writing.writeHost(Control.completion, to: hostAddress, bytes: 4)
    NoC.writing.awaitWrites(awaited)
  }
}

/// The tile arrives when all five cores have finished.
func waitForCores(_ sequence: UInt32) {
  Memory.wait(Control.doneReader) { $0 == sequence }
  Memory.wait(Control.doneUnpack) { $0 == sequence }
  Memory.wait(Control.doneMath) { $0 == sequence }
  Memory.wait(Control.donePack) { $0 == sequence }
}

func arrive(_ sequence: UInt32) {
  let awaited = NoC.writing.atomicsDone &+ 1
  NoC.writing.increment(
    Control.arrivals(sequence), at: Memory[Control.master], returning: Control.atomicReturn)
  while NoC.writing.atomicsDone != awaited {}
}

/// What no command changes. Formats are set by the unpack and pack programs, command by command.
func configureBackend() {
  Configuration[0] = 0
  Configuration[2] = 0
  // Unpackers: tile of 4 faces of 256, no compression
  Configuration[53] = 1 | 4 << 16
  Configuration[93] = 1 | 4 << 16
  Configuration[61] = 0xF | 0xF << 16
  Configuration[101] = 0xF | 0xF << 16
  Configuration[74] = 256 | 256 << 16
  Configuration[72] = 64 | 64 << 16
  Configuration[41] = 0
  Configuration[44] = 0
  Configuration[45] = 512
  Configuration[47] = 512
  Configuration[80] = 0
  Configuration[81] = 0
  // Packers
  Configuration[14] = 1
  Configuration[16] = 0
  Configuration[17] = 0
  Configuration[20] = 0xFFFF
  Configuration[21] = 0
  configurePacker(0, at: 56)
  configurePacker(1, at: 84)
  configurePacker(2, at: 96)
  configurePacker(3, at: 124)
}

func configurePacker(_ number: UInt32, at word: UInt32) {
  Configuration[24 + number] = 16 << 8
  Configuration[word] = 0
  Configuration[word + 3] = 0
  Configuration[152 + number] = 16 * number
}

/// Gives the other four cores their first instruction's address and lets them go.
func releaseCores() {
  Configuration[158] = Image.unpack
  Configuration[159] = Image.math
  Configuration[160] = Image.pack
  Configuration[161] = 7
  Configuration[162] = Image.reader
  Configuration[163] = 1
  // A read back orders the stores before the release; the simulator cannot read 158 to 163.
  Memory[0xFFB0_0000] = Configuration[2]
  Memory[0xFFB1_21B0] = 0
}
