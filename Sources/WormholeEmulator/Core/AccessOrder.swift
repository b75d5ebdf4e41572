/// What a core has done of the accesses that can overtake one another on their ways out of it
/// (BabyRISCV/MemoryOrdering.md, TTSync.md, BackendConfiguration.md of the ISA documentation).
struct AccessOrder {
  /// Loads from here wait until the thread is drained, or its MOPs are expanded.
  static let synchronisation: ClosedRange<UInt32> = 0xFFE8_0004...0xFFE8_0008
  /// Stores to here push instructions.
  static let instructions: ClosedRange<UInt32> = 0xFFE4_0000...0xFFE6_FFFF
  private static let configuration: ClosedRange<UInt32> = 0xFFEF_0000...0xFFEF_FFFF

  /// It has pushed instructions and not waited for them.
  private var hasPushed = false
  /// A load from there comes behind all that was pushed.
  private var ordered: UInt32?
  /// It has stored configuration, and not seen that it arrived.
  private var hasConfigured = false
  /// A load from the configuration after that: its register, and how many instructions came before.
  private var readBack: (register: UInt32, instructions: UInt64)?

  func checkLoad(_ address: UInt32) throws(Violation) {
    guard Self.synchronisation.contains(address), hasPushed, ordered != address else { return }
    throw Violation(
      "This load waits for the coprocessor, but may overtake the instructions pushed before it.",
      remedy: "Store to \(address.hexadecimal) first, as in store, load, use.")
  }

  mutating func didLoad(_ address: UInt32, register: UInt32, instructions: UInt64) {
    if address == Self.synchronisation.lowerBound { hasPushed = false }
    if hasConfigured, Self.configuration.contains(address) {
      readBack = (register, instructions)
    }
  }

  mutating func didStore(_ address: UInt32) {
    switch address {
    case Self.synchronisation: ordered = address
    case Self.instructions: didPush()
    case Self.configuration:
      hasConfigured = true
      readBack = nil
    default: break
    }
  }

  mutating func didPush() {
    hasPushed = true
    ordered = nil
  }

  /// Whether all configuration that was stored is there before what is pushed next: it was read back,
  /// and the result used.
  ///
  /// - Parameter isLoading: Whether a register was loaded and not used since.
  mutating func isConfigured(
    instructions: UInt64, isLoading: (_ register: UInt32) -> Bool
  ) -> Bool {
    guard hasConfigured else { return true }
    guard let readBack else { return false }
    if isLoading(readBack.register), instructions - readBack.instructions < 7 { return false }
    hasConfigured = false
    self.readBack = nil
    return true
  }
}
