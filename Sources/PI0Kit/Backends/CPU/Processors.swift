internal import Wormhole

/// The processors that this process may run on.
enum Processors {
  /// One processor a core, of the fast cores where there are several kinds; never empty.
  static func cores() -> [Int] {
    let cores = performanceCores()
    return cores.isEmpty ? [0] : cores
  }
}
