import Glibc

/// A line for each instruction that a card's cores and coprocessors run: clock, tile, who, where and
/// what.
final class Trace {
  /// Names the file that traces are appended to.
  static let variable = "PI0_EMULATOR_TRACE"

  private let file: UnsafeMutablePointer<FILE>

  /// Nil where the environment asks for none, or the file cannot be written.
  static func ofEnvironment() -> Trace? {
    getenv(variable).flatMap { Trace(path: String(cString: $0)) }
  }

  init?(path: String) {
    guard let file = fopen(path, "a") else { return nil }
    self.file = file
  }

  deinit { fclose(file) }

  /// Lets a tile's actors tell what they do.
  func attach(to tile: Tile) {
    let coordinate = "(\(tile.coordinate.x),\(tile.coordinate.y))"
    for core in tile.cores {
      let name = "\(coordinate) \(core.kind.name)"
      core.trace = { [unowned self] clock, text in write(clock, name, text) }
    }
    tile.coprocessor.trace = { [unowned self] clock, thread, instruction in
      write(
        clock, "\(coordinate) thread \(thread)",
        "\(instruction.instructionName) \(instruction.hexadecimal)")
    }
  }

  private func write(_ clock: UInt64, _ actor: String, _ text: String) {
    let digits = String(clock)
    let padding = String(repeating: " ", count: max(0, 12 - digits.count))
    fputs("\(padding)\(digits) \(actor): \(text)\n", file)
  }
}
