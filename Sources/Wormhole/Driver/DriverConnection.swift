internal import CTTDevice
import Glibc

/// A card's open device file: every request as a method that throws what failed.
///
/// In debug builds ``DriverCalls/trace`` sees a line for each call, and ``DriverCalls/force`` makes
/// any of them fail.
final class DriverConnection {
  /// The device file.
  let path: String

  /// The kernel's calls.
  let calls: DriverCalls

  private var descriptor: Int32 = -1

  init(opening path: String, calls: DriverCalls) throws(CardError) {
    self.path = path
    self.calls = calls
    descriptor = try perform("open") { calls.open(path) }
  }

  deinit { close() }

  /// Gives back what the driver holds for this process: windows, pins, buffers, locks. Unmap first:
  /// a mapping keeps the file open. A second time does nothing.
  func close() {
    guard descriptor >= 0 else { return }
    let last = descriptor
    descriptor = -1
    _ = try? perform("close") { calls.close(last) }
  }

  /// Keeps the file open until the process ends.
  func abandon() { descriptor = -1 }

  // MARK: Identity

  /// What the driver says of itself.
  func driver() throws(CardError) -> tt_driver_info {
    var info = tt_driver_info()
    try perform("GET_DRIVER_INFO") { calls.driverInfo(descriptor, &info) }
    return info
  }

  /// The PCI device behind the card.
  func device() throws(CardError) -> tt_device_info {
    var info = tt_device_info()
    try perform("GET_DEVICE_INFO") { calls.deviceInfo(descriptor, &info) }
    return info
  }

  /// Throws where `device` is no Wormhole card.
  func require(_ device: tt_device_info) throws(CardError) {
    guard device.vendor == 0x1E52, device.device == 0x401E else {
      let vendor = hexadecimal(device.vendor, digits: 4)
      throw CardError(
        card: path, call: "GET_DEVICE_INFO",
        seen: "PCI device \(vendor):\(hexadecimal(device.device, digits: 4))",
        remedy: "use a Wormhole card, 1e52:401e")
    }
  }

  /// Throws where the driver is too old. `version` is its own word, or that of its module.
  func require(_ version: DriverVersion?, api: UInt32) throws(CardError) {
    guard let version, version.isSupported else {
      throw CardError(
        card: path, call: "GET_DRIVER_INFO",
        seen: "driver \(version?.description ?? "1.x"), API \(api)",
        remedy: "\(DriverVersion.minimum) is needed: install tt-kmd \(DriverVersion.recommended) "
          + "or later")
    }
  }

  // MARK: Locks

  /// Takes a lock of the card; false where somebody holds it, this process included.
  func acquireLock(_ index: UInt8) throws(CardError) -> Bool {
    var value: UInt8 = 0
    try perform("LOCK_CONTROL", "acquire \(index)") {
      calls.lock(descriptor, TT_LOCK_ACQUIRE, index, &value)
    }
    return value == 1
  }

  func releaseLock(_ index: UInt8) throws(CardError) {
    var value: UInt8 = 0
    try perform("LOCK_CONTROL", "release \(index)") {
      calls.lock(descriptor, TT_LOCK_RELEASE, index, &value)
    }
  }

  // MARK: Windows

  func allocateWindow(size: UInt64) throws(CardError) -> tt_tlb {
    var window = tt_tlb()
    try perform("ALLOCATE_TLB", "\(size >> 20) MiB") {
      calls.allocateWindow(descriptor, size, &window)
    }
    return window
  }

  func configureWindow(_ id: UInt32, _ target: tt_noc_target) throws(CardError) {
    try perform(
      "CONFIGURE_TLB",
      "window \(id) at 0x\(String(target.address, radix: 16)) of "
        + (target.multicast == 0
          ? "(\(target.x_end), \(target.y_end))"
          : "(\(target.x_start), \(target.y_start)) to (\(target.x_end), \(target.y_end))")
    ) { calls.configureWindow(descriptor, id, target) }
  }

  func freeWindow(_ id: UInt32) throws(CardError) {
    try perform("FREE_TLB", "window \(id)") { calls.freeWindow(descriptor, id) }
  }

  // MARK: What happens when the file closes, and power

  func setCleanup(
    _ value: UInt32, to tile: TileCoordinate, at address: UInt64
  ) throws(CardError) {
    try perform(
      "SET_NOC_CLEANUP",
      "0x\(String(value, radix: 16)) to 0x\(String(address, radix: 16)) of \(tile)"
    ) { calls.setCleanup(descriptor, tile, address, value) }
  }

  func clearCleanup() throws(CardError) {
    try perform("SET_NOC_CLEANUP", "none") { calls.clearCleanup(descriptor) }
  }

  func setPower(count: UInt8, flags: UInt16) throws(CardError) {
    try perform("SET_POWER_STATE", "flags 0x\(String(flags, radix: 16)) of \(count)") {
      calls.setPower(descriptor, count, flags)
    }
  }

  // MARK: Host memory

  func pin(_ start: UnsafeMutableRawPointer, size: UInt64) throws(CardError) -> tt_pin {
    var pin = tt_pin()
    try perform("PIN_PAGES", "\(size) bytes") { calls.pin(descriptor, start, size, &pin) }
    return pin
  }

  func unpin(_ start: UnsafeMutableRawPointer, size: UInt64) throws(CardError) {
    try perform("UNPIN_PAGES", "\(size) bytes") { calls.unpin(descriptor, start, size) }
  }

  func allocateBuffer(size: UInt32) throws(CardError) -> tt_dma_buffer {
    var buffer = tt_dma_buffer()
    try perform("ALLOCATE_DMA_BUFFER", "\(size) bytes") {
      calls.allocateBuffer(descriptor, size, &buffer)
    }
    return buffer
  }

  /// Zeroed memory, of NUMA node `node` where that is allowed.
  func mapHostMemory(
    size: UInt64, pageLog2: Int32, node: Int?
  ) throws(CardError) -> UnsafeMutableRawPointer {
    var start: UnsafeMutableRawPointer?
    let node = node.flatMap { Int32(exactly: $0) } ?? -1
    try perform("mmap", "\(size) bytes of host memory in pages of 2^\(pageLog2), node \(node)") {
      let result = calls.mapHostMemory(size, pageLog2, node, &start)
      // Containers forbid to choose, and not every node is this process's.
      return node >= 0 && [-EPERM, -ENOSYS, -EINVAL].contains(result)
        ? calls.mapHostMemory(size, pageLog2, -1, &start) : result
    }
    return try present(start)
  }

  // MARK: Mappings

  /// The offset for ``map(offset:size:)`` of BAR 0, uncached, and its size.
  func bar0() throws(CardError) -> (offset: UInt64, size: UInt64) {
    var mappings = [tt_mapping](repeating: tt_mapping(), count: Int(TT_MAPPING_CAPACITY))
    try perform("QUERY_MAPPINGS") { calls.mappings(descriptor, &mappings) }
    guard let bar0 = mappings.first(where: { $0.id == 1 }) else {
      throw CardError(
        card: path, call: "QUERY_MAPPINGS", seen: "no BAR 0",
        remedy: "look at dmesg and at lspci -v for the card's memory regions")
    }
    return (bar0.base, bar0.size)
  }

  /// A part of the card. Map each once: the first mapping decides on the kind of memory.
  func map(offset: UInt64, size: UInt64) throws(CardError) -> UnsafeMutableRawPointer {
    var start: UnsafeMutableRawPointer?
    try perform("mmap", "\(size) bytes at 0x\(String(offset, radix: 16))") {
      calls.map(descriptor, offset, size, &start)
    }
    return try present(start)
  }

  func unmap(_ start: UnsafeMutableRawPointer, size: UInt64) {
    _ = try? perform("munmap", "\(size) bytes") { calls.unmap(start, size) }
  }

  private func present(
    _ start: UnsafeMutableRawPointer?
  ) throws(CardError) -> UnsafeMutableRawPointer {
    guard let start else { throw CardError(card: path, call: "mmap", code: ENOMEM) }
    return start
  }

  // MARK: The one way into the kernel

  @discardableResult
  private func perform(
    _ call: String, _ detail: @autoclosure () -> String = "", _ body: () -> Int32
  ) throws(CardError) -> Int32 {
    #if DEBUG
      let result = calls.force?(call).map { -$0 } ?? body()
      calls.trace?(
        "\(path): \(call)\(detail().isEmpty ? "" : " \(detail())")"
          + (result < 0 ? ": \(CardError(card: path, call: call, code: -result).seen)" : ""))
    #else
      let result = body()
    #endif
    if result < 0 { throw CardError(card: path, call: call, code: -result) }
    return result
  }
}
