import FoundationEssentials
import PI0Kit
import Wormhole

/// What the status page draws, from `/status.json`.
struct StatusJSON: Encodable {
  /// An entry of the metadata as text.
  struct Fact: Encodable {
    let name: String
    let value: String
  }

  struct CardStatus: Encodable {
    let name: String
    /// Degrees Celsius.
    let temperature: Double?
    /// Watts.
    let power: Double?
    let problem: String?
  }

  let policy: [Fact]
  let cards: [CardStatus]
  /// Seconds since the start.
  let uptime: Double
  let clients: Int
  let waiting: Int
  let inferences: Int
  let errors: Int
  /// `[seconds since the start, milliseconds waited, milliseconds computed]`, oldest first.
  let recent: [[Double]]
  /// `[step][dimension]`; null where a value is not finite.
  let chunk: [[Double?]]

  init(
    _ statistics: ServerStatistics, policy: any ServedPolicy, cards: [CardInformation]
  ) {
    let state = statistics.snapshot
    self.policy = policy.metadata.sorted { $0.key < $1.key }
      .map { Fact(name: $0.key, value: Self.text($0.value)) }
    self.cards = cards.map {
      CardStatus(
        name: "\($0.board) \($0.index)", temperature: $0.telemetry.temperature,
        power: $0.telemetry.power, problem: $0.problem.map { "\($0)" })
    }
    uptime = (ContinuousClock.now - statistics.start).seconds
    clients = state.clients
    waiting = state.waiting
    inferences = state.inferenceTimes.count
    errors = state.errors.values.reduce(0, +)
    recent = state.recent.map { [$0.time, 1e3 * $0.waiting, 1e3 * $0.computing] }
    chunk =
      state.lastChunk.map { chunk in
        (0..<chunk.horizon).map { chunk[$0].map { $0.isFinite ? $0 : nil } }
      } ?? []
  }

  /// The document.
  func encoded() -> [UInt8] {
    // All numbers are finite, so that this cannot fail.
    (try? JSONEncoder().encode(self)).map { Array($0) } ?? Array("{}".utf8)
  }

  private static func text(_ value: MessagePackValue) -> String {
    switch value {
    case .null: "none"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let text): text
    case .list(let elements): elements.map(text).joined(separator: ", ")
    case .bytes, .map, .array: value.kind
    }
  }
}
