/// Something that a device program did and that the hardware does not do, or not reliably.
struct Violation: Error {
  /// What was seen.
  let text: String
  /// What to do about it.
  let remedy: String

  init(_ text: String, remedy: String = "") {
    self.text = text
    self.remedy = remedy
  }
}
