import Glibc

/// Reading the small text files and directories of `/dev` and `/sys`.
enum SystemFiles {
  /// The text of a file without white space around it; nil where it cannot be read or is empty.
  /// At most 4096 bytes, the size of a sysfs attribute.
  static func text(at path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = fread(&bytes, 1, bytes.count, file)
    let text = String(decoding: bytes.prefix(count), as: UTF8.self)
    let visible = text.drop(while: \.isWhitespace)
    guard let last = visible.lastIndex(where: { !$0.isWhitespace }) else { return nil }
    return String(visible[...last])
  }

  /// The names in a directory, in no order; none where there is no such directory.
  static func names(in directory: String) throws(CardError) -> [String] {
    guard let stream = opendir(directory) else {
      if errno == ENOENT { return [] }
      throw CardError(card: directory, call: "opendir", code: errno)
    }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else { break }
      // The record may end before the field does, so the name is read in place, up to its zero.
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self))
      }
      names.append(name)
    }
    if errno != 0 { throw CardError(card: directory, call: "readdir", code: errno) }
    return names
  }
}
