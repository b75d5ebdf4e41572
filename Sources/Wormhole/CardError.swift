import Glibc

/// What went wrong with a card, where it was seen, and what to do about it.
///
/// Printed, it is one sentence: `/dev/tenstorrent/0: open: Permission denied (errno 13); ...`.
public struct CardError: Error, Hashable, Sendable, Codable, CustomStringConvertible {
  /// The device file of the card, such as `/dev/tenstorrent/0`, or the directory of all cards.
  public var card: String

  /// The system call or driver request that failed or gave the answer, such as `GET_DRIVER_INFO`.
  public var call: String

  /// What was seen: the system's message, or the answer that cannot be worked with.
  public var seen: String

  /// The `errno` of a call that failed; nil where a call succeeded with an unusable answer.
  public var code: Int32?

  /// What to do about it.
  public var remedy: String

  /// `card: call: seen; remedy`.
  public var description: String { "\(card): \(call): \(seen); \(remedy)" }

  /// An answer that cannot be worked with.
  package init(card: String, call: String, seen: String, remedy: String) {
    self.card = card
    self.call = call
    self.seen = seen
    self.remedy = remedy
  }

  /// A call that failed with `code`, an `errno`.
  init(card: String, call: String, code: Int32) {
    self.card = card
    self.call = call
    self.code = code
    let message = strerror(code).map { String(cString: $0) } ?? "unknown error"
    seen = "\(message) (errno \(code))"
    remedy = Self.remedy(for: code, card: card)
  }

  private static func remedy(for code: Int32, card: String) -> String {
    switch code {
    case EACCES, EPERM:
      "give this user read and write access to \(card), with the udev rule that comes with the "
        + "driver or with chmod"
    case ENOENT:
      "the driver has the card but the file is missing: in a container pass --device \(card), "
        + "elsewhere reload the driver"
    case EAGAIN:
      "another program has the card to itself: end it first, or use another card"
    case ENODEV, ENXIO, EIO:
      "the card was reset or is gone: end the programs that use it, reset it with tt-smi -r, and "
        + "look at dmesg"
    case ENOTTY, EINVAL:
      "this is no Tenstorrent driver or an older one than \(DriverVersion.minimum): install "
        + "tt-kmd \(DriverVersion.recommended) or later"
    default:
      "look at dmesg for what the driver says"
    }
  }
}
