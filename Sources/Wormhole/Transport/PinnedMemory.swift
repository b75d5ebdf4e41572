internal import CTTDevice
import Glibc

/// Host memory that the driver lets the tiles reach.
struct PinnedMemory {
  let start: UnsafeMutableRawPointer
  let size: UInt64
  /// Where the tiles see it.
  let address: UInt64
  /// What kind it is, in words.
  let kind: String
  private let isBuffer: Bool

  /// In the order of trying: a huge page is contiguous, which is what a machine without an IOMMU
  /// needs; with one, any memory will do; the driver can find contiguous memory itself; and a page
  /// is always contiguous, if small.
  private enum Source: CaseIterable {
    case page2MiB, page1GiB, plain, buffer, page4KiB

    var size: UInt64 {
      switch self {
      case .page1GiB: 1 << 30
      case .page4KiB: 4096
      default: 2 << 20
      }
    }
    var pageLog2: Int32 {
      switch self {
      case .page2MiB: 21
      case .page1GiB: 30
      default: 12
      }
    }
    var name: String {
      switch self {
      case .page2MiB: "a 2 MiB huge page"
      case .page1GiB: "a 1 GiB huge page"
      case .plain: "2 MiB behind an IOMMU"
      case .buffer: "2 MiB of the driver's"
      case .page4KiB: "one page of 4 KiB"
      }
    }
  }

  /// The first kind that this machine has, zeroed, of NUMA node `node`. `node` is nil where unknown.
  static func first(
    _ connection: DriverConnection, node: Int?
  ) throws(CardError) -> PinnedMemory {
    var refusals: [String] = []
    for source in Source.allCases {
      do throws(CardError) {
        return try PinnedMemory(source, connection, node: node)
      } catch {
        if error.code == ENODEV { throw error }
        refusals.append("\(source.name): \(error.call): \(error.seen)")
      }
    }
    throw CardError(
      card: connection.path, call: "PIN_PAGES", seen: refusals.joined(separator: ", "),
      remedy: "reserve a huge page with sysctl vm.nr_hugepages=1, or boot with an IOMMU on "
        + "(intel_iommu=on or amd_iommu=on); each card has 16 regions for all processes")
  }

  private init(
    _ source: Source, _ connection: DriverConnection, node: Int?
  ) throws(CardError) {
    size = source.size
    kind = source.name
    isBuffer = source == .buffer
    if isBuffer {
      let buffer = try connection.allocateBuffer(size: UInt32(source.size))
      start = try connection.map(offset: buffer.mapping_offset, size: source.size)
      address = buffer.noc_address
    } else {
      start = try connection.mapHostMemory(
        size: source.size, pageLog2: source.pageLog2, node: node)
      do throws(CardError) {
        address = try connection.pin(start, size: source.size).noc_address
      } catch {
        connection.unmap(start, size: source.size)
        throw error
      }
    }
    guard address >= Self.lowestAddress else {
      unpin(connection)
      release(connection)
      throw CardError(
        card: connection.path, call: "PIN_PAGES",
        seen: "NoC address 0x\(String(address, radix: 16))",
        remedy: "the driver does not map memory for the NoC: install tt-kmd "
          + "\(DriverVersion.recommended) or later")
    }
    // The kernel's pages are zero already.
    if isBuffer { start.initializeMemory(as: UInt8.self, repeating: 0, count: Int(size)) }
  }

  /// Where host memory begins for a tile.
  private static let lowestAddress: UInt64 = 0x8_0000_0000

  /// Ends the tiles' access, which no tile may use any more. Where the driver does not, closing will.
  func unpin(_ connection: DriverConnection) {
    if isBuffer {
      connection.unmap(start, size: size)  // the mapping would keep the card open
    } else {
      try? connection.unpin(start, size: size)
    }
  }

  /// Gives the memory back, after the card was closed.
  func release(_ connection: DriverConnection) {
    if !isBuffer { connection.unmap(start, size: size) }
  }
}
