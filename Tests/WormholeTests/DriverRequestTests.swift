import CTTDevice
import Glibc
import XCTest

/// The bytes of every request against the driver's ABI, spelled out field by field.
final class DriverRequestTests: XCTestCase {
  private let fd = recordedDescriptor

  private func check(
    _ outcome: (result: Int32, sent: [SentRequest]), _ number: UInt, _ expected: [UInt8],
    line: UInt = #line
  ) {
    XCTAssertEqual(outcome.result, 0, line: line)
    XCTAssertEqual(outcome.sent, [SentRequest(number: number, bytes: expected)], line: line)
  }

  func testSizes() {
    XCTAssertEqual(MemoryLayout<tt_device_info>.size, 24)
    XCTAssertEqual(MemoryLayout<tt_driver_info>.size, 16)
    XCTAssertEqual(MemoryLayout<tt_mapping>.size, 24)
    XCTAssertEqual(MemoryLayout<tt_dma_buffer>.size, 64)
    XCTAssertEqual(MemoryLayout<tt_reset>.size, 16)
    XCTAssertEqual(MemoryLayout<tt_pin>.size, 40)
    XCTAssertEqual(MemoryLayout<tt_lock>.size, 16)
    XCTAssertEqual(MemoryLayout<tt_unpin>.size, 24)
    XCTAssertEqual(MemoryLayout<tt_tlb>.size, 48)
    XCTAssertEqual(MemoryLayout<tt_noc_target>.size, 32)
    XCTAssertEqual(MemoryLayout<tt_tlb_configuration>.size, 48)
    XCTAssertEqual(MemoryLayout<tt_noc_cleanup>.size, 32)
    XCTAssertEqual(MemoryLayout<tt_power_state>.size, 40)
  }

  func testDeviceInfo() {
    var info = tt_device_info()
    info.vendor = 7  // what was there before must not be sent
    let answer = bytes(
      .u32(20), .u16(0x1E52), .u16(0x401E), .u16(0x1E53), .u16(0x18), .u16(0x0308), .u16(28),
      .u16(2), .zeros(2))
    let outcome = record(size: 24, answer: [(4, answer)]) { tt_get_device_info(fd, &info) }
    check(outcome, 0xFA00, bytes(.u32(20), .zeros(20)))
    XCTAssertEqual(info.answered_size, 20)
    XCTAssertEqual(info.vendor, 0x1E52)
    XCTAssertEqual(info.device, 0x401E)
    XCTAssertEqual(info.subsystem_vendor, 0x1E53)
    XCTAssertEqual(info.subsystem, 0x18)
    XCTAssertEqual(info.bus_device_function, 0x0308)
    XCTAssertEqual(info.max_dma_buffer_log2, 28)
    XCTAssertEqual(info.pci_domain, 2)
  }

  func testDriverInfo() {
    var info = tt_driver_info()
    let answer = bytes(.u32(12), .u32(2), .u8(2), .u8(10), .u8(1), .u8(0))
    let outcome = record(size: 16, answer: [(4, answer)]) { tt_get_driver_info(fd, &info) }
    check(outcome, 0xFA05, bytes(.u32(12), .zeros(12)))
    XCTAssertEqual(info.answered_size, 12)
    XCTAssertEqual(info.api, 2)
    XCTAssertEqual([info.major, info.minor, info.patch], [2, 10, 1])
  }

  func testQueryMappings() {
    var mappings = [tt_mapping](repeating: tt_mapping(), count: 8)
    let answer = bytes(
      .u32(1), .u32(0), .u64(0), .u64(512 << 20), .u32(2), .u32(0), .u64(1 << 36), .u64(512 << 20))
    let outcome = record(size: 8 + 8 * 24, answer: [(8, answer)]) {
      tt_query_mappings(fd, &mappings, 8)
    }
    check(outcome, 0xFA02, bytes(.u32(8), .zeros(4 + 8 * 24)))
    XCTAssertEqual(mappings.map(\.id), [1, 2, 0, 0, 0, 0, 0, 0])
    XCTAssertEqual(mappings[1].base, 1 << 36)
    XCTAssertEqual(mappings[1].size, 512 << 20)

    let refused = record(size: 8) { tt_query_mappings(fd, &mappings, 9) }
    XCTAssertEqual(refused.result, -EINVAL)
    XCTAssertEqual(refused.sent, [])
  }

  func testAllocateDMABuffer() {
    var buffer = tt_dma_buffer()
    let answer = bytes(
      .u64(0x1_2345_6000), .u64(0xF03_0000_0000), .u32(0x20_0000), .u32(0), .u64(0x8_0000_0000))
    let outcome = record(size: 64, answer: [(24, answer)]) {
      tt_allocate_dma_buffer(fd, 3, 0x20_0000, UInt8(TT_DMA_BUFFER_NOC), &buffer)
    }
    check(outcome, 0xFA03, bytes(.u32(0x20_0000), .u8(3), .u8(2), .zeros(58)))
    XCTAssertEqual(buffer.physical_address, 0x1_2345_6000)
    XCTAssertEqual(buffer.mapping_offset, 0xF03_0000_0000)
    XCTAssertEqual(buffer.size, 0x20_0000)
    XCTAssertEqual(buffer.noc_address, 0x8_0000_0000)
  }

  func testReset() {
    var reset = tt_reset()
    let outcome = record(size: 16, answer: [(8, bytes(.u32(8), .u32(5)))]) {
      tt_reset_device(fd, UInt32(TT_RESET_USER), &reset)
    }
    check(outcome, 0xFA06, bytes(.u32(8), .u32(3), .zeros(8)))
    XCTAssertEqual(reset.result, 5)
    XCTAssertEqual(
      [
        TT_RESET_RESTORE_STATE, TT_RESET_PCIE_LINK, TT_RESET_CONFIG_WRITE, TT_RESET_USER,
        TT_RESET_ASIC, TT_RESET_ASIC_AND_DMC, TT_RESET_POST,
      ], Array(0...6))
  }

  func testPinAndUnpin() throws {
    let start = try XCTUnwrap(UnsafeMutableRawPointer(bitPattern: 0x7F01_2345_6000))
    var pin = tt_pin()
    let flags = UInt32(TT_PIN_CONTIGUOUS | TT_PIN_NOC_DMA | TT_PIN_READ_ONLY)
    let answer = bytes(.u64(0xABC000), .u64(0x8_0010_0000))
    let outcome = record(size: 40, answer: [(24, answer)]) {
      tt_pin_pages(fd, start, 0x20_0000, flags, &pin)
    }
    check(
      outcome, 0xFA07,
      bytes(.u32(16), .u32(11), .u64(0x7F01_2345_6000), .u64(0x20_0000), .zeros(16)))
    XCTAssertEqual(pin.physical_address, 0xABC000)
    XCTAssertEqual(pin.noc_address, 0x8_0010_0000)
    XCTAssertEqual(TT_PIN_NOC_TOP_DOWN, 4)

    check(
      record(size: 24) { tt_unpin_pages(fd, start, 0x20_0000) },
      0xFA0A, bytes(.u64(0x7F01_2345_6000), .u64(0x20_0000), .u64(0)))
  }

  func testLock() {
    var value: UInt8 = 0
    let operations = [TT_LOCK_ACQUIRE, TT_LOCK_RELEASE, TT_LOCK_TEST, TT_LOCK_ACQUIRE_BLOCKING]
    for (number, operation) in operations.enumerated() {
      let outcome = record(size: 16, answer: [(12, [UInt8(number + 1)])]) {
        tt_lock_control(fd, UInt32(operation), 63, &value)
      }
      check(outcome, 0xFA08, bytes(.u32(4), .u32(UInt32(number)), .u8(63), .zeros(7)))
      XCTAssertEqual(value, UInt8(number + 1))
    }
  }

  func testWindows() {
    var tlb = tt_tlb()
    let answer = bytes(.u32(166), .u32(0), .u64(6 << 36 | 0xB00_0000), .u64(7 << 36 | 0xB00_0000))
    let outcome = record(size: 48, answer: [(16, answer)]) {
      tt_allocate_tlb(fd, 16 << 20, &tlb)
    }
    check(outcome, 0xFA0B, bytes(.u64(16 << 20), .zeros(40)))
    XCTAssertEqual(tlb.id, 166)
    XCTAssertEqual(tlb.uncached_offset, 6 << 36 | 0xB00_0000)
    XCTAssertEqual(tlb.combined_offset, 7 << 36 | 0xB00_0000)

    check(record(size: 4) { tt_free_tlb(fd, 166) }, 0xFA0C, bytes(.u32(166)))

    var target = tt_noc_target()
    target.address = 0x8_0100_0000
    (target.x_end, target.y_end, target.x_start, target.y_start) = (9, 11, 1, 2)
    (target.noc, target.multicast, target.ordering) = (1, 2, UInt8(TT_ORDERING_POSTED))
    (target.linked, target.static_vc) = (3, 4)
    let configured = record(size: 48) { tt_configure_tlb(fd, 166, &target) }
    check(
      configured, 0xFA0D,
      bytes(
        .u32(166), .u32(0), .u64(0x8_0100_0000), .u16(9), .u16(11), .u16(1), .u16(2), .u8(1),
        .u8(2), .u8(2), .u8(3), .u8(4), .zeros(3 + 8 + 8)))
    XCTAssertEqual([TT_ORDERING_DEFAULT, TT_ORDERING_STRICT], [0, 1])
  }

  func testNoCCleanup() {
    let set = record(size: 32) { tt_set_noc_cleanup(fd, 18, 19, 1, 0xFFB1_21B0, 0x47800) }
    check(
      set, 0xFA0E,
      bytes(
        .u32(32), .u32(0), .u8(1), .u8(18), .u8(19), .u8(1), .u32(0), .u64(0xFFB1_21B0),
        .u64(0x47800)))
    check(record(size: 32) { tt_clear_noc_cleanup(fd) }, 0xFA0E, bytes(.u32(32), .zeros(28)))
  }

  func testPowerState() {
    let flags = UInt16(TT_POWER_MAX_AI_CLOCK | TT_POWER_TENSIX)
    check(
      record(size: 40) { tt_set_power_state(fd, 3, flags) },
      0xFA0F, bytes(.u32(40), .u32(0), .u8(0), .u8(3), .u16(5), .zeros(28)))
    XCTAssertEqual([TT_POWER_MRISC_PHY, TT_POWER_L2CPU], [2, 8])

    let refused = record(size: 40) { tt_set_power_state(fd, 16, 0) }
    XCTAssertEqual(refused.result, -EINVAL)
    XCTAssertEqual(refused.sent, [])
  }

  /// What every call answers on a descriptor.
  private func answers(on fd: Int32) -> [String: Int32] {
    var (device, driver, mapping) = (tt_device_info(), tt_driver_info(), tt_mapping())
    var (buffer, reset, pin, lock) = (tt_dma_buffer(), tt_reset(), tt_pin(), UInt8(0))
    var (tlb, target, page) = (tt_tlb(), tt_noc_target(), UInt8(0))
    return [
      "GET_DEVICE_INFO": tt_get_device_info(fd, &device),
      "QUERY_MAPPINGS": tt_query_mappings(fd, &mapping, 1),
      "ALLOCATE_DMA_BUF": tt_allocate_dma_buffer(fd, 0, 4096, 0, &buffer),
      "GET_DRIVER_INFO": tt_get_driver_info(fd, &driver),
      "RESET_DEVICE": tt_reset_device(fd, 0, &reset),
      "PIN_PAGES": tt_pin_pages(fd, &page, 4096, 0, &pin),
      "LOCK_CTL": tt_lock_control(fd, 2, 0, &lock),
      "UNPIN_PAGES": tt_unpin_pages(fd, &page, 4096),
      "ALLOCATE_TLB": tt_allocate_tlb(fd, 1 << 20, &tlb),
      "FREE_TLB": tt_free_tlb(fd, 0),
      "CONFIGURE_TLB": tt_configure_tlb(fd, 0, &target),
      "SET_NOC_CLEANUP": tt_set_noc_cleanup(fd, 0, 0, 0, 0, 0),
      "SET_NOC_CLEANUP, clear": tt_clear_noc_cleanup(fd),
      "SET_POWER_STATE": tt_set_power_state(fd, 0, 0),
    ]
  }

  func testForcedFailure() {
    for code in [ENODEV, ENOSPC, EPERM] {
      var seen: [String: Int32] = [:]
      let outcome = record(size: 4, failing: code) {
        seen = answers(on: fd)
        return 0
      }
      XCTAssertEqual(outcome.sent.count, 14)
      for (name, result) in seen { XCTAssertEqual(result, -code, name) }
    }
  }

  func testKernelAnswersOtherDescriptors() {
    let null = tt_open("/dev/null")
    XCTAssertGreaterThanOrEqual(null, 0)
    for (name, result) in answers(on: -1) { XCTAssertEqual(result, -EBADF, name) }
    for (name, result) in answers(on: null) { XCTAssertEqual(result, -ENOTTY, name) }
    XCTAssertEqual(tt_close(null), 0)
    XCTAssertEqual(tt_close(null), -EBADF)
    XCTAssertEqual(tt_open("/dev/null/0"), -ENOTDIR)
    XCTAssertEqual(tt_open("/nonexistent/0"), -ENOENT)
  }

  func testOpenIsPowerAware() {
    let null = tt_open("/dev/null")
    defer { _ = tt_close(null) }
    let flags = fcntl(null, F_GETFL, 0)
    XCTAssertEqual(flags & O_ACCMODE, O_RDWR)
    XCTAssertNotEqual(flags & O_APPEND, 0)
    XCTAssertEqual(fcntl(null, F_GETFD, 0), FD_CLOEXEC)
  }
}
