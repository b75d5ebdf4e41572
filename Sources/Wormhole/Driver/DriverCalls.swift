internal import CTTDevice

/// The calls into the kernel that the card's Swift code makes, and the one file that makes them.
///
/// Each answers as the shim does: 0 or a descriptor, or `-errno`. Tests put their own in place of
/// ``kernel``, to answer with recorded bytes or to fail.
struct DriverCalls: Sendable {
  /// Opens a device file for reading and writing, without waking the card up.
  var open: @Sendable (_ path: String) -> Int32 = { tt_open($0) }

  /// Closes a descriptor of `open`.
  var close: @Sendable (_ descriptor: Int32) -> Int32 = { tt_close($0) }

  /// GET_DEVICE_INFO: the PCI device behind the card.
  var deviceInfo: @Sendable (_ descriptor: Int32, _ info: inout tt_device_info) -> Int32 = {
    tt_get_device_info($0, &$1)
  }

  /// GET_DRIVER_INFO: the version of the driver.
  var driverInfo: @Sendable (_ descriptor: Int32, _ info: inout tt_driver_info) -> Int32 = {
    tt_get_driver_info($0, &$1)
  }

  /// The real ones.
  static let kernel = DriverCalls()
}
