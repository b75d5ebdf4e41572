/// Three threads of instructions for a tile's units. None is executed yet.
final class Coprocessor {
  let configuration = Configuration()

  init(l1: L1, wake: @escaping (UInt64) -> Void) {}

  private var missing: Violation {
    Violation("an access to the coprocessor", remedy: "it is not modelled yet")
  }

  func push(
    _ instruction: UInt32, thread: Int, bypassingMOP: Bool, clock: UInt64
  ) throws(Violation) -> Bool { throw missing }
  func writeMOPConfiguration(_ word: Int, _ value: UInt32, thread: Int) throws(Violation) {
    throw missing
  }
  func readRegister(_ index: Int, thread: Int) throws(Violation) -> UInt32 { throw missing }
  func writeRegister(_ index: Int, _ value: UInt32, thread: Int) throws(Violation) {
    throw missing
  }
  func readConfiguration(_ offset: UInt32) throws(Violation) -> UInt32 {
    try configuration.read(Int(offset) / 4, bank: 0)
  }
  func writeConfiguration(_ offset: UInt32, _ value: UInt32, clock: UInt64) throws(Violation) {
    try configuration.write(Int(offset) / 4, value, bank: 0)
  }
  func readSemaphore(_ index: Int) throws(Violation) -> UInt32 { throw missing }
  func writeSemaphore(_ index: Int, _ value: UInt32, clock: UInt64) throws(Violation) {
    throw missing
  }
  func isDrained(thread: Int) -> Bool { true }
  func hasWork(thread: Int) -> Bool { false }
  func clock(thread: Int) -> UInt64 { 0 }
  func run(thread: Int, until horizon: UInt64) throws(Violation) {}
  func describeWait(thread: Int) -> String { "" }
  func reset(thread: Int) {}
}
