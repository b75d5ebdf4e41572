/// Queues of words from each of the cores B, T0, T1, T2 to each
/// (BabyRISCV/Mailboxes.md of the ISA documentation).
struct Mailboxes {
  /// Words that the mailboxes of one receiver hold together.
  static let depth = 4

  /// By receiver and sender.
  private var words = [[UInt32]](repeating: [], count: 16)

  static func number(of core: RISCVCore.Kind) -> Int? {
    switch core {
    case .b: 0
    case .t0: 1
    case .t1: 2
    case .t2: 3
    case .nc: nil
    }
  }

  /// Whether there was room.
  mutating func send(_ word: UInt32, from sender: Int, to receiver: Int) -> Bool {
    let held = (0..<4).reduce(0) { $0 + words[4 * receiver + $1].count }
    guard held < Self.depth else { return false }
    words[4 * receiver + sender].append(word)
    return true
  }

  /// The next word, if there is one.
  mutating func receive(by receiver: Int, from sender: Int) -> UInt32? {
    let queue = 4 * receiver + sender
    return words[queue].isEmpty ? nil : words[queue].removeFirst()
  }
}
