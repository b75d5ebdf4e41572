/// What STALLWAIT waits for.
package enum Idle {
  package static var thcon: UInt32 { 0x1 }
  package static var unpackers: UInt32 { 0x6 }
  package static var packers: UInt32 { 0x78 }
  package static var matrix: UInt32 { 0x80 }
  package static var configuration: UInt32 { 0x2000 }
  package static var vector: UInt32 { 0x4000 }
}

/// What STALLWAIT and SEMWAIT keep back.
package enum Block {
  package static var tdma: UInt32 { 0x1 }
  package static var sync: UInt32 { 0x2 }
  package static var pack: UInt32 { 0x4 }
  package static var unpack: UInt32 { 0x8 }
  package static var thcon: UInt32 { 0x20 }
  package static var matrix: UInt32 { 0x40 }
  package static var configuration: UInt32 { 0x80 }
  package static var vector: UInt32 { 0x100 }
}

/// Semaphores between the three Tensix threads.
package enum Semaphore {
  /// Halves of Dst that are computed and not yet packed.
  package static var mathToPack: UInt32 { 1 }
  /// Tiles that the unpacker put into Dst and the math thread has not used.
  package static var unpackToMath: UInt32 { 2 }
  /// Permission for the unpacker to write into Dst.
  package static var dstFree: UInt32 { 3 }
  /// What the unpackers, the matrix unit have carried out of what their cores pushed: cores take these.
  package static var unpacked: UInt32 { 4 }
  package static var multiplied: UInt32 { 5 }
  /// A half of Dst is free and zero, for the unpacker to put partial sums there.
  package static var halfFree: UInt32 { 6 }
}
