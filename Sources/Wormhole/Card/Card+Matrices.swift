internal import TensixISA

extension Card {
  /// A matrix of zeros in DRAM.
  package func allocate(
    rows: Int, columns: Int, format: TileFormat = .bfloat16
  ) throws(CardError) -> Matrix {
    let matrix = try reserve(rows: rows, columns: columns, format: format)
    let zeros = [UInt8](repeating: 0, count: matrix.bankBytes)
    for bank in 0..<DRAMLocation.bankCount {
      let place = DRAMLocation(base: matrix.base, page: bank, pageBytes: 32)
      try transport.write(
        zeros, to: TileCoordinate(x: Int(place.x), y: Int(place.y)), at: UInt64(place.address))
    }
    return matrix
  }

  /// A matrix whose contents are whatever is there, for an upload, which writes all of it.
  package func reserve(rows: Int, columns: Int, format: TileFormat) throws(CardError) -> Matrix {
    try checkOpen("allocate")
    // Commands count tiles in 16 bits.
    guard (1...65535 * 32).contains(rows), (1...65535 * 32).contains(columns) else {
      throw CardError(
        card: transport.name, call: "allocate", seen: "a matrix of \(rows) x \(columns)",
        remedy: "ask for at least one row and column, and at most \(65535 * 32)")
    }
    let shape = Matrix(rows: rows, columns: columns, format: format, base: 0)
    guard let base = dram.take(shape.bankBytes) else {
      let banks = Int(DRAMLocation.bankCount)
      throw CardError(
        card: transport.name, call: "allocate",
        seen: "\(rows) x \(columns) \(format), \(shape.byteCount) bytes; of DRAM "
          + "\(dram.freeCount * banks) bytes are left, \(dram.largestCount * banks) together",
        remedy: "free matrices that are no longer needed")
    }
    return Matrix(rows: rows, columns: columns, format: format, base: UInt32(base))
  }

  /// Gives the matrix's memory back; later use of it reads or overwrites somebody else's.
  package func free(_ matrix: Matrix) { _ = dram.giveBack(Int(matrix.base)) }

  /// Bytes of DRAM that are not allocated.
  package var freeDRAM: Int { dram.freeCount * Int(DRAMLocation.bankCount) }

  // MARK: Values

  /// Writes values, row-major, in the matrix's format.
  package func upload(_ values: [Float], to matrix: Matrix) throws(CardError) {
    try upload(values, to: matrix, rowStride: matrix.columns, columnStride: 1)
  }

  /// Writes element (r, c) = values[r * rowStride + c * columnStride]; swapped strides transpose.
  package func upload(
    _ values: [Float], to matrix: Matrix, rowStride: Int, columnStride: Int
  ) throws(CardError) {
    try checkCount(values.count, matrix, rowStride, columnStride)
    let result = values.withUnsafeBufferPointer { values in
      Result { () throws(CardError) in
        try uploadTiles(matrix) { values[$0 * rowStride + $1 * columnStride] }
      }
    }
    try result.get()
  }

  /// The same from bfloat16 values.
  package func upload(
    bfloat16 values: UnsafeBufferPointer<UInt16>, to matrix: Matrix, rowStride: Int,
    columnStride: Int
  ) throws(CardError) {
    try checkCount(values.count, matrix, rowStride, columnStride)
    if matrix.format == .bfloat16, columnStride == 1 {
      // Rows of faces are copied as they are.
      return try uploadPages(matrix) { bytes, top, left in
        for row in 0..<min(32, matrix.rows - top) {
          for half in 0..<min(2, (matrix.columns - left + 15) / 16) {
            let start = (top + row) * rowStride + left + 16 * half
            let count = min(16, matrix.columns - left - 16 * half)
            UnsafeMutableRawBufferPointer(
              rebasing: bytes[(2 * tileOffset(row: row, column: 16 * half))...]
            ).copyMemory(
              from: UnsafeRawBufferPointer(
                UnsafeBufferPointer(rebasing: values[start..<start + count])))
          }
        }
      }
    }
    try uploadTiles(matrix) { TileCodec.float(values[$0 * rowStride + $1 * columnStride]) }
  }

  private func checkCount(
    _ count: Int, _ matrix: Matrix, _ rowStride: Int, _ columnStride: Int
  ) throws(CardError) {
    let row = (matrix.rows - 1).multipliedReportingOverflow(by: rowStride)
    let column = (matrix.columns - 1).multipliedReportingOverflow(by: columnStride)
    let last = row.partialValue.addingReportingOverflow(column.partialValue)
    guard rowStride >= 0, columnStride >= 0, !row.overflow, !column.overflow, !last.overflow,
      last.partialValue < count
    else {
      throw CardError(
        card: transport.name, call: "upload",
        seen: "\(count) values for \(matrix.rows) x \(matrix.columns) with strides "
          + "\(rowStride), \(columnStride)",
        remedy: "give as many values as the matrix has")
    }
  }

  private func uploadTiles(
    _ matrix: Matrix, value: (_ row: Int, _ column: Int) -> Float
  ) throws(CardError) {
    try uploadPages(matrix) { bytes, top, left in
      TileCodec.encode(matrix.format, into: bytes) { row, column in
        top + row < matrix.rows && left + column < matrix.columns
          ? value(top + row, left + column) : 0
      }
    }
  }

  /// `fill` writes the tile whose first value is at `top`, `left` into bytes that are 0.
  private func uploadPages(
    _ matrix: Matrix,
    _ fill: (_ bytes: UnsafeMutableRawBufferPointer, _ top: Int, _ left: Int) -> Void
  ) throws(CardError) {
    try checkOpen("upload")
    let size = matrix.format.tileBytes
    // The pages of a bank follow one another: one write a bank.
    for bank in 0..<min(Int(DRAMLocation.bankCount), matrix.pageCount) {
      let pages = Array(stride(from: bank, to: matrix.pageCount, by: Int(DRAMLocation.bankCount)))
      var bytes = [UInt8](repeating: 0, count: pages.count * size)
      bytes.withUnsafeMutableBytes { bytes in
        for (index, page) in pages.enumerated() {
          fill(
            UnsafeMutableRawBufferPointer(rebasing: bytes[(index * size)..<(index * size + size)]),
            page / matrix.tileColumns * 32, page % matrix.tileColumns * 32)
        }
      }
      let (tile, address) = place(of: bank, matrix)
      try transport.write(bytes, to: tile, at: address)
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
