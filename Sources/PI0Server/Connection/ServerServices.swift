import Logging
import NIOCore

/// What all connections of a server share.
struct ServerServices: Sendable {
  let configuration: ServerConfiguration
  let policy: any ServedPolicy
  let queue: InferenceQueue
  let statistics: ServerStatistics
  let cards: CardMonitor
  let logger: Logger
}
