/// How many planes are added at a time: tile 0 of Dst holds the sum so far, the others new ones.
@inline(__always) func planesAtOnce(after done: UInt32, of count: UInt32) -> UInt32 {
  min(done == 0 ? 8 : 7, count - done)
}
