/// What the header of a safetensors file says, checked against the file.
///
/// The file is an 8-byte little-endian length, that many bytes of JSON, and the tensors' bytes,
/// without holes. Nothing is accepted that the format's reference implementation refuses
/// (huggingface/safetensors, `tensor.rs`); repeated names are refused as the format demands.
struct SafetensorsHeader {
  private(set) var metadata: [String: String] = [:]
  private(set) var entries: [String: SafetensorsFile.Entry] = [:]

  /// The longest header in bytes, as in the reference implementation.
  static let longest = 100_000_000
  private static let lengthSize = 8
  private static let metadataName = "__metadata__"

  /// Reads the header of the file that holds `bytes`.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` for every departure from the format.
  init(_ bytes: UnsafeRawBufferPointer, path: String) throws(PI0Error) {
    let end = try Self.headerEnd(bytes, path: path)
    var json = SafetensorsJSON(bytes, from: Self.lengthSize, to: end, path: path)
    let dataSize = bytes.count - end
    var hasMetadata = false

    try json.object { (json, name, position) throws(PI0Error) in
      if name == Self.metadataName {
        guard !hasMetadata else { throw json.repeated(name, at: position) }
        hasMetadata = true
        metadata = try Self.metadata(&json)
      } else {
        let entry = try Self.entry(&json, name: name, dataStart: end, dataSize: dataSize)
        guard entries.updateValue(entry, forKey: name) == nil else {
          throw json.repeated(name, at: position)
        }
      }
    }
    try json.padding()
    try checkCoverage(of: end..<bytes.count, path: path)
  }

  /// Where the header ends and the tensors' bytes start.
  private static func headerEnd(
    _ bytes: UnsafeRawBufferPointer, path: String
  ) throws(PI0Error) -> Int {
    guard bytes.count >= lengthSize else {
      throw .file(
        path: path,
        reason: "\(bytes.count) bytes are too few for the length of a safetensors header: "
          + "the file is truncated, download it again")
    }
    if bytes.starts(with: "version https://git-lfs".utf8) {
      throw .file(
        path: path, reason: "is a Git LFS pointer, not the file itself: run `git lfs pull`")
    }
    let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
    guard length <= longest else {
      throw .file(
        path: path,
        reason: "the first 8 bytes give a header of \(length) bytes, more than the \(longest) the "
          + "format allows: this is no safetensors file, check which file it is")
    }
    guard Int(length) <= bytes.count - lengthSize else {
      throw .file(
        path: path,
        reason: "the header is \(length) bytes long, but only \(bytes.count - lengthSize) follow: "
          + "the file is truncated, download it again")
    }
    return lengthSize + Int(length)
  }

  private static func metadata(_ json: inout SafetensorsJSON) throws(PI0Error) -> [String: String] {
    var metadata: [String: String] = [:]
    try json.object { (json, key, position) throws(PI0Error) in
      guard metadata.updateValue(try json.string(), forKey: key) == nil else {
        throw json.repeated(key, at: position)
      }
    }
    return metadata
  }

  /// `{"dtype": ..., "shape": [...], "data_offsets": [begin, end]}`, the fields in any order.
  private static func entry(
    _ json: inout SafetensorsJSON, name: String, dataStart: Int, dataSize: Int
  ) throws(PI0Error) -> SafetensorsFile.Entry {
    let start = json.position
    var type: SafetensorsType?
    var shape: [Int]?
    var offsets: [Int]?
    try json.object { (json, field, position) throws(PI0Error) in
      switch field {
      case "dtype":
        guard type == nil else { throw json.repeated(field, at: position) }
        let valuePosition = json.position
        let code = try json.string()
        type = SafetensorsType(rawValue: code)
        guard type != nil else {
          throw json.error("there is no element type \(code.quoted)", at: valuePosition)
        }
      case "shape":
        guard shape == nil else { throw json.repeated(field, at: position) }
        shape = try json.integers()
      case "data_offsets":
        guard offsets == nil else { throw json.repeated(field, at: position) }
        offsets = try json.integers()
      default:
        throw json.error("tensor \(name.quoted) has an unknown field \(field.quoted)", at: position)
      }
    }

    func invalid(_ reason: String) -> PI0Error {
      json.error("tensor \(name.quoted) \(reason)", at: start)
    }
    guard let type else { throw invalid("has no \"dtype\"") }
    guard let shape else { throw invalid("has no \"shape\"") }
    guard let offsets else { throw invalid("has no \"data_offsets\"") }
    guard offsets.count == 2 else {
      throw invalid("has \(offsets.count) \"data_offsets\" instead of a begin and an end")
    }
    guard offsets[0] <= offsets[1] else {
      throw invalid("begins at \(offsets[0]) and ends before that, at \(offsets[1])")
    }
    guard let count = Shape.elementCount(shape), let byteCount = type.byteCount(of: count) else {
      throw invalid("has a shape that no \(type.rawValue) tensor can have: \(shape.abbreviated)")
    }
    guard byteCount == offsets[1] - offsets[0] else {
      throw invalid(
        "has \(offsets[1] - offsets[0]) bytes where \(type.rawValue)\(shape.abbreviated) takes "
          + "\(byteCount)")
    }
    guard offsets[1] <= dataSize else {
      throw .file(
        path: json.path,
        reason: "tensor \(name.quoted) ends at byte \(offsets[1]) of the data, of which there are "
          + "\(dataSize): the file is truncated, download it again")
    }
    return SafetensorsFile.Entry(
      type: type, shape: shape, elementCount: count,
      byteRange: dataStart + offsets[0]..<dataStart + offsets[1])
  }

  /// Throws unless the tensors lie end to end and fill `data`.
  private func checkCoverage(of data: Range<Int>, path: String) throws(PI0Error) {
    let inOrder = entries.sorted { a, b in
      (a.value.byteRange.lowerBound, a.value.byteRange.upperBound)
        < (b.value.byteRange.lowerBound, b.value.byteRange.upperBound)
    }
    var end = data.lowerBound
    for (name, entry) in inOrder {
      let begin = entry.byteRange.lowerBound
      guard begin == end else {
        let what = begin < end ? "overlaps the tensor before it" : "leaves a hole before it"
        throw .file(
          path: path,
          reason: "tensor \(name.quoted) begins at byte \(begin) of the file and \(what), which "
            + "ends at \(end): the file is damaged, download or convert it again")
      }
      end = entry.byteRange.upperBound
    }
    guard end == data.upperBound else {
      throw .file(
        path: path,
        reason: "\(data.upperBound - end) bytes follow the last tensor, which ends at byte \(end): "
          + "the file is damaged, download or convert it again")
    }
  }
}

extension String {
  /// The string in quotes, for an error: control characters escaped, no longer than a line.
  var quoted: String {
    let limit = 80
    let start = unicodeScalars.prefix(limit)
    let ellipsis = start.endIndex == endIndex ? "" : "..."
    return String(start).debugDescription + ellipsis
  }
}

extension [Int] {
  /// The numbers in brackets, for an error: no more than a few.
  fileprivate var abbreviated: String {
    let limit = 8
    let start = prefix(limit).map(String.init).joined(separator: ", ")
    return count <= limit ? "[\(start)]" : "[\(start), ...]"
  }
}
