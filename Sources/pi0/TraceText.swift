import PI0Kit
import Wormhole

extension TraceReport {
  /// A few lines: what a run of the function moves and computes, and the time it takes at least.
  var text: String {
    "\(function) (\(inputs.joined(separator: ", "))):\n\(work)"
      .split(separator: "\n").joined(separator: "\n  ")
  }
}
