/// The front end of one thread: queue, MOP expander, replay expander
/// (tt-isa-documentation, TensixCoprocessor/MOPExpander.md, REPLAY.md).
final class InstructionStream {
  private struct Entry {
    var word: UInt32 = 0
    var bypassesMOP = false
    /// When it was pushed.
    var clock: UInt64 = 0
    /// When its place was free again.
    var freed: UInt64 = 0
  }

  /// Instructions that are pushed and not yet expanded.
  static let capacity = 32
  static let replayCapacity = 32

  private let entries: UnsafeMutablePointer<Entry>
  private var first = 0
  private(set) var count = 0

  private var mopConfiguration = [UInt32](repeating: 0, count: 9)
  private var mopConfigurationWritten: UInt32 = 0
  private var mopMaskHigh: UInt32 = 0
  /// MOPs that are queued or under way.
  private var pendingMOPs = 0
  /// When the last of them was expanded.
  private(set) var expansionEnd: UInt64 = 0
  private var expanded: [UInt32] = []
  private var nextExpanded = 0

  private let replay: UnsafeMutablePointer<UInt32>
  private var replayWritten: UInt32 = 0
  private var recordIndex = 0
  private var recordLeft = 0
  private var executesWhileRecording = false
  private var playIndex = 0
  private var playLeft = 0

  /// The instruction to carry out next, once ``fetch()`` was true.
  private(set) var instruction: UInt32 = 0
  /// When it, or the MOP that it is part of, was pushed.
  private(set) var arrival: UInt64 = 0
  private(set) var hasInstruction = false

  init() {
    entries = .allocate(capacity: Self.capacity)
    entries.initialize(repeating: Entry(), count: Self.capacity)
    replay = .allocate(capacity: Self.replayCapacity)
    replay.initialize(repeating: 0, count: Self.replayCapacity)
  }

  deinit {
    entries.deallocate()
    replay.deallocate()
  }

  var isFull: Bool { count == Self.capacity }
  /// Nothing is queued, or being expanded or carried out.
  var isEmpty: Bool {
    count == 0 && !hasInstruction && playLeft == 0 && nextExpanded == expanded.count
  }

  /// When the next instruction was pushed; 0 where it is being expanded, or there is none.
  var nextArrival: UInt64 {
    guard count > 0, !hasInstruction, playLeft == 0, nextExpanded == expanded.count else {
      return 0
    }
    return entries[first].clock
  }

  /// No MOP is queued or being expanded.
  var isExpanded: Bool { pendingMOPs == 0 }

  /// The first instruction not yet carried out that is such, or that expands to others.
  func queued(where condition: (UInt32) -> Bool) -> UInt32? {
    if hasInstruction, condition(instruction) { return instruction }
    if nextExpanded < expanded.count { return expanded[nextExpanded] }
    if playLeft > 0 { return replay[playIndex] }
    for offset in 0..<count {
      let word = entries[(first + offset) & (Self.capacity - 1)].word
      if condition(word) || word >> 24 == 0x01 || word >> 24 == 0x04 { return word }
    }
    return nil
  }

  /// The queue is not full. `clock` is raised to when it has room.
  func push(_ word: UInt32, bypassingMOP: Bool, clock: inout UInt64) {
    let index = (first + count) & (Self.capacity - 1)
    clock = max(clock, entries[index].freed)
    entries[index] = Entry(
      word: word, bypassesMOP: bypassingMOP, clock: clock, freed: entries[index].freed)
    count += 1
    if word >> 24 == 0x01, !bypassingMOP { pendingMOPs += 1 }
  }

  /// The core's store to MOP configuration word `word`, 0 to 8.
  func writeMOPConfiguration(_ word: Int, _ value: UInt32) throws(Violation) {
    guard mopConfiguration.indices.contains(word) else {
      throw Violation("store to MOP configuration word \(word)", remedy: "there are 9")
    }
    guard pendingMOPs == 0 else {
      throw Violation(
        "MOP configuration word \(word) is written while a MOP is queued or being expanded",
        remedy: "drain the thread first: the expander reads the configuration as it goes")
    }
    mopConfiguration[word] = value
    mopConfigurationWritten |= 1 << word
  }

  /// Makes ``instruction`` the next one, `clock` being when the thread looks; false where there is none.
  @inline(__always)
  func fetch(clock: UInt64) throws(Violation) -> Bool {
    if hasInstruction { return true }
    if playLeft > 0 {
      instruction = replay[playIndex]
      playIndex = (playIndex + 1) & (Self.replayCapacity - 1)
      playLeft -= 1
      hasInstruction = true
      return true
    }
    return try fetchUnplayed(clock)
  }

  /// The instruction has been carried out.
  @inline(__always)
  func consume() { hasInstruction = false }

  private func fetchUnplayed(_ clock: UInt64) throws(Violation) -> Bool {
    while let word = try expand(clock) {
      if recordLeft > 0 {
        replay[recordIndex] = word
        replayWritten |= 1 << UInt32(recordIndex)
        recordIndex = (recordIndex + 1) & (Self.replayCapacity - 1)
        recordLeft -= 1
        if !executesWhileRecording { continue }
      } else if word >> 24 == 0x04 {
        try startReplay(word)
        if playLeft > 0 { return try fetch(clock: clock) }
        continue
      }
      instruction = word
      hasInstruction = true
      return true
    }
    return false
  }

  // MARK: - REPLAY

  private func startReplay(_ word: UInt32) throws(Violation) {
    let records = word & 1 != 0, executes = word & 2 != 0
    let length = Int(word >> 4 & 0x3FF), start = Int(word >> 14 & 0x3FF)
    guard word & 0xC == 0, records || !executes else {
      throw Violation(
        "REPLAY with bits 0x\(String(word & 0xE, radix: 16)) set",
        remedy: "bit 1 goes with bit 0 only, bits 2 and 3 mean nothing")
    }
    guard (1...Self.replayCapacity).contains(length), start < Self.replayCapacity else {
      throw Violation(
        "REPLAY of \(length) instructions from \(start)",
        remedy: "the buffer holds \(Self.replayCapacity)")
    }
    guard !records else {
      (recordIndex, recordLeft, executesWhileRecording) = (start, length, executes)
      return
    }
    for offset in 0..<length {
      let index = (start + offset) & (Self.replayCapacity - 1)
      guard replayWritten >> UInt32(index) & 1 != 0 else {
        throw Violation(
          "REPLAY of entry \(index), which holds nothing",
          remedy: "record the sequence before it is played")
      }
    }
    (playIndex, playLeft) = (start, length)
  }

  // MARK: - MOP

  /// The next instruction behind the MOP expander.
  private func expand(_ clock: UInt64) throws(Violation) -> UInt32? {
    if nextExpanded < expanded.count {
      let word = expanded[nextExpanded]
      nextExpanded += 1
      if nextExpanded == expanded.count { endExpansion(max(clock, arrival)) }
      return word
    }
    while count > 0 {
      let entry = entries[first]
      entries[first].freed = max(clock, entry.clock)
      first = (first + 1) & (Self.capacity - 1)
      count -= 1
      arrival = entry.clock
      guard !entry.bypassesMOP else { return entry.word }
      switch entry.word >> 24 {
      case 0x01:
        expanded.removeAll(keepingCapacity: true)
        nextExpanded = 0
        try startMOP(entry.word)
        if expanded.isEmpty {
          endExpansion(max(clock, arrival))
        } else {
          return try expand(clock)
        }
      case 0x03:
        guard entry.word & 0xFF_0000 == 0 else {
          throw Violation("MOP_CFG with bits 16 to 23 set", remedy: "its mask has 16 bits")
        }
        mopMaskHigh = entry.word & 0xFFFF
      default: return entry.word
      }
    }
    return nil
  }

  private func endExpansion(_ clock: UInt64) {
    pendingMOPs -= 1
    expansionEnd = clock
  }

  private func startMOP(_ word: UInt32) throws(Violation) {
    if word >> 23 & 1 == 0 { try expandMasked(word) } else { try expandLoop(word) }
  }

  private func configuration(_ word: Int) throws(Violation) -> UInt32 {
    guard mopConfigurationWritten >> UInt32(word) & 1 != 0 else {
      throw Violation(
        "MOP with configuration word \(word) never written", remedy: "set the words it uses first")
    }
    return mopConfiguration[word]
  }

  /// Template 0: a bit of the mask chooses one of two bodies.
  private func expandMasked(_ word: UInt32) throws(Violation) {
    let last = word >> 16 & 0x7F
    guard last < 32 else {
      throw Violation("MOP of \(last + 1) masked rounds", remedy: "the mask has 32 bits")
    }
    let flags = try configuration(1)
    guard flags <= 3 else {
      throw Violation("MOP with flags 0x\(String(flags, radix: 16))", remedy: "there are two")
    }
    var mask = word & 0xFFFF | mopMaskHigh << 16
    for _ in 0...last {
      if mask & 1 != 0 {
        expanded.append(try configuration(7))
        if flags & 1 != 0 { expanded.append(try configuration(8)) }
      } else {
        expanded.append(try configuration(3))
        if flags & 2 != 0 {
          for index in 4...6 { expanded.append(try configuration(index)) }
        }
        if flags & 1 != 0 { expanded.append(try configuration(2)) }
      }
      mask >>= 1
    }
  }

  /// Template 1: two nested loops, whose last rounds may differ.
  private func expandLoop(_ word: UInt32) throws(Violation) {
    guard word & 0x7F_FFFF == 0 else {
      throw Violation(
        "MOP of loops with count or mask 0x\(String(word & 0x7F_FFFF, radix: 16))",
        remedy: "its counts are in the MOP configuration; leave these bits 0")
    }
    let outer = try configuration(0), inner = try configuration(1)
    guard (1...32).contains(outer), (1...64).contains(inner) else {
      throw Violation(
        "MOP of \(outer) x \(inner) rounds", remedy: "at most 32 outer and 64 inner ones, none 0")
    }
    let start = try configuration(2), end = try configuration(3), secondEnd = try configuration(4)
    let body = try configuration(5), secondBody = try configuration(6)
    let last = try configuration(7), lastOfOthers = try configuration(8)
    let alternates = !isNothing(secondBody)
    let rounds = alternates ? 2 * inner : inner
    var alternate = false
    for i in 0..<outer {
      if !isNothing(start) { expanded.append(start) }
      for j in 0..<rounds {
        if j + 1 < rounds {
          expanded.append(alternate ? secondBody : body)
        } else {
          expanded.append(i + 1 < outer ? lastOfOthers : last)
        }
        if alternates { alternate.toggle() }
      }
      if !isNothing(end) {
        expanded.append(end)
        if !isNothing(secondEnd) { expanded.append(secondEnd) }
      }
    }
  }

  private func isNothing(_ word: UInt32) -> Bool { word >> 24 == 0x02 }
}
