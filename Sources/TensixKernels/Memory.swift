import _Volatile

/// A 32-bit word anywhere in a core's address space: L1, registers of the tile, the coprocessor.
/// Always a single lw or sw.
enum Memory {
  @inline(__always) static subscript(_ address: UInt32) -> UInt32 {
    get { VolatileMappedRegister<UInt32>(unsafeBitPattern: UInt(address)).load() }
    set { VolatileMappedRegister<UInt32>(unsafeBitPattern: UInt(address)).store(newValue) }
  }

  /// Returns when what this core stored at `address` is there: the NoC, or another core told by a
  /// store elsewhere, could overtake it.
  @inline(__always) static func settle(_ address: UInt32) { self[0xFFB0_0000] = self[address] }

  @inline(__always) static func wait(_ address: UInt32, until condition: (UInt32) -> Bool) {
    while !condition(self[address]) {}
  }
}

/// Backend configuration words, bank 0.
enum Configuration {
  @inline(__always) static subscript(_ word: UInt32) -> UInt32 {
    get { Memory[0xFFEF_0000 + 4 * word] }
    set { Memory[0xFFEF_0000 + 4 * word] = newValue }
  }
}

// MARK: - What the compiler may call

// Volatile access keeps these loops from being recognised as themselves. The linker drops them where
// nothing calls them.

/// Large values that start as zero become a call of this.
@c(memset) public func fill(_ destination: UInt32, _ value: Int32, _ count: UInt32) -> UInt32 {
  for i in 0..<count {
    VolatileMappedRegister<UInt8>(unsafeBitPattern: UInt(destination &+ i))
      .store(UInt8(truncatingIfNeeded: value))
  }
  return destination
}

/// Copies of large values become a call of this.
@c(memcpy) public func copy(_ destination: UInt32, _ source: UInt32, _ count: UInt32) -> UInt32 {
  var done: UInt32 = 0
  if (destination | source) & 3 == 0 {
    while done &+ 4 <= count {
      Memory[destination &+ done] = Memory[source &+ done]
      done &+= 4
    }
  }
  for i in done..<count {
    VolatileMappedRegister<UInt8>(unsafeBitPattern: UInt(destination &+ i))
      .store(VolatileMappedRegister<UInt8>(unsafeBitPattern: UInt(source &+ i)).load())
  }
  return destination
}
