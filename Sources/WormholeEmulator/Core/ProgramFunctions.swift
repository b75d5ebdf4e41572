import CTensixImages

/// The functions of the card's own programs, by address.
enum ProgramFunctions {
  /// The function that the instruction at an address of L1 belongs to; nil where L1 does not hold one
  /// of our programs there.
  ///
  /// - Parameter caller: Where it returns to, for code that several functions share.
  static func name(at address: UInt32, caller: UInt32? = nil, in l1: L1) -> String? {
    guard address & 3 == 0, let image = image(at: address) else { return nil }
    let word = l1.memory.loadUnaligned(fromByteOffset: Int(address), as: UInt32.self)
    guard word == image.words[Int(address - image.address) / 4] else { return nil }
    var name: String?
    for function in UnsafeBufferPointer(start: image.functions, count: Int(image.function_count))
    where function.address <= address { name = String(cString: function.name) }
    if let caller, name?.hasPrefix("OUTLINED") == true {
      return Self.name(at: caller, in: l1).map { "code shared by \($0)" } ?? name
    }
    return name
  }

  private static func image(at address: UInt32) -> tx_image? {
    var index: Int32 = 0
    while let image = tx_image(index)?.pointee {
      if address >= image.address, (address - image.address) / 4 < image.count { return image }
      index += 1
    }
    return nil
  }
}
