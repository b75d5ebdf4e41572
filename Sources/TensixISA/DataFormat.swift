/// Formats of tiles in L1 and DRAM, by their hardware codes.
///
/// A tile is 32 x 32 values as four faces of 16 x 16: upper left, upper right, lower left, lower
/// right, each row by row. `bfp8` puts 64 bytes of exponents, one to a row of a face, before 1024
/// bytes of sign and magnitude.
package enum DataFormat {
  package static var float32: UInt32 { 0 }
  package static var tf32: UInt32 { 4 }
  package static var bfloat16: UInt32 { 5 }
  package static var bfp8: UInt32 { 6 }

  @inline(__always) package static func tileBytes(_ format: UInt32) -> UInt32 {
    format == bfloat16 ? 2048 : format == float32 ? 4096 : 1088
  }
}

/// Where a value stands in a tile, in values.
@inline(__always) package func tileOffset(row: Int, column: Int) -> Int {
  ((row >> 4) * 2 + (column >> 4)) * 256 + (row & 15) * 16 + (column & 15)
}
