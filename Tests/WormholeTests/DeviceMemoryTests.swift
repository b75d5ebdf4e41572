import CTTDevice
import Glibc
import XCTest

/// Mappings, host memory and the copies to and from a card, on memory of this process.
final class DeviceMemoryTests: XCTestCase {
  func testFailedMapIsNil() {
    var start = UnsafeMutableRawPointer(bitPattern: 1)
    XCTAssertEqual(tt_map(-1, 0, 4096, &start), -EBADF)
    XCTAssertNil(start)
  }

  func testMapSharesTheFile() throws {
    let file = try XCTUnwrap(tmpfile())
    defer { fclose(file) }
    let descriptor = fileno(file)
    XCTAssertEqual(ftruncate(descriptor, 8192), 0)
    var start: UnsafeMutableRawPointer?
    XCTAssertEqual(tt_map(descriptor, 4096, 4096, &start), 0)
    let window = try XCTUnwrap(start)
    tt_write32(window + 8, 0x0403_0201)
    tt_store_fence()
    tt_load_fence()
    XCTAssertEqual(tt_read32(window + 8), 0x0403_0201)
    var seen = [UInt8](repeating: 0, count: 4)
    XCTAssertEqual(pread(descriptor, &seen, 4, 4096 + 8), 4)
    XCTAssertEqual(seen, [1, 2, 3, 4])
    XCTAssertEqual(tt_unmap(window, 4096), 0)
    XCTAssertEqual(tt_unmap(window + 1, 4096), -EINVAL)
    XCTAssertEqual(tt_map(descriptor, 1, 4096, &start), -EINVAL)
    XCTAssertNil(start)
  }

  func testHostMemoryIsPresentAndZero() throws {
    let size = 16 * 4096
    var start: UnsafeMutableRawPointer?
    XCTAssertEqual(tt_map_host_memory(UInt64(size), 12, -1, &start), 0)
    let memory = try XCTUnwrap(start)
    var present = [UInt8](repeating: 0, count: 16)
    XCTAssertEqual(mincore(memory, size, &present), 0)
    XCTAssertEqual(present.map { $0 & 1 }, [UInt8](repeating: 1, count: 16))
    XCTAssertTrue(UnsafeRawBufferPointer(start: memory, count: size).allSatisfy { $0 == 0 })
    XCTAssertEqual(tt_unmap(memory, UInt64(size)), 0)
  }

  func testHostMemoryOfANode() throws {
    var start: UnsafeMutableRawPointer?
    let result = tt_map_host_memory(4096, 12, 0, &start)
    if result == -EPERM || result == -ENOSYS { throw XCTSkip("memory cannot be placed here") }
    XCTAssertEqual(result, 0)
    let memory = try XCTUnwrap(start)
    var mode: Int32 = -1
    var nodes = [UInt](repeating: 0, count: 1024 / UInt.bitWidth)
    let ofAddress: UInt32 = 2  // MPOL_F_ADDR
    XCTAssertEqual(get_mempolicy(&mode, &nodes, 1025, memory, ofAddress), 0)
    XCTAssertEqual(mode, 1)  // MPOL_PREFERRED
    XCTAssertEqual(nodes.first, 1)
    XCTAssertEqual(tt_unmap(memory, 4096), 0)
    XCTAssertEqual(tt_map_host_memory(4096, 12, 1023, &start), -EINVAL, "no such node")
    XCTAssertNil(start)
  }

  func testHostMemoryRefusals() {
    var start = UnsafeMutableRawPointer(bitPattern: 1)
    XCTAssertEqual(tt_map_host_memory(4096, 13, -1, &start), -EINVAL)
    XCTAssertNil(start)
    XCTAssertEqual(tt_map_host_memory(4096, 12, 1024, &start), -EINVAL)
    XCTAssertEqual(tt_map_host_memory(4096, 12, -2, &start), -EINVAL)
    XCTAssertEqual(tt_map_host_memory(0, 12, -1, &start), -EINVAL)
    XCTAssertNil(start)
  }

  /// Every alignment of both sides and every small length, with a margin that must stay.
  func testCopies() throws {
    let from = (0..<128).map { UInt8($0 + 1) }
    for (cardOffset, hostOffset, count) in combinations() {
      let margin = [UInt8](repeating: 0xEE, count: 128)
      let cardAligned = cardOffset % 4 == 0 && count % 4 == 0
      let expected = Array(from[hostOffset..<hostOffset + count])
      let message = "card + \(cardOffset), host + \(hostOffset), \(count) bytes"

      // `card` is 8-aligned as a buffer of 64-bit words.
      var card = [UInt64](repeating: 0xEEEE_EEEE_EEEE_EEEE, count: 16)
      let written = try card.withUnsafeMutableBytes { card in
        try from.withUnsafeBytes { host in
          tt_copy_to_card(
            try XCTUnwrap(card.baseAddress) + cardOffset,
            try XCTUnwrap(host.baseAddress) + hostOffset, UInt64(count))
        }
      }
      let after = card.withUnsafeBytes { Array($0) }
      XCTAssertEqual(written, cardAligned ? 0 : -EINVAL, message)
      XCTAssertEqual(
        after,
        cardAligned
          ? margin[..<cardOffset] + expected + margin[(cardOffset + count)...] : margin, message)

      var host = margin
      let read = try card.withUnsafeBytes { card in
        try host.withUnsafeMutableBytes { host in
          tt_copy_from_card(
            try XCTUnwrap(host.baseAddress) + hostOffset,
            try XCTUnwrap(card.baseAddress) + cardOffset, UInt64(count))
        }
      }
      XCTAssertEqual(read, cardAligned ? 0 : -EINVAL, message)
      XCTAssertEqual(
        host,
        cardAligned
          ? margin[..<hostOffset] + expected + margin[(hostOffset + count)...] : margin, message)
    }
  }

  private func combinations() -> [(Int, Int, Int)] {
    (0..<9).flatMap { card in
      [0, 1, 3, 4, 8].flatMap { host in (0...40).map { (card, host, $0) } }
    }
  }
}
