import Glibc

/// The processes that have a card open, by the driver's list.
enum CardHolders {
  /// `process 4711 (tt-smi), process 4712`; nil where the driver tells of no other than this one.
  static func others(of index: Int, under roots: CardDiscovery.Roots) -> String? {
    let others = Set(numbers(index, roots)).subtracting([Int(getpid())]).sorted()
    if others.isEmpty { return nil }
    return others.map { number in
      if number == 0 { return "a process of another container" }
      let name = SystemFiles.text(at: "/proc/\(number)/comm")
      return "process \(number)" + (name.map { " (\($0))" } ?? "")
    }.joined(separator: ", ")
  }

  /// The others, and this process if it has the card open more than the once that it asks.
  static func all(of index: Int, under roots: CardDiscovery.Roots) -> String {
    let own = Int(getpid())
    let isTwice = numbers(index, roots).filter { $0 == own }.count > 1
    let all = [others(of: index, under: roots), isTwice ? "this process, \(own)" : nil]
      .compactMap { $0 }
    return all.isEmpty ? "a process of which the driver does not tell" : all.joined(separator: ", ")
  }

  /// One for each time that the card is open; 0 for a process that this one cannot see.
  private static func numbers(_ index: Int, _ roots: CardDiscovery.Roots) -> [Int] {
    (SystemFiles.text(at: "\(roots.holders)/\(index)/pids") ?? "")
      .split(whereSeparator: \.isWhitespace).compactMap { Int($0) }.filter { $0 >= 0 }
  }
}
