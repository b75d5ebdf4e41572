internal import CTTDevice
import Glibc
import Synchronization

/// Keeps the process alive when a card's mappings vanish under it.
///
/// After somebody else's reset the driver takes all windows away, and an access to one raises
/// SIGBUS. A robot's control process must outlive a careless `tt-smi -r`, so from the first card on
/// this process has a handler of SIGBUS. For an address in a guarded mapping it puts empty memory
/// there: the access goes on, to nothing, and whoever made it finds ``isLost`` true and throws. Any
/// other SIGBUS goes to the handler that was there before, or ends the process as ever.
struct MappingGuard: ~Copyable {
  private let slot: Int32

  init(_ start: UnsafeMutableRawPointer, size: UInt64, card: String) throws(CardError) {
    let start = UInt(bitPattern: start)
    let slot = Self.process.withLock { isInstalled in
      if !isInstalled {
        let result = tt_guard_install(state, handleBusError)
        if result < 0 { return result }
        isInstalled = true
      }
      return UnsafeMutableRawPointer(bitPattern: start).map { tt_guard_add(state, $0, size) }
        ?? -EINVAL
    }
    if slot < 0 { throw CardError(card: card, call: "sigaction", code: -slot) }
    self.slot = slot
  }

  deinit { tt_guard_remove(state, slot) }

  /// Whether the mapping has vanished.
  var isLost: Bool { tt_guard_is_lost(state, slot) != 0 }

  private static let process = Mutex(false)
}

/// Shared with the signal handler, hence neither freed nor locked.
nonisolated(unsafe) private let state: UnsafeMutablePointer<tt_guard> = {
  let state = UnsafeMutablePointer<tt_guard>.allocate(capacity: 1)
  state.initialize(to: tt_guard())
  return state
}()

private func handleBusError(
  _ number: Int32, _ info: UnsafeMutablePointer<siginfo_t>?, _ context: UnsafeMutableRawPointer?
) {
  tt_guard_handle(state, number, info, context)
}
