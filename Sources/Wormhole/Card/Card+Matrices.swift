internal import TensixISA

extension Card {
  /// A matrix of zeros in DRAM.
  package func allocate(
    rows: Int, columns: Int, format: TileFormat = .bfloat16
  ) throws(CardError) -> Matrix {
    let matrix = try reserve(rows: rows, columns: columns, format: format)
    do throws(CardError) {
      try checkMemory("allocate")
      try clear(matrix)
    } catch {
      free(matrix)
      throw error
    }
    return matrix
  }

  /// Writes zeros.
  package func clear(_ matrix: Matrix) throws(CardError) {
    try checkMemory("clear")
    let zeros = [UInt8](repeating: 0, count: matrix.bankBytes)
    for bank in 0..<Int(DRAMLocation.bankCount) {
      let (tile, address) = place(of: bank, matrix)
      try transport.write(zeros, to: tile, at: address)
    }
  }

  /// A matrix whose contents are whatever is there, for an upload, which writes all of it.
  ///
  /// It may lie beyond the end of DRAM, so that all that is needed can be told before anything is brought there:
  /// then ``checkMemory(_:)``, and whatever writes or runs, throws.
  package func reserve(rows: Int, columns: Int, format: TileFormat) throws(CardError) -> Matrix {
    try checkOpen("allocate")
    // Commands count tiles in 16 bits.
    guard (1...65535 * 32).contains(rows), (1...65535 * 32).contains(columns) else {
      throw CardError(
        card: transport.name, call: "allocate", seen: "a matrix of \(rows) x \(columns)",
        remedy: "ask for at least one row and column, and at most \(65535 * 32)")
    }
    let shape = Matrix(rows: rows, columns: columns, format: format, base: 0)
    guard let base = dram.take(shape.bankBytes, planned: true) else {
      throw CardError(
        card: transport.name, call: "allocate",
        seen: "\(rows) x \(columns) \(format), \(shape.byteCount) bytes; of DRAM "
          + "\(freeDRAM) bytes are left",
        remedy: "free matrices that are no longer needed")
    }
    return Matrix(rows: rows, columns: columns, format: format, base: UInt32(base))
  }

  /// Throws where more has been reserved than there is.
  package func checkMemory(_ call: String) throws(CardError) {
    guard dram.isExceeded else { return }
    let banks = Int(DRAMLocation.bankCount), (taken, all) = dram.counts
    throw CardError(
      card: transport.name, call: call,
      seen: "\(taken * banks) bytes of DRAM are needed; there are \(all * banks), of which "
        + "\(freeDRAM) bytes are left",
      remedy: "keep weights as bfp8, prepare for fewer cameras and shorter prompts, or free what "
        + "is no longer needed")
  }

  /// Gives the matrix's memory back; later use of it reads or overwrites somebody else's.
  package func free(_ matrix: Matrix) { _ = dram.giveBack(Int(matrix.base)) }

  /// Bytes of DRAM that are not allocated.
  package var freeDRAM: Int { dram.freeCount * Int(DRAMLocation.bankCount) }

  // MARK: Values

  /// Writes values, row-major, in the matrix's format.
  package func upload(_ values: [Float], to matrix: Matrix) throws(CardError) {
    let columns = matrix.columns
    guard values.count >= matrix.rows * columns else {
      throw CardError(
        card: transport.name, call: "upload",
        seen: "\(values.count) values for \(matrix.rows) x \(columns)",
        remedy: "give as many values as the matrix has")
    }
    try upload(to: matrix) { rows, target, stride in
      for (index, row) in rows.enumerated() {
        for column in 0..<columns {
          target[index * stride + column] = values[row * columns + column]
        }
      }
    }
  }

  /// Writes values, a row of tiles after the other, in the matrix's format.
  ///
  /// - Parameter fill: writes at most 32 rows of the matrix, the first value of row `rows.lowerBound + i` at
  ///   `target[i * stride]`; zeros are there already.
  package func upload(
    to matrix: Matrix,
    fill: (
      _ rows: Range<Int>, _ target: UnsafeMutableBufferPointer<Float>, _ stride: Int
    ) -> Void
  ) throws(CardError) {
    try checkOpen("upload")
    try checkMemory("upload")
    let size = matrix.format.tileBytes, across = matrix.tileColumns
    let banks = Int(DRAMLocation.bankCount), stride = across * 32
    var values = [Float](repeating: 0, count: 32 * stride)
    // Rows of tiles at a time: the pages of a bank follow one another, in one write.
    let together = max(1, 8 * banks / across)
    var top = 0
    while top < matrix.tileRows {
      let end = min(top + together, matrix.tileRows)
      let first = top * across, count = (end - top) * across
      var bytes = [[UInt8]](repeating: [], count: banks)
      for offset in 0..<min(banks, count) {
        bytes[(first + offset) % banks] = [UInt8](
          repeating: 0, count: (count - offset + banks - 1) / banks * size)
      }
      for tileRow in top..<end {
        let rows = tileRow * 32..<min(tileRow * 32 + 32, matrix.rows)
        values.withUnsafeMutableBufferPointer { values in
          values.update(repeating: 0)
          fill(rows, values, stride)
          for column in 0..<across {
            let page = tileRow * across + column
            let place = (page - first) / banks * size
            bytes[page % banks].withUnsafeMutableBytes {
              TileCodec.encode(
                matrix.format, UnsafeBufferPointer(rebasing: values[(column * 32)...]),
                stride: stride,
                into: UnsafeMutableRawBufferPointer(rebasing: $0[place..<place + size]))
            }
          }
        }
      }
      for offset in 0..<min(banks, count) {
        let page = first + offset
        let place = DRAMLocation(
          base: matrix.base, page: UInt32(page), pageBytes: UInt32(size))
        try transport.write(
          bytes[page % banks], to: TileCoordinate(x: Int(place.x), y: Int(place.y)),
          at: UInt64(place.address))
      }
      top = end
    }
  }

  /// Reads values back through the host's window; slow, for tests and for what no command delivers.
  package func download(_ matrix: Matrix) throws(CardError) -> [Float] {
    try checkOpen("download")
    let size = matrix.format.tileBytes
    var values = [Float](repeating: 0, count: matrix.rows * matrix.columns)
    for bank in 0..<min(Int(DRAMLocation.bankCount), matrix.pageCount) {
      let pages = Array(stride(from: bank, to: matrix.pageCount, by: Int(DRAMLocation.bankCount)))
      let (tile, address) = place(of: bank, matrix)
      let words = try transport.readWords(pages.count * size / 4, from: tile, at: address)
      words.withUnsafeBytes { bytes in
        for (index, page) in pages.enumerated() {
          decode(
            UnsafeRawBufferPointer(rebasing: bytes[index * size..<(index + 1) * size]),
            page: page, of: matrix, into: &values)
        }
      }
    }
    return values
  }

  /// Values that a ``CommandBuilder/download(_:to:)`` put into host memory.
  package func values(of buffer: HostBuffer) throws(CardError) -> [Float] {
    try checkOpen("download")
    let matrix = buffer.matrix, size = matrix.format.tileBytes
    var bytes = [UInt8](repeating: 0, count: matrix.byteCount)
    let result = bytes.withUnsafeMutableBytes { bytes in
      Result { () throws(CardError) in
        try transport.hostMemory.read(into: bytes, at: buffer.offset)
      }
    }
    try result.get()
    var values = [Float](repeating: 0, count: matrix.rows * matrix.columns)
    bytes.withUnsafeBytes { bytes in
      for page in 0..<matrix.pageCount {
        decode(
          UnsafeRawBufferPointer(rebasing: bytes[page * size..<(page + 1) * size]), page: page,
          of: matrix, into: &values)
      }
    }
    return values
  }

  private func decode(
    _ bytes: UnsafeRawBufferPointer, page: Int, of matrix: Matrix, into values: inout [Float]
  ) {
    let top = page / matrix.tileColumns * 32, left = page % matrix.tileColumns * 32
    for row in 0..<min(32, matrix.rows - top) {
      for column in 0..<min(32, matrix.columns - left) {
        values[(top + row) * matrix.columns + left + column] = TileCodec.decode(
          matrix.format, bytes, row: row, column: column)
      }
    }
  }

  /// Where the first page of a bank is.
  private func place(of bank: Int, _ matrix: Matrix) -> (TileCoordinate, UInt64) {
    let place = DRAMLocation(base: matrix.base, page: UInt32(bank), pageBytes: 32)
    return (TileCoordinate(x: Int(place.x), y: Int(place.y)), UInt64(place.address))
  }

  // MARK: Host memory

  /// Room in host memory for what a command delivers of `matrix`.
  package func allocateHostBuffer(for matrix: Matrix) throws(CardError) -> HostBuffer {
    try checkOpen("allocate")
    guard let offset = hostSpace.take(matrix.byteCount) else {
      throw CardError(
        card: transport.name, call: "allocate",
        seen: "\(matrix.byteCount) bytes of host memory; \(hostSpace.freeCount) are left, "
          + "\(hostSpace.largestCount) together",
        remedy: "free buffers, or read the matrix through a window")
    }
    return HostBuffer(matrix: matrix, offset: offset)
  }

  package func free(_ buffer: HostBuffer) { _ = hostSpace.giveBack(buffer.offset) }
}

/// A part of host memory that receives a matrix, page after page.
package struct HostBuffer: Hashable, Sendable {
  package let matrix: Matrix
  package let offset: Int
}
