internal import CTTDevice

/// The windows of one open card, by what goes through them.
final class CardWindows {
  private let name: String
  private let connection: DriverConnection

  /// Long transfers. One for each of the 12 DRAM banks that pages are spread over, and one for L1;
  /// fewer will do. A card has 19 for all processes.
  private let bulk: WindowPool

  /// Words and registers of any tile.
  private let single: WindowPool

  /// The doorbell's, which nothing else moves.
  private let doorbell: WindowPool

  /// Memory and registers of all tiles.
  private let allMemory: WindowPool
  private let allRegisters: WindowPool

  init(_ connection: DriverConnection) throws(CardError) {
    name = connection.path
    self.connection = connection
    single = try WindowPool(connection, size: 1 << 20, caching: .uncached, limit: 4)
    doorbell = try WindowPool(connection, size: 1 << 20, caching: .uncached, limit: 1)
    allRegisters = try WindowPool(connection, size: 1 << 20, caching: .uncached, limit: 1)
    allMemory = try WindowPool(connection, size: 2 << 20, caching: .combined, limit: 1)
    bulk = try WindowPool(connection, size: 16 << 20, caching: .combined, limit: 13)
  }

  private var pools: [WindowPool] { [single, doorbell, allRegisters, allMemory, bulk] }

  var moves: Int { pools.reduce(0) { $0 + $1.moves } }

  /// Up to this many bytes go word by word: to combine them would need a fence as well.
  private static let fewBytes = 16

  // MARK: Writing

  func write(
    _ bytes: UnsafeRawBufferPointer, _ kind: TileMemory.Kind, to tile: TileCoordinate,
    at address: UInt64
  ) throws(CardError) {
    let parts = AlignedParts(address: address, count: bytes.count)
    try writeEdge(bytes, parts.head, to: tile, at: address)
    let middle = UnsafeRawBufferPointer(rebasing: bytes[parts.middle])
    let isLong = kind == .memory && middle.count > Self.fewBytes
    try transfer(
      middle.count, isLong ? bulk : single, at: address + UInt64(parts.middle.lowerBound),
      .tile(tile)
    ) { place, offset, count in
      let from = UnsafeRawBufferPointer(rebasing: middle[offset..<offset + count])
      Self.copy(from, to: place.start, isLong: isLong)
      if kind == .memory { place.window.wrote(upTo: place.start + count) }
    }
    // What is combined leaves the processor before anything that is written after it.
    if isLong { tt_store_fence() }
    try writeEdge(bytes, parts.tail, to: tile, at: address)
  }

  /// Part of a word: the word is read, changed and written back. Whoever writes the rest of it at the
  /// same moment loses.
  private func writeEdge(
    _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, to tile: TileCoordinate,
    at address: UInt64
  ) throws(CardError) {
    if range.isEmpty { return }
    let first = address + UInt64(range.lowerBound)
    let place = try single.place(of: first & ~3, .tile(tile))
    tt_full_fence()
    var word = tt_read32(place.start)
    withUnsafeMutableBytes(of: &word) { word in
      for index in range { word[Int(first & 3) + index - range.lowerBound] = bytes[index] }
    }
    tt_write32(place.start, word)
    place.window.wrote(upTo: place.start + 4)
    try check(place.window, "write")
  }

  func multicast(
    _ bytes: UnsafeRawBufferPointer, _ kind: TileMemory.Kind, at address: UInt64
  ) throws(CardError) {
    tt_store_fence()
    try transfer(
      bytes.count, kind == .memory ? allMemory : allRegisters, at: address, .allTiles
    ) { place, offset, count in
      let from = UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
      Self.copy(from, to: place.start, isLong: kind == .memory)
    }
    tt_store_fence()
  }

  /// Registers take a store of 32 bits and no other.
  private static func copy(
    _ bytes: UnsafeRawBufferPointer, to start: UnsafeMutableRawPointer, isLong: Bool
  ) {
    if isLong, let from = bytes.baseAddress {
      tt_copy_to_card(start, from, UInt64(bytes.count))
    } else {
      for offset in stride(from: 0, to: bytes.count, by: 4) {
        tt_write32(start + offset, bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
      }
    }
  }

  func ring(
    _ words: [UInt32], at tile: TileCoordinate, address: UInt64
  ) throws(CardError) {
    tt_store_fence()
    for pool in pools { pool.confirm() }
    try transfer(words.count * 4, doorbell, at: address, .tile(tile)) { place, offset, count in
      // A read passes no write, of any window: what was written before has arrived after it.
      _ = tt_read32(place.start)
      for index in 0..<count / 4 { tt_write32(place.start + index * 4, words[offset / 4 + index]) }
    }
    tt_store_fence()
  }

  // MARK: Reading

  /// In rising order: of a card that goes off the bus meanwhile, the last byte is all ones.
  func read(
    into bytes: UnsafeMutableRawBufferPointer, _ kind: TileMemory.Kind, from tile: TileCoordinate,
    at address: UInt64
  ) throws(CardError) {
    tt_full_fence()
    let parts = AlignedParts(address: address, count: bytes.count)
    try readEdge(into: bytes, parts.head, from: tile, at: address)
    let middle = UnsafeMutableRawBufferPointer(rebasing: bytes[parts.middle])
    let isLong = kind == .memory && middle.count > Self.fewBytes
    try transfer(
      middle.count, isLong ? bulk : single, at: address + UInt64(parts.middle.lowerBound),
      .tile(tile)
    ) { place, offset, count in
      let to = UnsafeMutableRawBufferPointer(rebasing: middle[offset..<offset + count])
      if isLong, let start = to.baseAddress {
        tt_copy_from_card(start, place.start, UInt64(count))
      } else {
        for offset in stride(from: 0, to: count, by: 4) {
          to.storeBytes(of: tt_read32(place.start + offset), toByteOffset: offset, as: UInt32.self)
        }
      }
    }
    try readEdge(into: bytes, parts.tail, from: tile, at: address)
  }

  /// Part of a word.
  private func readEdge(
    into bytes: UnsafeMutableRawBufferPointer, _ range: Range<Int>, from tile: TileCoordinate,
    at address: UInt64
  ) throws(CardError) {
    if range.isEmpty { return }
    let first = address + UInt64(range.lowerBound)
    let place = try single.place(of: first & ~3, .tile(tile))
    let word = tt_read32(place.start)
    withUnsafeBytes(of: word) { word in
      for index in range { bytes[index] = word[Int(first & 3) + index - range.lowerBound] }
    }
    try check(place.window, "read")
  }

  // MARK: Both

  /// Calls `move` with every part of `count` bytes that a window reaches at once.
  private func transfer(
    _ count: Int, _ pool: WindowPool, at address: UInt64, _ destination: Window.Destination,
    _ move: (_ place: Window.Place, _ offset: Int, _ count: Int) -> Void
  ) throws(CardError) {
    var done = 0
    while done < count {
      let place = try pool.place(of: address + UInt64(done), destination)
      let part = min(place.room, count - done)
      move(place, done, part)
      try check(place.window, "access to \(destination)")
      done += part
    }
  }

  private func check(_ window: Window, _ call: @autoclosure () -> String) throws(CardError) {
    if window.isLost { throw .reset(name, call: call()) }
  }

  // MARK: Stopping

  /// Holds every tile in reset, and returns once each has been seen so.
  func holdTiles(_ layout: CardLayout) throws(CardError) {
    var held = TileMemory.allHeld
    let result = withUnsafeBytes(of: &held) { bytes in
      Result { () throws(CardError) in
        try multicast(bytes, .registers, at: TileMemory.softReset)
      }
    }
    try result.get()
    for tile in layout.tiles where try !isHeld(tile) {
      // One that takes no part in multicasts.
      let place = try single.place(of: TileMemory.softReset, .tile(tile))
      tt_write32(place.start, held)
      connection.calls.yield()
      guard try isHeld(tile) else {
        throw CardError(
          card: name, call: "reset of tile \(tile)",
          seen: "0x\(String(try softReset(of: tile), radix: 16)) instead of "
            + "0x\(String(TileMemory.allHeld, radix: 16)): the tile does not stop",
          remedy: "reset the card with tt-smi -r")
      }
    }
  }

  private func isHeld(_ tile: TileCoordinate) throws(CardError) -> Bool {
    let state = try softReset(of: tile)
    if state == .max { throw .lost(name, call: "reset of tile \(tile)") }
    return state & TileMemory.allHeld == TileMemory.allHeld
  }

  private func softReset(of tile: TileCoordinate) throws(CardError) -> UInt32 {
    let place = try single.place(of: TileMemory.softReset, .tile(tile))
    let state = tt_read32(place.start)
    try check(place.window, "reset of tile \(tile)")
    return state
  }

  /// Gives all windows back.
  func close() { for pool in pools { pool.close() } }
}

/// A range of bytes as whole words of the card with a part of a word before and after.
struct AlignedParts: Equatable {
  let head: Range<Int>
  let middle: Range<Int>
  let tail: Range<Int>

  init(address: UInt64, count: Int) {
    let head = min(count, Int((4 - address & 3) & 3))
    let tail = (count - head) % 4
    self.head = 0..<head
    middle = head..<count - tail
    self.tail = count - tail..<count
  }
}
