extension CardError {
  /// A call after `close()`.
  static func closed(_ card: String, call: String) -> CardError {
    CardError(
      card: card, call: call, seen: "the card was closed", remedy: "open it again before using it")
  }

  /// A read of all ones, which is what the bus answers where no card does.
  static func lost(_ card: String, call: String) -> CardError {
    CardError(
      card: card, call: call, seen: "0xffffffff: the card fell off the bus",
      remedy: "reset it with tt-smi -r, or else power the machine off and on")
  }
}
