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
  var index: UInt32 = 0
  var count: UInt32 = 0
  /// The newest command that tiles may run.
  var released: UInt32 = 0
  /// Arrivals from all commands with even, with odd numbers that were released.
  var even: UInt32 = 0
  var odd: UInt32 = 0

  /// The host has put the number before the first run's there; it may have rung already.
  init() { run = Memory[Control.completion] }

  /// This tile has finished all commands before `sequence`.
  mutating func release(_ sequence: UInt32) {
    // The next command comes where the one before `sequence` was.
    awaitArrivals(sequence &- 1)
    // The host takes the rest of the list back, so that it can stop the tiles between commands.
    if Memory[Control.hostValid] == 0 { count = index }
    if released != sequence {
      if index == count {
        if count != 0 { complete(run) }
        repeat {
          run &+= 1
          Memory.wait(Control.doorbellRun) { $0 == run }
          (list, count, index) = (Memory[Control.doorbell], Memory[Control.doorbell + 4], 0)
          if count == 0 { complete(run) }
        } while count == 0
        announce(sequence)
      }
      send(release: sequence)
    }
    guard index < count else { return }
    announce(sequence &+ 1)
    if Memory[Buffer.fetchedCommand] & CommandLayout.isIndependent != 0 {
      send(release: sequence &+ 1)
    }
  }

  /// All tiles have finished command `sequence`. Of a later one with the same parity none can have
  /// arrived, since it is not released before.
  func awaitArrivals(_ sequence: UInt32) {
    let expected = sequence & 1 == 0 ? even : odd
    Memory.wait(Control.arrivals(sequence)) { $0 == expected }
  }

  mutating func send(release sequence: UInt32) {
    if sequence & 1 == 0 {
      even &+= Memory[Control.tileCount]
    } else {
      odd &+= Memory[Control.tileCount]
    }
    send(sequence, to: Control.release)
    released = sequence
    index += 1
  }

  /// Brings the next command from DRAM to all tiles, so that they can prepare for it.
  func announce(_ sequence: UInt32) {
    let awaited = NoC.writing.readsDone &+ 1
    NoC.writing.read(
      DRAMLocation(command: index, ofListAt: list), to: Buffer.fetchedCommand,
      bytes: CommandLayout.byteCount)
    NoC.writing.awaitReads(awaited)
    NoC.commanding.multicast(
      Buffer.fetchedCommand, to: Buffer.command(sequence), bytes: CommandLayout.byteCount,
      receivers: Memory[Control.receiverCount])
    send(sequence, to: Control.announced)
  }

  func send(_ sequence: UInt32, to address: UInt32) {
    Memory[Control.sequenceSource] = sequence
    Memory.settle(Control.sequenceSource)
    NoC.commanding.multicast(
      Control.sequenceSource, to: address, bytes: 4, receivers: Memory[Control.receiverCount])
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
