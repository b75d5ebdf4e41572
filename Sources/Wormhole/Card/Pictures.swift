internal import TensixISA

/// Pictures of the same size in the card's DRAM, three bytes a pixel, as a camera gives them;
/// ``CommandBuilder/patches(_:of:into:)`` cuts them.
///
/// It is a name for memory, not its owner: ``Card/free(_:)`` gives that back.
package struct Pictures: Hashable, Sendable {
  package let count: Int
  package let height: Int
  package let width: Int
  /// The address of the first page in every bank.
  package let base: UInt32

  /// Bytes of all pixels.
  package var byteCount: Int { pageCount * rowBytes }

  /// A page is a row of pixels.
  fileprivate var rowBytes: Int { 3 * width }
  fileprivate var pageBytes: Int { (rowBytes + 31) / 32 * 32 }
  fileprivate var pageCount: Int { count * height }
  fileprivate var bankBytes: Int {
    let banks = Int(DRAMLocation.bankCount)
    return (pageCount + banks - 1) / banks * pageBytes
  }

  /// Whether a tile has room for the rows of pixels that 32 elements each of 32 patches are in.
  fileprivate func fits(patch: Int) -> Bool {
    let rowsOfPixels = min(patch, 31 / (3 * patch) + 2), rowsOfPatches = 31 / (width / patch) + 2
    return pageBytes <= 8192
      && rowsOfPatches * rowsOfPixels * pageBytes <= Int(MovingScratch.stagingBytes)
  }

  /// Whether pictures of this size can be cut into patches on the card.
  package static func areCut(height: Int, width: Int, patch: Int) -> Bool {
    patch >= 1 && (patch...65535).contains(height) && (patch...65535).contains(width)
      && Pictures(count: 1, height: height, width: width, base: 0).fits(patch: patch)
  }
}

extension Card {
  /// Room for `count` pictures, whose contents are whatever is there.
  package func allocatePictures(
    count: Int, height: Int, width: Int
  ) throws(CardError) -> Pictures {
    try checkOpen("allocate")
    let sides = 1...65535
    let shape = Pictures(count: count, height: height, width: width, base: 0)
    guard sides.contains(count), sides.contains(height), sides.contains(width),
      let base = dram.take(shape.bankBytes, planned: true)
    else {
      throw CardError(
        card: transport.name, call: "allocate",
        seen: "\(count) pictures of \(width) x \(height) pixels; \(dram.largestCount) bytes are "
          + "left in a bank",
        remedy: "ask for fewer or smaller ones, or free what is no longer needed")
    }
    return Pictures(count: count, height: height, width: width, base: UInt32(base))
  }

  /// Writes the bytes of all pictures: red, green, blue of the top left pixel, and so on.
  package func upload(
    _ pixels: UnsafeRawBufferPointer, to pictures: Pictures
  ) throws(CardError) {
    try checkOpen("upload")
    try checkMemory("upload")
    guard pixels.count == pictures.byteCount else {
      throw CardError(
        card: transport.name, call: "upload",
        seen: "\(pixels.count) bytes for pictures of \(pictures.byteCount)",
        remedy: "give three bytes for each pixel")
    }
    let (rowBytes, pageBytes) = (pictures.rowBytes, pictures.pageBytes)
    let banks = Int(DRAMLocation.bankCount)
    // The pages of a bank follow one another: one write a bank.
    for bank in 0..<min(banks, pictures.pageCount) {
      let pages = Array(stride(from: bank, to: pictures.pageCount, by: banks))
      var bytes = [UInt8](repeating: 0, count: pages.count * pageBytes)
      bytes.withUnsafeMutableBytes { bytes in
        for (index, page) in pages.enumerated() {
          UnsafeMutableRawBufferPointer(rebasing: bytes[(index * pageBytes)...])
            .copyMemory(
              from: UnsafeRawBufferPointer(
                rebasing: pixels[page * rowBytes..<(page + 1) * rowBytes]))
        }
      }
      let place = DRAMLocation(base: pictures.base, page: UInt32(bank), pageBytes: 32)
      try transport.write(
        bytes, to: TileCoordinate(x: Int(place.x), y: Int(place.y)), at: UInt64(place.address))
    }
  }

  /// Gives the pictures' memory back.
  package func free(_ pictures: Pictures) { _ = dram.giveBack(Int(pictures.base)) }
}

extension CommandBuilder {
  /// out[patch, (y side + x) 3 + channel] = byte - 128: patches are counted picture by picture, in reading order.
  ///
  /// - Parameters:
  ///   - side: height and width of a patch; rows and columns that do not fill one are left out.
  ///   - pictures: which no command writes.
  ///   - out: bfloat16, `[patches, side * side * 3]`.
  package mutating func patches(
    _ side: Int, of pictures: Pictures, into out: Matrix
  ) throws(CardError) {
    let (down, across) = (pictures.height / max(1, side), pictures.width / max(1, side))
    guard Pictures.areCut(height: pictures.height, width: pictures.width, patch: side),
      out.format == .bfloat16, out.rows == pictures.count * down * across,
      out.columns == side * side * 3
    else {
      throw error(
        "patches",
        "\(pictures.count) pictures of \(pictures.width) x \(pictures.height) in patches of "
          + "\(side) into \(text(out))")
    }
    var command = PatchesCommand()
    (command.source, command.out) = (pictures.base, out.base)
    command.outStride = UInt32(out.tileColumns)
    command.pageBytes = UInt32(pictures.pageBytes)
    (command.height, command.down) = (UInt32(pictures.height), UInt32(down))
    command.sideBytes = UInt32(3 * side)
    command.side = UInt32(side)
    (command.across, command.patches) = (UInt32(across), UInt32(out.rows))
    append(
      Command(cost: cost(of: command, out), command.write),
      access: CommandAccess(reads: [], writes: [out], scratch: .own))
  }

  /// By the rules of the device program.
  private func cost(of command: PatchesCommand, _ out: Matrix) -> CommandCost {
    var moved = Moved(tiles: tiles)
    let (across, side) = (Int(command.across), Int(command.sideBytes))
    for page in 0..<out.pageCount {
      let first = page % out.tileColumns * 32, end = min(first + 32, out.columns)
      let top = page / out.tileColumns * 32, bottom = min(top + 32, out.rows)
      let rows = (end - 1) / side - first / side + 1
      moved.add(
        unit: page,
        read: ((bottom - 1) / across - top / across + 1) * rows * Int(command.pageBytes),
        written: out.format.tileBytes)
    }
    return moved.cost
  }
}
