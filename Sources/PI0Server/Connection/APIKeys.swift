import FoundationEssentials

/// Keys of which a client must present one.
///
/// openpi's client sends `Authorization: Api-Key KEY`. Browsers, which can show the status page,
/// send `Authorization: Basic`, any name with the key as password.
public struct APIKeys: Sendable {
  private let keys: [[UInt8]]

  /// The given keys.
  ///
  /// - Throws: ``ServerError/setup(_:)`` for no key, or one that no header could carry.
  public init(_ keys: [String]) throws(ServerError) {
    guard !keys.isEmpty else { throw .setup("there is no API key") }
    for (index, key) in keys.enumerated() {
      guard !key.isEmpty, key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
        throw .setup("API key \(index + 1) is empty, or has other than printable ASCII characters")
      }
    }
    self.keys = keys.map { Array($0.utf8) }
  }

  /// The keys in a file, one a line; empty lines do not count.
  ///
  /// - Throws: ``ServerError/setup(_:)`` where the file cannot be read or has no proper keys.
  public init(contentsOf path: String) throws(ServerError) {
    guard let contents = try? Data(contentsOf: URL(filePath: path)) else {
      throw .setup("\(path): cannot be read; it must be a file with an API key a line")
    }
    // Blanks are part of no key.
    let lines = String(decoding: contents, as: UTF8.self).split(whereSeparator: \.isNewline)
      .map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }
    do {
      try self.init(lines)
    } catch {
      throw .setup("\(path): \(error)")
    }
  }

  /// Whether the value of an Authorization header presents one of the keys.
  func accept(_ authorization: String?) -> Bool {
    guard let presented = Self.presented(authorization ?? "") else { return false }
    // All are compared, so that the time does not tell which one it was.
    return keys.reduce(false) { Self.areEqual($1, presented) || $0 }
  }

  private static func presented(_ header: String) -> [UInt8]? {
    let words = header.split(separator: " ", maxSplits: 1)
    guard words.count == 2 else { return nil }
    switch words[0].lowercased() {
    case "api-key": return Array(words[1].utf8)
    case "basic":
      guard let decoded = Data(base64Encoded: String(words[1])) else { return nil }
      let bytes = Array(decoded)
      return bytes.firstIndex(of: UInt8(ascii: ":")).map { Array(bytes[($0 + 1)...]) }
    default: return nil
    }
  }

  /// Compares in a time that depends on nothing but the length of `presented`, which its sender
  /// knows.
  static func areEqual(_ key: [UInt8], _ presented: [UInt8]) -> Bool {
    var difference = UInt(key.count ^ presented.count)
    for (index, byte) in presented.enumerated() {
      difference |= UInt(byte ^ key[index % key.count])
    }
    return difference == 0
  }
}
