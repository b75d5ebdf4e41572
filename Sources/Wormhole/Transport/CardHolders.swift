import Glibc

/// The processes that have a card open, by the driver's list.
enum CardHolders {
  /// `process 4711 (tt-smi), process 4712`, this one last and so called.
  static func description(of index: Int, under roots: CardDiscovery.Roots) -> String {
    let own = Int(getpid())
    var numbers =
      (SystemFiles.text(at: "\(roots.holders)/\(index)/pids") ?? "")
      .split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    // This process has just opened the card itself.
    if let mine = numbers.firstIndex(of: own) { numbers.remove(at: mine) }
    let others = Set(numbers.filter { $0 != own }).sorted().map { number in
      let name = SystemFiles.text(at: "/proc/\(number)/comm")
      return "process \(number)" + (name.map { " (\($0))" } ?? "")
    }
    let all = others + (numbers.contains(own) ? ["this process, \(own)"] : [])
    return all.isEmpty ? "a process of which the driver does not tell" : all.joined(separator: ", ")
  }
}
