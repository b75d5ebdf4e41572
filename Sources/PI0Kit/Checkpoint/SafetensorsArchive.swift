import Foundation

/// The tensors of a checkpoint, in one file or over several, under one set of names.
public struct SafetensorsArchive: Sendable {
  /// The path that the archive was opened with.
  public let path: String
  /// The files, ordered by name.
  public let files: [SafetensorsFile]
  /// The names of all tensors, sorted.
  public let names: [String]
  /// The metadata of all files. Where they give a key different values, the first file's counts.
  public let metadata: [String: String]
  /// Bytes that all tensors take together.
  public let byteCount: Int
  private let fileOfName: [String: Int]

  private static let fileName = "model.safetensors"
  private static let indexName = "model.safetensors.index.json"

  /// Opens a `.safetensors` file, the index (`.json`) of a checkpoint in several files, or a folder
  /// with `model.safetensors` or `model.safetensors.index.json` in it, looked for in this order.
  ///
  /// The index is `{"weight_map": {tensor name: file name}}`; the files lie beside it.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where a file is missing or malformed, or the index
  ///   and the files do not have the same tensors, each in one file.
  public init(path: String) throws(PI0Error) {
    let found = try Self.find(path)
    guard found.hasSuffix(".json") else {
      try self.init(path: path, files: [SafetensorsFile(path: found)])
      return
    }

    let weightMap = try Self.weightMap(found)
    let folder = found.utf8.lastIndex(of: UInt8(ascii: "/")).map { found[...$0] } ?? ""
    var files: [SafetensorsFile] = []
    var fileNames: [String] = []
    for fileName in Set(weightMap.values).sorted() {
      guard !fileName.isEmpty, fileName != "..", !fileName.utf8.contains(UInt8(ascii: "/")) else {
        throw .file(
          path: found,
          reason: "\"weight_map\" names the file \(fileName.quoted): only files beside the index "
            + "are opened, put them there and name them without a folder")
      }
      files.append(try SafetensorsFile(path: folder + fileName))
      fileNames.append(fileName)
    }
    try self.init(path: path, files: files)

    for (name, fileName) in weightMap {
      guard let file = fileOfName[name], fileNames[file] == fileName else {
        throw Self.mismatch(found, "\(fileName.quoted) does not hold tensor \(name.quoted)")
      }
    }
    for name in names where weightMap[name] == nil {
      throw Self.mismatch(found, "\"weight_map\" does not list tensor \(name.quoted)")
    }
  }

  private init(path: String, files: [SafetensorsFile]) throws(PI0Error) {
    var fileOfName: [String: Int] = [:]
    var metadata: [String: String] = [:]
    var byteCount = 0
    for (index, file) in files.enumerated() {
      metadata.merge(file.metadata) { first, _ in first }
      for (name, entry) in file.entries {
        if let other = fileOfName.updateValue(index, forKey: name) {
          throw .file(
            path: file.path,
            reason: "tensor \(name.quoted) is in \(files[other].path) too: the files are not of "
              + "one checkpoint, download them again")
        }
        byteCount += entry.byteRange.count
      }
    }
    self.path = path
    self.files = files
    self.names = fileOfName.keys.sorted()
    self.metadata = metadata
    self.byteCount = byteCount
    self.fileOfName = fileOfName
  }

  /// What the archive says of the tensor called `name`; nil where there is none.
  public func entry(_ name: String) -> SafetensorsFile.Entry? {
    fileOfName[name].flatMap { files[$0].entries[name] }
  }

  /// The tensor called `name`, as ``SafetensorsFile/tensor(_:on:)`` reads it.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where there is no such tensor, an I64 element does
  ///   not fit in 32 bits, or the type is one that nothing computes with.
  public func tensor(_ name: String, on device: Device = .reference) throws(PI0Error) -> Tensor {
    guard let file = fileOfName[name] else {
      throw .file(
        path: path,
        reason: "none of its \(names.count) tensors is called \(name.quoted): check the name, and "
          + "that the checkpoint is the right one")
    }
    return try files[file].tensor(name, on: device)
  }

  /// The file to open for `path`: itself, or the one to open in that folder.
  private static func find(_ path: String) throws(PI0Error) -> String {
    guard isFolder(path) else { return path }
    for name in [fileName, indexName] {
      let candidate = path + "/" + name
      if FileManager.default.fileExists(atPath: candidate) { return candidate }
    }
    throw .file(
      path: path,
      reason: "the folder has neither \(fileName) nor \(indexName): name the folder of the "
        + "checkpoint, or the file itself")
  }

  private static func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
      && isFolder.boolValue
  }

  private static func weightMap(_ path: String) throws(PI0Error) -> [String: String] {
    struct Index: Decodable {
      let weightMap: [String: String]

      enum CodingKeys: String, CodingKey {
        case weightMap = "weight_map"
      }
    }
    let json = try MappedFile(path: path).json()
    do {
      return try JSONDecoder().decode(Index.self, from: json).weightMap
    } catch {
      throw .file(
        path: path,
        reason: "is no index of a checkpoint, {\"weight_map\": {tensor name: file name}}: "
          + "\(error); download it again")
    }
  }

  private static func mismatch(_ path: String, _ seen: String) -> PI0Error {
    .file(
      path: path,
      reason: "\(seen): the index and the files are not of one checkpoint, download them again")
  }
}
