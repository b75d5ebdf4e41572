internal import TensixISA

extension Card {
  /// What each core of each tile has finished, tiles in the same state in one line.
  func hangReport(after passed: Duration) throws(CardError) -> String {
    var places: [String: [TileCoordinate]] = [:]
    var order: [String] = []
    for tile in tiles {
      let words = try transport.readWords(
        Int(Control.byteCount / 4), from: tile, at: UInt64(Control.start))
      if words.allSatisfy({ $0 == .max }) { throw .lost(transport.name, call: "run") }
      func word(_ address: UInt32) -> UInt32 {
        let index = Int((address - Control.start) / 4)
        return index < words.count ? words[index] : 0
      }
      let line =
        "announced \(word(Control.announced)), released \(word(Control.release)); finished by "
        + "reader \(word(Control.doneReader)), unpack \(word(Control.doneUnpack)), "
        + "math \(word(Control.doneMath)), pack \(word(Control.donePack)), "
        + "writer \(word(Control.doneWriter)); tiles in and out of left "
        + "\(word(Control.leftPushed))/\(word(Control.leftPopped)), right "
        + "\(word(Control.rightPushed))/\(word(Control.rightPopped)), output "
        + "\(word(Control.outputPushed))/\(word(Control.outputPopped))"
      if places[line] == nil { order.append(line) }
      places[line, default: []].append(tile)
    }
    let even = try transport.read32(from: master, at: UInt64(Control.arrivals(0)))
    let arrivals = try transport.read32(from: master, at: UInt64(Control.arrivals(1))) &+ even
    var report = "not finished after \(passed); \(arrivals) arrivals of \(tiles.count) tiles"
    for line in order.prefix(8) {
      let tiles = places[line] ?? []
      report += "\n  \(tiles.count) tiles from \(tiles.first.map(\.description) ?? ""): \(line)"
    }
    if order.count > 8 { report += "\n  and \(order.count - 8) more states" }
    if let standstill = transport.standstill { report += "\nEvery core waits: \(standstill)" }
    return report
  }
}
