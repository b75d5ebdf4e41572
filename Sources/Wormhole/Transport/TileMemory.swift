/// What the host reaches of a card over the NoC. An access to anything else is an error here: on the
/// card it would hang the bus or change another register.
package enum TileMemory {
  /// Any alignment and length, or words alone.
  enum Kind { case memory, registers }

  /// L1 of a Tensix tile.
  package static let l1Bytes: UInt64 = 1464 << 10

  /// Two channels behind every port of a DRAM controller.
  static let dramBytes = 2 * DRAMChannel.byteCount

  /// Columns and rows of the Tensix tiles, harvested ones included.
  static let tensixColumns = [1, 2, 3, 4, 6, 7, 8, 9]
  static let tensixRows = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]

  /// Debug registers with soft reset and clock; NoC 0, NoC 1 and the overlay.
  private static let registers: [Range<UInt64>] = [
    0xFFB1_1000..<0xFFB1_3000, 0xFFB2_0000..<0xFFB8_0000,
  ]

  /// Soft reset of the five cores, and the value that holds them all.
  package static let softReset: UInt64 = 0xFFB1_21B0
  package static let allHeld: UInt32 = 0x47800

  static func isTensix(_ tile: TileCoordinate) -> Bool {
    tensixColumns.contains(tile.x) && tensixRows.contains(tile.y)
  }

  static func isDRAM(_ tile: TileCoordinate) -> Bool { dramPorts.contains(tile) }

  private static let dramPorts = Set(DRAMChannel.all.flatMap(\.ports))

  /// What lies in `count` bytes at `address` of `tile`; nil where the host reaches nothing, or
  /// where registers are not asked for in words.
  static func kind(of tile: TileCoordinate, at address: UInt64, count: Int) -> Kind? {
    guard let count = UInt64(exactly: count) else { return nil }
    let (end, overflow) = address.addingReportingOverflow(count)
    if overflow { return nil }
    if isDRAM(tile) { return end <= dramBytes ? .memory : nil }
    guard isTensix(tile) else { return nil }
    if end <= l1Bytes { return .memory }
    let words = address % 4 == 0 && count % 4 == 0
    let inside = registers.contains { $0.lowerBound <= address && end <= $0.upperBound }
    return words && inside ? .registers : nil
  }

  static func check(
    _ tile: TileCoordinate, at address: UInt64, count: Int, call: String, layout: CardLayout,
    card: String
  ) throws(CardError) -> Kind {
    if isTensix(tile), !layout.isOn(tile) {
      throw CardError(
        card: card, call: call, seen: "tile \(tile) is harvested or does not exist",
        remedy: "use the tiles of this card's layout")
    }
    guard let kind = kind(of: tile, at: address, count: count) else {
      throw CardError(
        card: card, call: call,
        seen: "\(count) bytes at 0x\(String(address, radix: 16)) of tile \(tile)",
        remedy: "stay within L1, DRAM, or whole words of the tile's registers")
    }
    return kind
  }

  /// What a multicast reaches on every tile: words of L1 or of registers.
  static func checkMulticast(
    at address: UInt64, count: Int, layout: CardLayout, card: String
  ) throws(CardError) -> Kind {
    guard let tile = layout.tiles.first, address % 4 == 0, count % 4 == 0 else {
      throw CardError(
        card: card, call: "multicast",
        seen: "\(count) bytes at 0x\(String(address, radix: 16))",
        remedy: "send whole words to addresses that are multiples of 4")
    }
    return try check(
      tile, at: address, count: count, call: "multicast", layout: layout, card: card)
  }

  /// Doorbells and the like are whole words.
  static func checkWord(at address: UInt64, call: String, card: String) throws(CardError) {
    if address % 4 == 0 { return }
    throw CardError(
      card: card, call: call, seen: "a word at 0x\(String(address, radix: 16))",
      remedy: "put it at a multiple of 4")
  }
}
