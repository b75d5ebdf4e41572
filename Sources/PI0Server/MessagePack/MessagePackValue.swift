/// A value of the protocol: what MessagePack and openpi's way to put NumPy arrays into it can say.
///
/// Keys of maps are strings. A map under bytes keys stands for an array or a scalar of NumPy's and
/// becomes one; every other is refused.
public indirect enum MessagePackValue: Sendable, Equatable {
  /// Python's None.
  case null
  /// A truth value, Python's or NumPy's.
  case bool(Bool)
  /// An integer of any width that 64 signed bits hold.
  case integer(Int64)
  /// A float of either width.
  case number(Double)
  /// Text.
  case string(String)
  /// Bytes.
  case bytes(ArraySlice<UInt8>)
  /// A list or tuple.
  case list([MessagePackValue])
  /// A dictionary.
  case map([String: MessagePackValue])
  /// A NumPy array.
  case array(NumpyArray)

  /// What kind of value it is, for messages to people.
  var kind: String {
    switch self {
    case .null: "None"
    case .bool: "a bool"
    case .integer: "an integer"
    case .number: "a float"
    case .string: "a string"
    case .bytes: "bytes"
    case .list(let elements): "a list of \(elements.count)"
    case .map: "a dictionary"
    case .array(let array): "an array \(array)"
    }
  }
}

/// What a message may have at most. Nothing is allocated for what exceeds it.
public struct MessageLimits: Sendable, Equatable {
  /// Bytes of a message.
  public var byteCount = 32 << 20
  /// Values within values.
  public var depth = 8
  /// Values in the whole message, an array counting as one.
  public var valueCount = 65_536
  /// Dimensions of an array.
  public var rank = 8

  /// The default limits: a message of 32 MiB holds three camera pictures of 2560 x 1440 pixels.
  public init() {}
}
