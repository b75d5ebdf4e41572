import Glibc

/// Memory for elements. Where there is not enough, that is a thrown error: Swift's own allocation
/// would end the process.
enum Memory {
  /// Bytes of memory that the machine has.
  static let physicalByteCount: Int = {
    let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
    let (bytes, overflow) = pages.multipliedReportingOverflow(by: size)
    return pages > 0 && size > 0 && !overflow ? bytes : .max
  }()

  /// Throws where `count` elements of `size` bytes are more than the machine has memory for. The
  /// system may promise more than that, and ends who then uses it.
  static func require(_ count: Int, of size: Int = 1) throws(PI0Error) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: size)
    guard !overflow, bytes <= physicalByteCount else { throw shortage(count, size) }
  }

  /// At least one byte, uninitialised; to be given to ``free(_:)``.
  static func allocate(
    byteCount: Int, alignment: Int = 64
  ) throws(PI0Error) -> UnsafeMutableRawBufferPointer {
    try require(byteCount)
    var start: UnsafeMutableRawPointer?
    let size = max(byteCount, 1)
    guard posix_memalign(&start, alignment, size) == 0, let start else {
      throw shortage(byteCount, 1)
    }
    return UnsafeMutableRawBufferPointer(start: start, count: size)
  }

  /// Frees what ``allocate(byteCount:alignment:)`` returned.
  static func free(_ bytes: UnsafeRawBufferPointer) {
    Glibc.free(UnsafeMutableRawPointer(mutating: bytes.baseAddress))
  }

  private static func shortage(_ count: Int, _ size: Int) -> PI0Error {
    .operation(
      "memory", reason: "more is needed than there is: use smaller shapes",
      operands: ["\(count) elements of \(size) bytes"])
  }
}
