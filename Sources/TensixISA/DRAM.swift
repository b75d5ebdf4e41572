/// Where a page is in DRAM: a tile of NoC 0 and an address behind it.
///
/// Pages are interleaved over twelve banks, six controllers with two channels of 1 GiB each.
package struct DRAMLocation {
  package var x: UInt32
  package var y: UInt32
  package var address: UInt32

  package static var bankCount: UInt32 { 12 }
  package static var bankBytes: UInt32 { 1 << 30 }

  /// Page `page` of a buffer at `base` in every bank. `pageBytes` is a multiple of 32.
  @inline(__always) package init(base: UInt32, page: UInt32, pageBytes: UInt32) {
    let bank = page % 12
    (x, y) = Self.port(of: bank)
    address = base &+ (page / 12) &* pageBytes &+ (bank & 1) << 30
  }

  /// A list of commands lies contiguously in the first bank.
  @inline(__always) package init(command index: UInt32, ofListAt base: UInt32) {
    (x, y) = Self.port(of: 0)
    address = base &+ index &* CommandLayout.byteCount
  }

  /// Each bank is reached through a port of its own, in as many rows as there are: a link of the NoC carries 32
  /// bytes a cycle, a controller gives 48.
  ///
  ///     controller   0     1     2     3     4     5
  ///     column       0     0     5     5     5     5
  ///     rows        0, 1  5, 6  11, 1  2, 9  3, 8  7, 6
  @inline(__always) private static func port(of bank: UInt32) -> (UInt32, UInt32) {
    let rows: UInt32 = bank < 8 ? 0x921B_6510 : 0x6783
    return (bank < 4 ? 0 : 5, rows >> (4 * (bank & 7)) & 15)
  }
}
