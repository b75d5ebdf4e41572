/// Ranges of addresses, given out first fit and taken back.
///
/// Who plans may take what lies beyond the end, to see how much there would have to be.
struct AddressSpace {
  private struct Range: Hashable {
    var start: Int
    var count: Int
  }

  private let alignment: Int
  /// Where addresses end that are there.
  private let end: Int
  private let plannedEnd: Int
  private let capacity: Int
  private var free: [Range]
  private var taken: [Int: Int] = [:]

  /// - Parameter plannedEnd: where those end that can be planned with; where nil, the same.
  init(_ range: Swift.Range<Int>, alignment: Int, plannedEnd: Int? = nil) {
    self.alignment = alignment
    end = range.upperBound
    self.plannedEnd = max(plannedEnd ?? end, end)
    capacity = range.count
    free = [Range(start: range.lowerBound, count: self.plannedEnd - range.lowerBound)]
  }

  var freeCount: Int { free.reduce(0) { $0 + there($1) } }
  var largestCount: Int { free.reduce(0) { max($0, there($1)) } }
  /// Of all that there is and of what is taken, beyond the end too.
  var counts: (taken: Int, all: Int) { (taken.values.reduce(0, +), capacity) }
  /// Whether something taken lies beyond the end.
  var isExceeded: Bool {
    guard let last = free.last else { return plannedEnd > end }
    return last.start > end || last.start + last.count < plannedEnd
  }

  private func there(_ range: Range) -> Int {
    max(0, min(range.start + range.count, end) - range.start)
  }

  /// The start of a range of at least `count`; nil where there is none.
  mutating func take(_ count: Int, planned: Bool = false) -> Int? {
    guard count >= 0, count <= Int.max - alignment else { return nil }
    let size = max(1, (count + alignment - 1) / alignment) * alignment
    guard let index = free.firstIndex(where: { (planned ? $0.count : there($0)) >= size }) else {
      return nil
    }
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
