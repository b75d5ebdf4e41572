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
    let turn = page / 12, bank = page % 12
    (x, y) = Self.port(turn % 3, of: bank)
    address = base &+ turn &* pageBytes &+ (bank & 1) << 30
  }

  /// A list of commands lies contiguously in the first bank.
  @inline(__always) package init(command index: UInt32, ofListAt base: UInt32) {
    (x, y) = Self.port(0, of: 0)
    address = base &+ index &* CommandLayout.byteCount
  }

  /// A controller, with its two banks, has three ports, which take turns: a link of the NoC carries 32 bytes a cycle, a
  /// controller gives 48, and controllers 0 and 2, 1 and 5 stand in the same rows.
  ///
  ///     controller   0         1        2         3         4        5
  ///     column       0         0        5         5         5        5
  ///     rows         0, 1, 11  5, 6, 7  0, 1, 11  2, 9, 10  3, 4, 8  5, 6, 7
  @inline(__always) private static func port(
    _ number: UInt32, of bank: UInt32
  ) -> (UInt32, UInt32) {
    let rows: UInt32 = number == 0 ? 0x532050 : number == 1 ? 0x649161 : 0x78AB7B
    return (bank < 4 ? 0 : 5, rows >> (bank / 2 * 4) & 15)
  }
}
