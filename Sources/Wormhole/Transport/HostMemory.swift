internal import CTTDevice

/// Memory of the host that the tiles see at ``address`` behind the PCIe tile.
///
/// The card writes results here by itself: reading them is reading memory. Every access is checked
/// against the size, and throws once the transport has closed.
package final class HostMemory {
  /// Where the tiles see the first byte. Its low 32 bits may be 0.
  package let address: UInt64

  /// The size in bytes.
  package let count: Int

  private let card: String
  private var start: UnsafeMutableRawPointer?

  init(start: UnsafeMutableRawPointer, count: Int, address: UInt64, card: String) {
    self.start = start
    self.count = count
    self.address = address
    self.card = card
  }

  /// No access after this reaches the memory, which its owner is about to give back.
  func invalidate() { start = nil }

  private func place(_ offset: Int, _ size: Int) throws(CardError) -> UnsafeMutableRawPointer {
    guard let start else { throw .closed(card, call: "host memory") }
    guard offset >= 0, size >= 0, size <= count, offset <= count - size else {
      throw CardError(
        card: card, call: "host memory", seen: "\(size) bytes at \(offset) of \(count)",
        remedy: "ask for less, or for a part at a time")
    }
    return start + offset
  }

  /// A word that the card may be writing; what the card wrote before it is read after it.
  package func load32(at offset: Int) throws(CardError) -> UInt32 {
    let place = try place(offset, 4)
    guard offset % 4 == 0 else {
      throw CardError(
        card: card, call: "host memory", seen: "a word at \(offset)",
        remedy: "read words at multiples of 4")
    }
    let value = tt_read32(place)
    tt_load_fence()
    return value
  }

  /// Sets a word, before everything written to the card from now on.
  package func store32(_ value: UInt32, at offset: Int) throws(CardError) {
    let place = try place(offset, 4)
    guard offset % 4 == 0 else {
      throw CardError(
        card: card, call: "host memory", seen: "a word at \(offset)",
        remedy: "write words at multiples of 4")
    }
    tt_write32(place, value)
    tt_store_fence()
  }

  /// Copies what the card wrote.
  package func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws(CardError) {
    let place = try place(offset, bytes.count)
    bytes.copyMemory(from: UnsafeRawBufferPointer(start: place, count: bytes.count))
  }

  /// Copies what the card is to read.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(CardError) {
    let place = try place(offset, bytes.count)
    if let first = bytes.baseAddress { place.copyMemory(from: first, byteCount: bytes.count) }
    tt_store_fence()
  }
}
