import Foundation
import PI0Kit

/// One line on standard error that tells how far something is; in a file or a pipe, a line a part.
struct ProgressLine {
  private let isTerminal = isatty(FileHandle.standardError.fileDescriptor) == 1
  private var isOpen = false

  /// - Parameters:
  ///   - text: What is done, as in `episode 3/20`.
  ///   - isLast: Whether this ends a part.
  mutating func show(_ text: String, isLast: Bool) {
    if isTerminal {
      write("\r\u{1B}[K\(text)")
      isOpen = true
    } else if isLast {
      write(text + "\n")
    }
  }

  /// How far a policy is.
  mutating func show(_ progress: PolicyProgress) {
    let isLast = progress.completed == progress.total
    if progress.part == .loading {
      show(
        String(
          format: "loading %.2f/%.2f GB", Double(progress.completed) / 1e9,
          Double(progress.total) / 1e9), isLast: isLast)
    } else {
      show("\(progress.part.rawValue) \(progress.completed)/\(progress.total)", isLast: isLast)
    }
  }

  mutating func finish() {
    if isOpen { write("\r\u{1B}[K") }
    isOpen = false
  }

  private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
