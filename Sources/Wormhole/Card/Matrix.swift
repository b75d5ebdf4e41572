/// A matrix in the card's DRAM: row-major tiles of 32 x 32, each a page, padded with zeros, pages
/// interleaved over all banks.
///
/// It is a name for memory, not its owner: ``Card/free(_:)`` gives that back.
package struct Matrix: Hashable, Sendable {
  package let rows: Int
  package let columns: Int
  package let format: TileFormat

  /// The address in every bank.
  package let base: UInt32

  package var tileRows: Int { (rows + 31) / 32 }
  package var tileColumns: Int { (columns + 31) / 32 }
  package var pageCount: Int { tileRows * tileColumns }
  package var byteCount: Int { pageCount * format.tileBytes }

  /// The bytes of one bank that it takes.
  var bankBytes: Int { (pageCount + 11) / 12 * format.tileBytes }
}
