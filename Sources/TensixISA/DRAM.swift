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
    (x, y) = Self.controller(bank >> 1)
    address = base &+ (page / 12) &* pageBytes &+ (bank & 1) << 30
  }

  /// A list of commands lies contiguously in the first bank.
  @inline(__always) package init(command index: UInt32, ofListAt base: UInt32) {
    (x, y, address) = (0, 0, base &+ index &* CommandLayout.byteCount)
  }

  @inline(__always) private static func controller(_ number: UInt32) -> (UInt32, UInt32) {
    switch number {
    case 0: (0, 0)
    case 1: (0, 5)
    case 2: (5, 0)
    case 3: (5, 2)
    case 4: (5, 3)
    default: (5, 5)
    }
  }
}
