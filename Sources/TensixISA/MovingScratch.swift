/// What gather, reshape and patches keep in a tile's ``Buffer/scratch``.
package enum MovingScratch {
  /// Pages of `out` for the slots of the output buffer: the reader says where the writer writes.
  @inline(__always) package static func page(_ slot: UInt32) -> UInt32 {
    Buffer.scratch + (slot & (Buffer.outputDepth - 1)) * 4
  }
  /// Stands for no page: the command has no more.
  package static var end: UInt32 { 0xFFFF_FFFF }

  /// An output tile's runs of rows, at most 32: row and count, then the source's row.
  @inline(__always) package static func run(_ number: UInt32) -> UInt32 {
    Buffer.scratch + 0x100 + number * 8
  }
  /// The source of rows of zeros.
  package static var zeros: UInt32 { 0xFFFF_FFFF }

  /// An output tile's part of the table.
  package static var entries: UInt32 { Buffer.scratch + 0x200 }
  /// For each byte what ``PatchesCommand`` makes of it, in bfloat16.
  package static var pixels: UInt32 { Buffer.scratch + 0x400 }
  /// Elements on their way to a place that the NoC cannot reach: for gather two tiles side by side, for
  /// reshape at most 32 segments a row, for patches the rows of pixels of 32.
  package static var staging: UInt32 { Buffer.scratch + 0x1000 }
  package static var stagingBytes: UInt32 { Buffer.scratchBytes - 0x1000 }
}

extension DRAMLocation {
  /// A table of rows lies contiguously in the first bank, as lists of commands do.
  @inline(__always) package init(tableEntry index: UInt32, of base: UInt32) {
    self.init(command: 0, ofListAt: base &+ 4 &* index)
  }
}
