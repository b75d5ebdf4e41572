/// The PCI bus with a simulated card of this process on it, below ``SimulatedTransport``: the official
/// simulator's library, or an emulator.
///
/// One thread at a time uses it.
package protocol SimulatedBus {
  /// What the card is called in errors.
  var name: String { get }

  /// A word of the card's PCI configuration space.
  func readConfiguration(_ offset: UInt32) throws(CardError) -> UInt32

  /// Reads behind one of the card's BARs.
  func read(_ address: UInt64, into bytes: UnsafeMutableRawBufferPointer) throws(CardError)

  /// Writes behind one of the card's BARs.
  func write(_ bytes: UnsafeRawBufferPointer, _ address: UInt64) throws(CardError)

  /// Lets some time pass on the card.
  func advance() throws(CardError)

  /// What every core waits for, where nothing on the card will go on by itself; nil where something
  /// may, or where it is not known.
  var standstill: String? { get }

  /// Makes `memory` what the tiles reach behind the PCIe tile. It stays until ``detachHostMemory()``.
  func attachHostMemory(_ memory: UnsafeMutableRawBufferPointer) throws(CardError)

  /// Takes the memory away from the tiles.
  func detachHostMemory()

  /// Bytes that tiles wrote behind the PCIe tile where no memory was attached, so far. On a real machine
  /// each is somebody else's memory overwritten.
  var strayBytes: Int { get }

  /// What each command did that has ended since this was asked last; nothing on a card that does not
  /// count.
  func takeEstimates() -> [CommandEstimate]

  /// Begins to record how busy the units are; false on a card that does not count.
  func startProfile() -> Bool

  /// What was recorded since ``startProfile()``.
  func takeProfile() -> WorkProfile?
}

extension SimulatedBus {
  package var standstill: String? { nil }

  package func takeEstimates() -> [CommandEstimate] { [] }

  package func startProfile() -> Bool { false }

  package func takeProfile() -> WorkProfile? { nil }

  /// Where the first BAR begins.
  package func firstBAR() throws(CardError) -> UInt64 {
    let high = UInt64(try readConfiguration(0x14)) << 32
    return high | UInt64(try readConfiguration(0x10) & ~0xF)
  }
}
