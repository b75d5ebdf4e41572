import Foundation

/// Makes safetensors files for tests, right ones and wrong ones.
enum SafetensorsWriter {
  /// A tensor to write. `type` is the header's `dtype`.
  struct Item {
    let name: String
    let type: String
    let shape: [Int]
    let bytes: [UInt8]

    init(_ name: String, _ type: String, _ shape: [Int], _ bytes: [UInt8]) {
      self.name = name
      self.type = type
      self.shape = shape
      self.bytes = bytes
    }

    /// The elements as they lie in memory, which is little-endian.
    init<Element: BitwiseCopyable>(
      _ name: String, _ type: String, _ shape: [Int], elements: [Element]
    ) {
      self.init(name, type, shape, elements.withUnsafeBytes(Array.init))
    }
  }

  /// A file of the tensors, end to end in the given order, the header padded with spaces so that
  /// the data starts `misalignment` bytes after a multiple of 8.
  static func file(
    _ items: [Item], metadata: [String: String]? = nil, misalignment: Int = 0
  ) throws -> Data {
    var fields: [String] = []
    if let metadata {
      let pairs = try metadata.sorted { $0.key < $1.key }.map { "\(try json($0)):\(try json($1))" }
      fields.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    var data = Data()
    for item in items {
      let end = data.count + item.bytes.count
      fields.append(
        "\(try json(item.name)):{\"dtype\":\(try json(item.type)),\"shape\":\(item.shape),"
          + "\"data_offsets\":[\(data.count),\(end)]}")
      data.append(contentsOf: item.bytes)
    }
    var header = "{\(fields.joined(separator: ","))}"
    while header.utf8.count % 8 != misalignment { header += " " }
    return file(header: header, data: data)
  }

  /// A file of this header, whatever it is, and this data.
  static func file(header: String, data: Data = Data()) -> Data {
    file(header: Data(header.utf8), data: data)
  }

  /// A file of this header, whatever it is, and this data.
  static func file(header: Data, data: Data = Data()) -> Data {
    lengthField(UInt64(header.count)) + header + data
  }

  /// The 8 bytes that a file starts with.
  static func lengthField(_ length: UInt64) -> Data {
    withUnsafeBytes(of: length.littleEndian) { Data($0) }
  }

  private static func json(_ string: String) throws -> String {
    String(decoding: try JSONEncoder().encode(string), as: UTF8.self)
  }
}
