/// A violation with its place: what an emulated card stops with.
package struct EmulatorError: Error, Equatable, CustomStringConvertible {
  /// Which of a tile's actors it was, or what else of the card.
  package enum Actor: Equatable, Sendable, CustomStringConvertible {
    case core(String)
    case thread(Int)
    case host

    package var description: String {
      switch self {
      case .core(let name): "core \(name)"
      case .thread(let number): "coprocessor thread \(number)"
      case .host: "the host"
      }
    }
  }

  /// NoC 0 coordinates; nil where it is no tile's doing.
  package var tile: (x: Int, y: Int)?
  package var actor: Actor
  /// Of a core: the instruction's address.
  package var programCounter: UInt32?
  /// The function that the address lies in, where an image of ours does.
  package var function: String?
  /// The instruction in words.
  package var instruction: String?
  package var clock: UInt64
  /// What was seen.
  package var text: String
  /// What to do about it.
  package var remedy: String

  init(
    tile: (x: Int, y: Int)?, actor: Actor, programCounter: UInt32? = nil, function: String? = nil,
    instruction: String? = nil, clock: UInt64, _ violation: Violation
  ) {
    self.tile = tile
    self.actor = actor
    self.programCounter = programCounter
    self.function = function
    self.instruction = instruction
    self.clock = clock
    text = violation.text
    remedy = violation.remedy
  }

  package static func == (a: EmulatorError, b: EmulatorError) -> Bool {
    a.description == b.description
  }

  package var description: String {
    var place = tile.map { "tile (\($0.x), \($0.y)), " } ?? ""
    place += "\(actor), clock \(clock)"
    if let programCounter {
      place += ", at \(programCounter.hexadecimal)"
      if let function { place += " in \(function)" }
    }
    if let instruction { place += ", \(instruction)" }
    return "\(place): \(text)" + (remedy.isEmpty ? "" : " \(remedy)")
  }
}
