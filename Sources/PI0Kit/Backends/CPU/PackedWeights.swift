import CMicroKernels
import Synchronization

/// A weight `[out, in]` as the panels that the kernels read, see `mk_product`.
struct PackedWeight: Sendable {
  let memory: MemoryPool.Block
  let type: mk_weights
  /// Bytes from panel to panel, and from one input to the next within a panel.
  let panelBytes: Int
  let rowBytes: Int
}

/// The weights that have been packed, each once; forgotten when the tensor's storage is.
final class PackedWeights: Sendable {
  private struct Key: Hashable {
    let storage: ObjectIdentifier
    let byteOffset: Int
    let shape: [Int]
    let type: ElementType
  }

  private struct Entry {
    // A storage's address may be used again once it is gone: the entry is valid only with it.
    weak var storage: TensorStorage?
    let packed: PackedWeight
  }

  private let entries = Mutex<[Key: Entry]>([:])

  /// The packed form of `weight`, made by `pack` at the first call.
  func packed(
    _ weight: Tensor, pack: () throws(PI0Error) -> PackedWeight
  ) throws(PI0Error) -> PackedWeight {
    guard case .host(let storage, let byteOffset) = weight.elements else { return try pack() }
    let key = Key(
      storage: ObjectIdentifier(storage), byteOffset: byteOffset, shape: weight.shape,
      type: weight.elementType)
    let found = entries.withLock { entries in
      entries[key].flatMap { $0.storage === storage ? $0.packed : nil }
    }
    if let found { return found }
    let packed = try pack()
    entries.withLock { entries in
      entries = entries.filter { $0.value.storage != nil }
      entries[key] = Entry(storage: storage, packed: packed)
    }
    return packed
  }
}
