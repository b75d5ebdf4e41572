internal import CTTDevice
import Glibc

/// The calls into the kernel that the card's Swift code makes, and the one file that makes them.
///
/// Each answers as the shim does: 0 or a descriptor, or `-errno`. Tests put their own in place of
/// ``kernel``, to answer with recorded bytes or to fail. ``DriverConnection`` gives them a card.
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

  /// QUERY_MAPPINGS: the parts of the card that ``map`` reaches.
  var mappings: @Sendable (_ descriptor: Int32, _ mappings: inout [tt_mapping]) -> Int32 = {
    tt_query_mappings($0, &$1, UInt32($1.count))
  }

  /// LOCK_CONTROL: one of the card's 64 locks.
  var lock:
    @Sendable (_ descriptor: Int32, _ operation: Int, _ index: UInt8, _ value: inout UInt8) -> Int32 =
      { tt_lock_control($0, UInt32($1), $2, &$3) }

  /// ALLOCATE_TLB: a window onto the card's NoC.
  var allocateWindow:
    @Sendable (_ descriptor: Int32, _ size: UInt64, _ window: inout tt_tlb) -> Int32 = {
      tt_allocate_tlb($0, $1, &$2)
    }

  /// CONFIGURE_TLB: where a window points.
  var configureWindow:
    @Sendable (_ descriptor: Int32, _ id: UInt32, _ target: tt_noc_target) -> Int32 = {
      var target = $2
      return tt_configure_tlb($0, $1, &target)
    }

  /// FREE_TLB.
  var freeWindow: @Sendable (_ descriptor: Int32, _ id: UInt32) -> Int32 = { tt_free_tlb($0, $1) }

  /// SET_NOC_CLEANUP: one word that the kernel writes when the descriptor closes.
  var setCleanup:
    @Sendable (_ descriptor: Int32, _ tile: TileCoordinate, _ address: UInt64, _ value: UInt32) ->
      Int32 = { tt_set_noc_cleanup($0, UInt8($1.x), UInt8($1.y), 0, $2, $3) }

  /// SET_NOC_CLEANUP: takes it back.
  var clearCleanup: @Sendable (_ descriptor: Int32) -> Int32 = { tt_clear_noc_cleanup($0) }

  /// SET_POWER_STATE: what is to be awake.
  var setPower: @Sendable (_ descriptor: Int32, _ count: UInt8, _ flags: UInt16) -> Int32 = {
    tt_set_power_state($0, $1, $2)
  }

  /// PIN_PAGES: memory that the tiles reach.
  var pin:
    @Sendable (
      _ descriptor: Int32, _ start: UnsafeMutableRawPointer, _ size: UInt64, _ pin: inout tt_pin
    )
      -> Int32 = { tt_pin_pages($0, $1, $2, UInt32(TT_PIN_NOC_DMA), &$3) }

  /// UNPIN_PAGES.
  var unpin:
    @Sendable (_ descriptor: Int32, _ start: UnsafeMutableRawPointer, _ size: UInt64) -> Int32 = {
      tt_unpin_pages($0, $1, $2)
    }

  /// ALLOCATE_DMA_BUFFER: memory of the driver's own that the tiles reach.
  var allocateBuffer:
    @Sendable (_ descriptor: Int32, _ size: UInt32, _ buffer: inout tt_dma_buffer) -> Int32 = {
      tt_allocate_dma_buffer($0, 0, $1, UInt8(TT_DMA_BUFFER_NOC), &$2)
    }

  /// mmap of a part of the card.
  var map:
    @Sendable (
      _ descriptor: Int32, _ offset: UInt64, _ size: UInt64, _ start: inout UnsafeMutableRawPointer?
    )
      -> Int32 = { tt_map($0, $1, $2, &$3) }

  /// munmap of it, or of host memory.
  var unmap: @Sendable (_ start: UnsafeMutableRawPointer, _ size: UInt64) -> Int32 = {
    tt_unmap($0, $1)
  }

  /// mmap of host memory, zero and present.
  var mapHostMemory:
    @Sendable (
      _ size: UInt64, _ pageLog2: Int32, _ node: Int32, _ start: inout UnsafeMutableRawPointer?
    )
      -> Int32 = { tt_map_host_memory($0, $1, $2, &$3) }

  /// Lets other threads run while the card is waited for.
  var yield: @Sendable () -> Void = { sched_yield() }

  #if DEBUG
    /// Sees every call with its outcome.
    var trace: (@Sendable (_ line: String) -> Void)? = DriverTrace.toStandardError

    /// The errno that a call fails with instead of being made, or nil.
    var force: (@Sendable (_ call: String) -> Int32?)?
  #endif

  /// The real ones.
  static let kernel = DriverCalls()
}

#if DEBUG
  /// The trace that the environment asks for.
  enum DriverTrace {
    /// Writes to standard error where `PI0KIT_TRACE_DRIVER` is set.
    static var toStandardError: (@Sendable (_ line: String) -> Void)? {
      if getenv("PI0KIT_TRACE_DRIVER") == nil { return nil }
      return { line in
        let bytes = Array("\(line)\n".utf8)
        _ = write(STDERR_FILENO, bytes, bytes.count)
      }
    }
  }
#endif
