import Glibc

extension CardError {
  private static let noAnswer = "0xffffffff: the card fell off the bus"
  private static let takenAway = "the driver took the card away: somebody reset it"

  /// A call after `close()`.
  static func closed(_ card: String, call: String) -> CardError {
    CardError(
      card: card, call: call, seen: "the card was closed", remedy: "open it again before using it")
  }

  /// A read of all ones, which is what the bus answers where no card does.
  static func lost(_ card: String, call: String) -> CardError {
    CardError(
      card: card, call: call, seen: noAnswer,
      remedy: "reset it with tt-smi -r, or else power the machine off and on")
  }

  /// An access to a window that is no more.
  static func reset(_ card: String, call: String) -> CardError {
    CardError(
      card: card, call: call, seen: takenAway, remedy: "close the card and open it again")
  }

  /// Whether the card cannot be used any more unless it is opened again.
  var isLoss: Bool { code == ENODEV || seen == Self.noAnswer || seen == Self.takenAway }
}
