/// Everything that PI0Server throws besides a policy's `PI0Error`.
public enum ServerError: Error, Sendable, Equatable {
  /// A client's message that is no observation: what was seen, and where in the message.
  case message(_ reason: String)
  /// Settings that no server can be started with: a file, a key, an address.
  case setup(_ reason: String)
}

extension ServerError: CustomStringConvertible {
  /// One line.
  public var description: String {
    switch self {
    case .message(let reason), .setup(let reason): reason
    }
  }
}
