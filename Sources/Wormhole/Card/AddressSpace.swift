/// Ranges of addresses, given out first fit and taken back.
struct AddressSpace {
  private struct Range: Hashable {
    var start: Int
    var count: Int
  }

  private let alignment: Int
  private var free: [Range]
  private var taken: [Int: Int] = [:]

  init(_ range: Swift.Range<Int>, alignment: Int) {
    self.alignment = alignment
    free = [Range(start: range.lowerBound, count: range.count)]
  }

  var freeCount: Int { free.reduce(0) { $0 + $1.count } }
  var largestCount: Int { free.reduce(0) { max($0, $1.count) } }

  /// The start of a range of at least `count`; nil where there is none.
  mutating func take(_ count: Int) -> Int? {
    guard count >= 0, count <= Int.max - alignment else { return nil }
    let size = max(1, (count + alignment - 1) / alignment) * alignment
    guard let index = free.firstIndex(where: { $0.count >= size }) else { return nil }
    let start = free[index].start
    if free[index].count == size {
      free.remove(at: index)
    } else {
      free[index].start += size
      free[index].count -= size
    }
    taken[start] = size
    return start
  }

  /// Whether a range began at `start`, which is free from now on.
  mutating func giveBack(_ start: Int) -> Bool {
    guard let size = taken.removeValue(forKey: start) else { return false }
    var index = free.firstIndex { $0.start > start } ?? free.count
    free.insert(Range(start: start, count: size), at: index)
    if index + 1 < free.count, free[index].start + free[index].count == free[index + 1].start {
      free[index].count += free[index + 1].count
      free.remove(at: index + 1)
    }
    if index > 0, free[index - 1].start + free[index - 1].count == free[index].start {
      index -= 1
      free[index].count += free[index + 1].count
      free.remove(at: index + 1)
    }
    return true
  }
}
