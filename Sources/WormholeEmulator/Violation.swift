/// Something that a device program did and that the hardware does not do, or not reliably.
struct Violation: Error, Equatable {
  /// What was seen.
  let text: String
  /// What to do about it.
  let remedy: String

  init(_ text: String, remedy: String = "") {
    self.text = text
    self.remedy = remedy
  }
}

extension UInt32 {
  /// As addresses and instruction words are written: `0x0001a000`.
  var hexadecimal: String {
    let digits = String(self, radix: 16)
    return "0x" + String(repeating: "0", count: 8 - digits.count) + digits
  }
}
