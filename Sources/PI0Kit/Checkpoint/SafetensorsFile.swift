/// A safetensors file, mapped into memory.
///
/// Opening it reads and checks the header alone; the system reads the tensors' bytes as they are
/// used. The file must not be shortened while it, or a tensor of it, is in use.
///
///     let file = try SafetensorsFile(path: "model.safetensors")
///     let weight = try file.tensor("action_in_proj.weight")
public struct SafetensorsFile: Sendable {
  /// What the header says of a tensor.
  public struct Entry: Sendable, Equatable {
    /// The type of the elements.
    public let type: SafetensorsType
    /// Dimensions, outermost first. An empty shape is a scalar.
    public let shape: [Int]
    /// The number of elements.
    public let elementCount: Int
    /// Where in the file the elements are, row-major, little-endian.
    public let byteRange: Range<Int>
  }

  /// Where the file is.
  public let path: String
  /// Free text under `__metadata__` in the header.
  public let metadata: [String: String]
  /// The tensors by name. Names that Unicode holds equal are the same name.
  public let entries: [String: Entry]
  private let storage: TensorStorage

  /// Opens the file at `path`.
  ///
  /// Format: <https://github.com/huggingface/safetensors>, section "Format".
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where there is no such file to read, or it departs
  ///   from the format.
  public init(path: String) throws(PI0Error) {
    let file = try MappedFile(path: path)
    try self.init(TensorStorage(borrowing: file.bytes, from: file), path: path)
  }

  /// The file whose contents `storage` holds.
  init(_ storage: TensorStorage, path: String) throws(PI0Error) {
    let header = try SafetensorsHeader(storage.bytes, path: path)
    self.path = path
    self.storage = storage
    metadata = header.metadata
    entries = header.entries
  }

  /// The tensor called `name`.
  ///
  /// F32, BF16, F16, I32 and BOOL tensors are views of the file, not copies. U8 and I64 become
  /// int32; F64 becomes float32, each element rounded to nearest.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where there is no such tensor, an I64 element does
  ///   not fit in 32 bits, or the type is another.
  public func tensor(_ name: String, on device: Device = .reference) throws(PI0Error) -> Tensor {
    let entry = try entry(name)
    switch entry.type {
    case .float32: return try view(entry, as: .float32, on: device)
    case .bfloat16: return try view(entry, as: .bfloat16, on: device)
    case .float16: return try view(entry, as: .float16, on: device)
    case .int32: return try view(entry, as: .int32, on: device)
    case .bool: return try view(entry, as: .bool, on: device)
    case .uint8:
      return try converted(entry, to: .int32, on: device) { (value: UInt8, _) in Int32(value) }
    case .int64:
      return try converted(entry, to: .int32, on: device) {
        (value: Int64, index) throws(PI0Error) in
        guard let narrow = Int32(exactly: value) else {
          throw .file(
            path: path,
            reason: "element \(index) of tensor \(name.quoted) is \(value), which does not fit in "
              + "int32: store indices and counts below 2^31")
        }
        return narrow
      }
    case .float64:
      return try converted(entry, to: .float32, on: device) { (value: Double, _) in Float(value) }
    default:
      throw .file(
        path: path,
        reason: "tensor \(name.quoted) is of type \(entry.type.rawValue), with which nothing here "
          + "computes: convert it to F32, BF16 or I32")
    }
  }

  /// The bytes of the tensor called `name`, as in the file: any type, row-major, little-endian.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where there is no such tensor.
  public func bytes(_ name: String) throws(PI0Error) -> [UInt8] {
    Array(storage.bytes[try entry(name).byteRange])
  }

  private func entry(_ name: String) throws(PI0Error) -> Entry {
    guard let entry = entries[name] else {
      throw .file(
        path: path,
        reason: "none of its \(entries.count) tensors is called \(name.quoted): check the name, "
          + "and that the file is the right one")
    }
    return entry
  }

  private func view(
    _ entry: Entry, as type: ElementType, on device: Device
  ) throws(PI0Error) -> Tensor {
    try Tensor(
      shape: entry.shape, elementType: type, device: device, storage: storage,
      byteOffset: entry.byteRange.lowerBound)
  }

  private func converted<Stored: BitwiseCopyable, Element: BitwiseCopyable>(
    _ entry: Entry, to type: ElementType, on device: Device,
    convert: (Stored, _ index: Int) throws(PI0Error) -> Element
  ) throws(PI0Error) -> Tensor {
    let source = UnsafeRawBufferPointer(rebasing: storage.bytes[entry.byteRange])
    return try Tensor(shape: entry.shape, elementType: type, device: device) {
      (target: UnsafeMutableBufferPointer<Element>) throws(PI0Error) in
      for index in target.indices {
        let offset = index * MemoryLayout<Stored>.size
        target[index] = try convert(
          source.loadUnaligned(fromByteOffset: offset, as: Stored.self), index)
      }
    }
  }
}
