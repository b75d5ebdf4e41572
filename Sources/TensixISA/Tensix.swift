/// 32-bit instructions of the Tensix coprocessor. Each function folds to a constant wherever its
/// arguments are constants.
package enum Tensix {
  // MARK: Front end

  /// Runs the loop that the core's MOP configuration describes.
  @inline(__always) package static func mop() -> UInt32 { 0x01 << 24 | 1 << 23 }
  /// The next `count` instructions go into the replay buffer and are not carried out.
  @inline(__always) package static func replayRecord(start: UInt32, count: UInt32) -> UInt32 {
    0x04 << 24 | start << 14 | count << 4 | 1
  }
  /// Carries out `count` instructions of the replay buffer.
  @inline(__always) package static func replay(start: UInt32, count: UInt32) -> UInt32 {
    0x04 << 24 | start << 14 | count << 4
  }
  package static var nop: UInt32 { 0x02 << 24 }

  // MARK: Configuration, counters, waiting

  /// Sets a configuration register of the own thread.
  @inline(__always) package static func setc16(_ register: UInt32, _ value: UInt32) -> UInt32 {
    0xB2 << 24 | register << 16 | value
  }
  /// Sets half a general-purpose register of the own thread; `half` is twice its number, plus one
  /// for the upper half.
  @inline(__always) package static func setdmareg(half: UInt32, _ value: UInt32) -> UInt32 {
    0x45 << 24 | (value & 0xFFFF) << 8 | half
  }
  /// A configuration word takes the value of a general-purpose register. The next instruction may
  /// not use it yet.
  @inline(__always) package static func wrcfg(_ word: UInt32, register: UInt32) -> UInt32 {
    0xB0 << 24 | register << 16 | word
  }
  /// Adds two general-purpose registers; the sum is there when the scalar unit (THCON) is idle.
  @inline(__always) package static func adddmareg(
    _ result: UInt32, _ a: UInt32, _ b: UInt32
  ) -> UInt32 { 0x58 << 24 | result << 12 | b << 6 | a }
  /// Bits of the upper byte of a configuration word: where `mask` is set, those of `value`.
  @inline(__always) package static func setUpperByte(
    _ word: UInt32, _ value: UInt32, mask: UInt32
  ) -> UInt32 { 0xB6 << 24 | mask << 16 | value << 8 | word }
  /// Keeps this thread's later instructions to `units` back until `idle` units are so.
  @inline(__always) package static func stallwait(
    until idle: UInt32, blocking units: UInt32
  ) -> UInt32 { 0xA2 << 24 | units << 15 | idle }
  @inline(__always) package static func seminit(
    _ semaphore: UInt32, value: UInt32, maximum: UInt32
  ) -> UInt32 { 0xA3 << 24 | maximum << 20 | value << 16 | 1 << (semaphore + 2) }
  @inline(__always) package static func sempost(_ semaphore: UInt32) -> UInt32 {
    0xA4 << 24 | 1 << (semaphore + 2)
  }
  @inline(__always) package static func semget(_ semaphore: UInt32) -> UInt32 {
    0xA5 << 24 | 1 << (semaphore + 2)
  }
  @inline(__always) package static func semwaitWhileZero(
    _ semaphore: UInt32, blocking units: UInt32
  ) -> UInt32 { 0xA6 << 24 | units << 15 | 1 << (semaphore + 2) | 1 }
  @inline(__always) package static func semwaitWhileFull(
    _ semaphore: UInt32, blocking units: UInt32
  ) -> UInt32 { 0xA6 << 24 | units << 15 | 1 << (semaphore + 2) | 2 }
  /// Sets the row counters to zero; `release` hands SrcA (1) and SrcB (2) back to the unpackers.
  @inline(__always) package static func setrwcZero(release: UInt32 = 0) -> UInt32 {
    0x37 << 24 | release << 22 | 0xF
  }
  /// `units` of the address counters: 1 unpacker 0, 2 unpacker 1, 4 packers.
  @inline(__always) package static func setadcxyZero(units: UInt32) -> UInt32 {
    0x51 << 24 | units << 21 | 0xF
  }
  @inline(__always) package static func setadczwZero(units: UInt32) -> UInt32 {
    0x54 << 24 | units << 21 | 0xF
  }
  /// The tile of Dst that the packers read.
  @inline(__always) package static func selectPackedTile(_ tile: UInt32) -> UInt32 {
    0x54 << 24 | 4 << 21 | tile << 9 | 2
  }
  @inline(__always) package static func setadcxx(units: UInt32, last: UInt32) -> UInt32 {
    0x5E << 24 | units << 21 | last << 10
  }

  // MARK: Between L1 and the registers

  /// Whole tile from L1 to SrcA (unpacker 0) or SrcB (unpacker 1), marking the bank valid.
  @inline(__always) package static func unpacr(unpacker: UInt32) -> UInt32 {
    0x42 << 24 | unpacker << 23 | 1 << 7 | 1 << 6 | 1
  }
  /// Whole tile from L1 to Dst through unpacker 0, which the configuration must say, too.
  package static var unpacrToDst: UInt32 { 0x42 << 24 | 1 << 7 | 1 }
  /// Four faces from Dst to L1 through the four packers.
  package static var pacrTile: UInt32 { 0x41 << 24 | 0xF << 8 | 1 << 4 | 1 }
  package static var zeroaccAll: UInt32 { 0x10 << 24 | 3 << 19 }
  /// Zeroes one half of Dst, four tiles of fp32.
  @inline(__always) package static func zeroaccHalf(_ half: UInt32) -> UInt32 {
    0x10 << 24 | 6 << 19 | half
  }
  /// Zeroes an eighth of a tile of fp32, and moves row counters as address mode 0 says.
  @inline(__always) package static func zeroaccEighth(_ eighth: UInt32) -> UInt32 {
    0x10 << 24 | 1 << 19 | eighth
  }

  // MARK: Matrix unit

  /// Eight rows of SrcB times sixteen of SrcA, added to eight rows of Dst.
  @inline(__always) package static func mvmul(addressMode: UInt32) -> UInt32 {
    0x26 << 24 | addressMode << 15
  }
  /// Eight rows of SrcA times those of SrcB, added to Dst.
  @inline(__always) package static func elwmul(addressMode: UInt32, broadcast: UInt32) -> UInt32 {
    0x27 << 24 | broadcast << 19 | addressMode << 15
  }
  /// Eight rows of SrcA plus those of SrcB.
  @inline(__always) package static func elwadd(addressMode: UInt32, broadcast: UInt32) -> UInt32 {
    0x28 << 24 | broadcast << 19 | addressMode << 15
  }
}
