/// Instructions of the vector unit (SFPU): 32 lanes of fp32, 8 rows of a tile's face half.
///
/// L0-L7 are registers; 9 reads 0.0, 10 reads 1.0, 11-14 are constants that a program sets.
package enum VectorUnit {
  package static var zero: UInt32 { 9 }
  package static var one: UInt32 { 10 }
  package static var nop: UInt32 { 0x8F << 24 }
  package static var allLanesOn: UInt32 { 0x8A << 24 | 3 << 12 | 10 }
  /// 32 values of Dst as fp32, `row` rows behind the row counter. Address mode 3 does not advance.
  @inline(__always) package static func load(_ to: UInt32, row: UInt32 = 0) -> UInt32 {
    0x70 << 24 | to << 20 | 3 << 16 | 3 << 14 | row
  }
  @inline(__always) package static func store(_ from: UInt32, row: UInt32 = 0) -> UInt32 {
    0x72 << 24 | from << 20 | 3 << 16 | 3 << 14 | row
  }
  /// Stores, and moves the row counter as address mode 2 says.
  @inline(__always) package static func storeAdvancing(
    _ from: UInt32, row: UInt32 = 0
  ) -> UInt32 {
    0x72 << 24 | from << 20 | 3 << 16 | 2 << 14 | row
  }
  /// The upper half of an fp32 value; the lower becomes zero.
  @inline(__always) package static func loadShort(_ to: UInt32, _ bits: UInt32) -> UInt32 {
    0x71 << 24 | to << 20 | bits >> 16
  }
  @inline(__always) package static func loadLow(_ to: UInt32, _ bits: UInt32) -> UInt32 {
    0x71 << 24 | to << 20 | 10 << 16 | bits & 0xFFFF
  }
  @inline(__always) package static func loadHigh(_ to: UInt32, _ bits: UInt32) -> UInt32 {
    0x71 << 24 | to << 20 | 8 << 16 | bits >> 16
  }
  /// A constant register takes the value of L0.
  @inline(__always) package static func setConstant(_ register: UInt32) -> UInt32 {
    0x91 << 24 | register << 4
  }
  @inline(__always) package static func move(_ to: UInt32, _ from: UInt32) -> UInt32 {
    0x7C << 24 | from << 8 | to << 4
  }
  @inline(__always) package static func negate(_ to: UInt32, _ from: UInt32) -> UInt32 {
    move(to, from) | 1
  }
  /// `to = a * b + c`. Its result, and that of `multiply` and `add`, is there one instruction later.
  @inline(__always) package static func mad(
    _ to: UInt32, _ a: UInt32, _ b: UInt32, _ c: UInt32
  ) -> UInt32 { 0x84 << 24 | a << 16 | b << 12 | c << 8 | to << 4 }
  @inline(__always) package static func multiply(
    _ to: UInt32, _ a: UInt32, _ b: UInt32
  ) -> UInt32 { 0x86 << 24 | a << 16 | b << 12 | zero << 8 | to << 4 }
  @inline(__always) package static func add(_ to: UInt32, _ a: UInt32, _ b: UInt32) -> UInt32 {
    0x85 << 24 | one << 16 | a << 12 | b << 8 | to << 4
  }
  /// `to += value`, of which the upper half counts; one instruction later.
  @inline(__always) package static func addShort(_ to: UInt32, _ bits: UInt32) -> UInt32 {
    0x75 << 24 | (bits >> 16) << 8 | to << 4
  }
  /// `larger` gets the larger of both in each lane, `smaller` the smaller; one instruction later.
  @inline(__always) package static func sort(larger: UInt32, smaller: UInt32) -> UInt32 {
    0x92 << 24 | larger << 8 | smaller << 4 | 1
  }
  /// `to` gets the larger of itself and a constant; one instruction later.
  @inline(__always) package static func raise(_ to: UInt32, to constant: UInt32) -> UInt32 {
    0x92 << 24 | constant << 8 | to << 4 | 9
  }
  /// Each lane gets its neighbour's value of `from`, within the eight of a row; one instruction later.
  @inline(__always) package static func rotateRow(_ to: UInt32, _ from: UInt32) -> UInt32 {
    0x94 << 24 | from << 8 | to << 4 | 3
  }
  /// `from` with another exponent field, that of 1.0 for instance being 127.
  @inline(__always) package static func setExponent(
    _ to: UInt32, _ from: UInt32, _ exponent: UInt32
  ) -> UInt32 { 0x82 << 24 | exponent << 12 | from << 8 | to << 4 | 1 }
  /// `to` keeps its exponent, and gets sign and mantissa of `from`.
  @inline(__always) package static func keepExponent(_ to: UInt32, _ from: UInt32) -> UInt32 {
    0x82 << 24 | from << 8 | to << 4 | 2
  }
  /// As unsigned bits.
  @inline(__always) package static func shiftRight(_ register: UInt32, _ count: UInt32) -> UInt32 {
    0x7A << 24 | (0x1000 - count) << 12 | register << 4 | 1
  }
  @inline(__always) package static func shiftLeft(_ register: UInt32, _ count: UInt32) -> UInt32 {
    0x7A << 24 | count << 12 | register << 4 | 1
  }
  /// Integer `to = other + to` on the bit patterns.
  @inline(__always) package static func integerAdd(_ to: UInt32, _ other: UInt32) -> UInt32 {
    0x79 << 24 | other << 8 | to << 4 | 4
  }
  /// Integer `to = other - to` on the bit patterns.
  @inline(__always) package static func integerSubtract(
    _ to: UInt32, from other: UInt32
  ) -> UInt32 { 0x79 << 24 | other << 8 | to << 4 | 6 }
}
