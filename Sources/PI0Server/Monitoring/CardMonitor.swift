import Dispatch
import Synchronization
import Wormhole

/// The sensors of this machine's cards. They are read on a thread of their own, when somebody asks
/// and the last reading is old, since a sensor may take its time to answer.
final class CardMonitor: Sendable {
  private struct State {
    var cards: [CardInformation] = []
    var lastReading: ContinuousClock.Instant?
    var isReading = false
  }

  private static let interval = Duration.seconds(2)
  private let state = Mutex(State())

  init() { _ = cards }

  /// What was last read; empty where there is no card, or none was read yet.
  var cards: [CardInformation] {
    let (cards, isDue) = state.withLock { state in
      let isOld = state.lastReading.map { ContinuousClock.now - $0 > Self.interval } ?? true
      let isDue = isOld && !state.isReading
      if isDue { state.isReading = true }
      return (state.cards, isDue)
    }
    if isDue { DispatchQueue.global(qos: .utility).async { self.read() } }
    return cards
  }

  private func read() {
    let cards = (try? CardDiscovery.cards()) ?? []
    state.withLock { $0 = State(cards: cards, lastReading: .now) }
  }
}
