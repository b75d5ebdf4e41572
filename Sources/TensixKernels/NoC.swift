/// A request initiator of one of the tile's two NoC interfaces, and that interface's counters.
///
/// NoC 0 goes right, then down; NoC 1 up, then left. DRAM stands in two columns: what is read leaves
/// them by rows on NoC 0, what is written comes to them by rows on NoC 1. The other way round, two columns'
/// links would carry everything.
struct NoC {
  /// Where the interface's registers begin, and the initiator's.
  let base: UInt32
  let initiator: UInt32
  /// NoC 1 counts its coordinates from the opposite corner.
  let mirrored: Bool

  /// The reader's: its core alone counts reads of NoC 0.
  static var reading: NoC {
    NoC(base: 0xFFB2_0000, initiator: 0xFFB2_0000, mirrored: false)
  }
  /// The sequencer's, for results, arrivals and commands: all of NoC 1.
  static var writing: NoC {
    NoC(base: 0xFFB3_0000, initiator: 0xFFB3_0000, mirrored: true)
  }
  /// The master's, for commands. Nobody else writes over NoC 0.
  static var commanding: NoC {
    NoC(base: 0xFFB2_0000, initiator: 0xFFB2_0400, mirrored: false)
  }
  /// The reader's, to give other tiles what it has read.
  static var sharing: NoC {
    NoC(base: 0xFFB3_0000, initiator: 0xFFB3_0400, mirrored: true)
  }

  @inline(__always) private func position(_ x: UInt32, _ y: UInt32) -> UInt32 {
    mirrored ? (9 - x) << 4 | (11 - y) << 10 : x << 4 | y << 10
  }
  @inline(__always) private var ownPosition: UInt32 { (Memory[base + 0x2C] & 0xFFF) << 4 }

  /// No transaction identifier, whatever an earlier program left there.
  func initialise() {
    while Memory[initiator + 0x28] != 0 {}
    tag(0)
  }

  /// Requests from now on have this transaction identifier, of sixteen.
  @inline(__always) func tag(_ transaction: UInt32) {
    Memory[initiator + 0x18] = transaction << 10
  }
  /// All requests with this identifier are done.
  @inline(__always) func isDone(_ transaction: UInt32) -> Bool {
    Memory[base + 0x240 + 4 * transaction] == 0
  }

  @inline(__always) private func issue(
    target: UInt32, targetAddress: UInt32, result: UInt32, resultAddress: UInt32,
    control: UInt32, length: UInt32
  ) {
    while Memory[initiator + 0x28] != 0 {}
    Memory[initiator + 0x00] = targetAddress
    Memory[initiator + 0x04] = target
    Memory[initiator + 0x0C] = resultAddress
    Memory[initiator + 0x10] = result
    Memory[initiator + 0x1C] = control
    Memory[initiator + 0x20] = length
    Memory[initiator + 0x28] = 1
  }

  /// From DRAM to L1, at most 8192 bytes; both addresses equal modulo 32.
  @inline(__always) func read(_ from: DRAMLocation, to address: UInt32, bytes: UInt32) {
    issue(
      target: position(from.x, from.y), targetAddress: from.address,
      result: ownPosition, resultAddress: address, control: 0x4090, length: bytes)
  }
  /// From L1 to DRAM; both addresses equal modulo 16.
  @inline(__always) func write(_ address: UInt32, to: DRAMLocation, bytes: UInt32) {
    issue(
      target: ownPosition, targetAddress: address,
      result: position(to.x, to.y), resultAddress: to.address, control: 0x4092, length: bytes)
  }
  /// From the L1 of the tile at `xy` = x | y << 6 to this one's.
  @inline(__always) func read(
    _ from: UInt32, of xy: UInt32, to address: UInt32, bytes: UInt32
  ) {
    issue(
      target: position(xy & 0x3F, xy >> 6), targetAddress: from,
      result: ownPosition, resultAddress: address, control: 0x4090, length: bytes)
  }
  /// From L1 to the L1 of the tile at `xy` = x | y << 6; both addresses equal modulo 16.
  @inline(__always) func write(
    _ address: UInt32, to other: UInt32, of xy: UInt32, bytes: UInt32
  ) {
    issue(
      target: ownPosition, targetAddress: address,
      result: position(xy & 0x3F, xy >> 6), resultAddress: other, control: 0x4092, length: bytes)
  }
  /// Adds 1 to a word of the L1 at `xy` = x | y << 6.
  @inline(__always) func increment(_ address: UInt32, at xy: UInt32, returning: UInt32) {
    while Memory[initiator + 0x28] != 0 {}
    Memory[initiator + 0x24] = 1
    issue(
      target: position(xy & 0x3F, xy >> 6), targetAddress: address,
      result: ownPosition, resultAddress: returning, control: 0x4091, length: 0x107C)
  }
  /// To every Tensix tile of the card, this one included; all acknowledge. The routers skip rows and columns without
  /// Tensix tiles.
  @inline(__always) func multicast(_ source: UInt32, to address: UInt32, bytes: UInt32) {
    issue(
      target: ownPosition, targetAddress: source,
      result: 9 << 4 | 11 << 10 | 1 << 16 | 1 << 22, resultAddress: address,
      control: 0x81B2 | 1 << 17, length: bytes)
  }
  /// To the other tiles of a rectangle (``column(of:)``, ``allTiles``); nobody acknowledges. What a tile sends to
  /// a rectangle arrives in this order, since all of it takes the same virtual channel.
  @inline(__always) func multicast(
    _ source: UInt32, to address: UInt32, bytes: UInt32, rectangle: UInt32,
    includesSelf: Bool = false
  ) {
    issue(
      target: ownPosition, targetAddress: source, result: rectangle, resultAddress: address,
      control: 0x81A2 | (includesSelf ? 1 << 17 : 0), length: bytes)
  }
  /// All writes with this identifier have left this tile.
  @inline(__always) func hasSent(_ transaction: UInt32) -> Bool {
    Memory[initiator + 0x28] == 0 && Memory[base + 0x280 + 4 * transaction] == 0
  }

  // Rectangles of NoC 1, from its upper left corner to the lower right.
  /// The tiles above and below the one at `xy` = x | y << 6, and itself.
  @inline(__always) func column(of xy: UInt32) -> UInt32 {
    let x = 9 - (xy & 0x3F)
    return x << 4 | 10 << 10 | x << 16
  }
  /// The columns from that of the one at `first` to that of the one at `last`.
  @inline(__always) func columns(of first: UInt32, to last: UInt32) -> UInt32 {
    (9 - (first & 0x3F)) << 4 | 10 << 10 | (9 - (last & 0x3F)) << 16
  }
  /// From the tile at `first` down to that at `last`.
  @inline(__always) func rows(of first: UInt32, to last: UInt32) -> UInt32 {
    let x = 9 - (first & 0x3F)
    return x << 4 | (11 - (first >> 6)) << 10 | x << 16 | (11 - (last >> 6)) << 22
  }
  /// The tiles left and right of it.
  @inline(__always) func row(of xy: UInt32) -> UInt32 {
    let y = 11 - (xy >> 6)
    return 8 << 4 | y << 10 | y << 22
  }
  @inline(__always) var allTiles: UInt32 { 8 << 4 | 10 << 10 }
  /// Into memory of the host, which the NoC sees behind the PCIe tile from 0x8_0000_0000 on.
  @inline(__always) func writeHost(_ address: UInt32, to hostAddress: UInt32, bytes: UInt32) {
    issue(
      target: ownPosition, targetAddress: address,
      result: position(0, 3) | 8, resultAddress: hostAddress, control: 0x4092, length: bytes)
  }

  // Counters of finished transactions
  @inline(__always) var atomicsDone: UInt32 { Memory[base + 0x200] }
  @inline(__always) var writesDone: UInt32 { Memory[base + 0x204] }
  @inline(__always) var readsDone: UInt32 { Memory[base + 0x208] }

  @inline(__always) func awaitReads(_ count: UInt32) { while readsDone != count {} }
  @inline(__always) func awaitWrites(_ count: UInt32) { while writesDone != count {} }
}
