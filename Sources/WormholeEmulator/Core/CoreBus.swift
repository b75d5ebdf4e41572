/// All that a core reaches outside of L1 and its private RAM.
///
/// Methods may raise `core.clock` to when the access can be answered.
protocol CoreBus: AnyObject {
  func load(_ address: UInt32, size: Int, core: RISCVCore) throws(Violation) -> BusLoad
  /// - Returns: False where it cannot be accepted now; the core tries again after `wake`.
  func store(_ value: UInt32, _ address: UInt32, size: Int, core: RISCVCore) throws(Violation)
    -> Bool
  /// A coprocessor instruction in the core's own instruction stream, which is a store at the start
  /// of the instruction buffer.
  func push(_ instruction: UInt32, core: RISCVCore) throws(Violation) -> Bool
}

/// What a load outside of L1 and private RAM gives.
enum BusLoad {
  /// `pure`: loading it changed nothing, and the next load gives the same unless the core is woken.
  case value(UInt32, pure: Bool)
  /// Not yet: the core tries again after `wake`.
  case wait
}
