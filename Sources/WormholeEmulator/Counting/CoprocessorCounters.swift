/// Why a thread of the coprocessor did not go on.
enum Stall: Int, CaseIterable {
  /// Its queue was empty: the core had not sent anything.
  case queue
  /// The unit was at work on another instruction.
  case unit
  /// The matrix unit waited for the unpackers.
  case sources
  /// An unpacker waited for the matrix unit to give a bank back.
  case banks
  case semaphore
  case mutex
  /// STALLWAIT until a unit was idle.
  case idle
}

/// What a tile's coprocessor has done since the card was switched on.
struct CoprocessorCounters {
  struct Unit {
    var instructions = 0
    var busyCycles: UInt64 = 0
  }

  /// By ``CoprocessorUnit``.
  var units = [Unit](repeating: Unit(), count: CoprocessorUnit.allCases.count)
  /// Cycles by thread and ``Stall``: `stalls[thread * count of stalls + stall]`.
  var stalls = [UInt64](repeating: 0, count: 3 * Stall.allCases.count)
  /// Bytes of L1 that the unpackers read and the packers wrote.
  var unpackedBytes = 0
  var packedBytes = 0

  subscript(unit: CoprocessorUnit) -> Unit { units[unit.rawValue] }

  subscript(thread: Int, stall: Stall) -> UInt64 {
    get { stalls[thread * Stall.allCases.count + stall.rawValue] }
    set { stalls[thread * Stall.allCases.count + stall.rawValue] = newValue }
  }
}
