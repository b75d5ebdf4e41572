/// A tile of the card, in coordinates of NoC 0: x from 0 to 9, y from 0 to 11.
package struct TileCoordinate: Hashable, Sendable, CustomStringConvertible {
  package var x: Int
  package var y: Int

  package init(x: Int, y: Int) {
    self.x = x
    self.y = y
  }

  /// `(x, y)`.
  package var description: String { "(\(x), \(y))" }
}

/// What a transport has carried, seen from the host.
package struct TransportCounters: Hashable, Sendable {
  /// Calls that read from the card.
  package var reads = 0

  /// Calls that wrote to the card; a multicast is one.
  package var writes = 0

  /// Bytes from the card.
  package var bytesRead = 0

  /// Bytes to the card; those of a multicast count once.
  package var bytesWritten = 0

  /// How often a window onto the NoC was moved.
  package var windowMoves = 0

  package init() {}
}

/// The one seam between the card's Swift code and a card: the kernel driver's, or a
/// simulated card's.
///
/// One thread at a time uses a transport. After ``close()`` every call throws.
package protocol Transport: AnyObject {
  /// The card in errors: `/dev/tenstorrent/0`, or the path of a simulator.
  var name: String { get }

  /// What this card has: tiles that are on, DRAM, clock.
  var layout: CardLayout { get }

  /// What is worth knowing of how the card was opened, such as a driver that should be newer.
  var notes: [String] { get }

  /// Memory of the host that tiles read and write behind the PCIe tile.
  var hostMemory: HostMemory { get }

  /// What was carried so far.
  var counters: TransportCounters { get }

  /// Writes `bytes` into a tile's L1, its registers, or DRAM. Any alignment and length in memory;
  /// words alone in registers.
  func write(
    _ bytes: UnsafeRawBufferPointer, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError)

  /// Reads from a tile's L1, its registers, or DRAM, after everything written before. Any alignment
  /// and length in memory; words alone in registers.
  func read(
    into bytes: UnsafeMutableRawBufferPointer, from tile: TileCoordinate, at address: UInt64
  ) throws(CardError)

  /// Writes `bytes` to the same address of every Tensix tile that is on. Words alone.
  ///
  /// Arrival is known once each tile has been read.
  func multicast(_ bytes: UnsafeRawBufferPointer, at address: UInt64) throws(CardError)

  /// Writes `words` in rising order, after everything written before: the last word lands last.
  func ring(_ words: [UInt32], at tile: TileCoordinate, address: UInt64) throws(CardError)

  /// The one word that is written should this process die, in place of the one set before. After
  /// opening it is the one that holds the first tile in reset.
  ///
  /// Programs that ask a word before each write to the host are stopped better by clearing that.
  /// Drivers before 2.2 write nothing.
  func setExitWrite(
    _ value: UInt32, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError)

  /// The card's state now, as far as it can be read.
  func telemetry() -> CardTelemetry

  /// Binds the calling thread to the cores nearest to the card; nothing where none is nearest.
  func bindThread() throws(CardError)

  /// Lets time pass between two looks at the card.
  func advance() throws(CardError)

  /// What every core waits for, where it is known that nothing on the card will go on by itself.
  var standstill: String? { get }

  /// How long a run of a whole policy may take; a day on a card in software, which needs minutes where a card needs
  /// milliseconds.
  var runDeadline: Duration { get }

  /// What each command did that has ended since this was asked last; nothing on a card that does not
  /// count.
  func takeEstimates() -> [CommandEstimate]

  /// Begins to record how busy the units are; false on a card that does not count.
  func startProfile() -> Bool

  /// What was recorded since ``startProfile()``.
  func takeProfile() -> WorkProfile?

  /// Stops the tiles and gives everything back; a second time does nothing.
  func close()
}

extension Transport {
  package var standstill: String? { nil }

  package var runDeadline: Duration { .seconds(60) }

  package func takeEstimates() -> [CommandEstimate] { [] }

  package func startProfile() -> Bool { false }

  package func takeProfile() -> WorkProfile? { nil }

  /// Writes one word.
  package func write32(
    _ value: UInt32, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    try write([value], to: tile, at: address)
  }

  /// Reads one word.
  package func read32(from tile: TileCoordinate, at address: UInt64) throws(CardError) -> UInt32 {
    var value: UInt32 = 0
    let result = withUnsafeMutableBytes(of: &value) { bytes in
      Result { () throws(CardError) in try read(into: bytes, from: tile, at: address) }
    }
    try result.get()
    return value
  }

  /// Writes the elements' bytes, little-endian.
  package func write<Element: BitwiseCopyable>(
    _ elements: [Element], to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    let result = elements.withUnsafeBytes { bytes in
      Result { () throws(CardError) in try write(bytes, to: tile, at: address) }
    }
    try result.get()
  }

  /// Reads `count` words.
  package func readWords(
    _ count: Int, from tile: TileCoordinate, at address: UInt64
  ) throws(CardError) -> [UInt32] {
    var words = [UInt32](repeating: 0, count: max(0, count))
    let result = words.withUnsafeMutableBytes { bytes in
      Result { () throws(CardError) in try read(into: bytes, from: tile, at: address) }
    }
    try result.get()
    return words
  }

  /// Writes the elements' bytes to every Tensix tile that is on.
  package func multicast<Element: BitwiseCopyable>(
    _ elements: [Element], at address: UInt64
  ) throws(CardError) {
    let result = elements.withUnsafeBytes { bytes in
      Result { () throws(CardError) in try multicast(bytes, at: address) }
    }
    try result.get()
  }
}
