import Dispatch
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import PI0Kit
import Synchronization

/// Serves a policy by openpi's protocol, to its unmodified client.
///
///     let server = try PolicyServer(serving: policy, configuration: ServerConfiguration())
///     ...
///     server.stop()
///
/// Messages are MessagePack over WebSocket, any path. By HTTP there are `/healthz`, `/metrics` for
/// Prometheus, and at `/` a page that shows what the server does.
///
/// The event loops only read, check and write. Inferences run one at a time on a thread of their
/// own, in the order in which requests came.
public final class PolicyServer: Sendable {
  /// Where it listens.
  public let address: SocketAddress
  private let listener: any Channel
  private let group: MultiThreadedEventLoopGroup
  let connections: ConnectionRegistry
  let statistics: ServerStatistics
  private let queue: InferenceQueue
  private let isStopped = Atomic(false)

  /// Starts a server: when this returns, it listens.
  ///
  /// - Parameters:
  ///   - policy: what is served.
  ///   - configuration: where, to whom, and within which limits.
  ///   - logger: told who connects, and what is refused.
  /// - Throws: ``ServerError/setup(_:)`` where the address cannot be had, or the certificate not be
  ///   used.
  public init(
    serving policy: some ServedPolicy, configuration: ServerConfiguration,
    logger: Logger = Logger(label: "pi0.server")
  ) throws(ServerError) {
    guard (0...65_535).contains(configuration.port) else {
      throw .setup("there is no port \(configuration.port); ports are 0 to 65535")
    }
    let tls = try configuration.tls.map(Self.tlsContext)
    let statistics = ServerStatistics()
    let queue = InferenceQueue(policy: policy, statistics: statistics)
    let services = ServerServices(
      configuration: configuration, policy: policy, queue: queue, statistics: statistics,
      cards: CardMonitor(), logger: logger)
    let (limit, isBeyond) = configuration.maximumClients.addingReportingOverflow(
      configuration.maximumVisitors)
    let connections = ConnectionRegistry(limit: isBeyond ? .max : limit)
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let bootstrap = ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 256)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      // A picture of 640 x 480 in one read.
      .childChannelOption(
        .recvAllocator,
        value: AdaptiveRecvByteBufferAllocator(minimum: 1024, initial: 16384, maximum: 1 << 20)
      )
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try connections.add(channel)
          try Self.configure(channel, services, tls)
        }
      }
    do {
      listener = try bootstrap.bind(host: configuration.host, port: configuration.port).wait()
      guard let address = listener.localAddress else { throw ChannelError.unknownLocalAddress }
      self.address = address
    } catch {
      try? group.syncShutdownGracefully()
      throw .setup(
        "cannot listen at \(configuration.host) port \(configuration.port): \(error); choose "
          + "another address or port, or end what listens there")
    }
    self.group = group
    self.connections = connections
    self.statistics = statistics
    self.queue = queue
  }

  deinit { stop() }

  /// The port that it listens at.
  public var port: Int { address.port ?? 0 }

  /// Stops: no more connections; the inference that runs is finished and its answer sent; requests
  /// that wait are dropped; everybody is told goodbye. Returns when all is closed.
  ///
  /// It waits, and is therefore not to be called from an event loop or a Swift task.
  public func stop() {
    guard !isStopped.exchange(true, ordering: .acquiringAndReleasing) else { return }
    try? listener.close().wait()
    connections.closeAll()
    let done = DispatchSemaphore(value: 0)
    queue.whenEmpty { done.signal() }
    done.wait()
    try? group.syncShutdownGracefully()
  }

  // MARK: - Connections

  /// The handlers of a connection: HTTP, and what WebSocket puts in its place.
  static func configure(
    _ channel: any Channel, _ services: ServerServices, _ tls: NIOSSLContext? = nil
  ) throws {
    let pipeline = channel.pipeline.syncOperations
    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
    let refusal = NIOLoopBoundBox<ServerStatistics.Refusal?>(nil, eventLoop: channel.eventLoop)
    let visitor = NIOLoopBound(
      VisitorConnection(services, refusal: refusal), eventLoop: channel.eventLoop)
    let upgrader = NIOWebSocketServerUpgrader(
      maxFrameSize: min(max(services.configuration.messageLimits.byteCount, 0), Int(Int32.max)),
      automaticErrorHandling: false,
      shouldUpgrade: { channel, head in
        guard head.method == .GET, !VisitorConnection.isHealthCheck(head) else {
          return channel.eventLoop.makeSucceededFuture(nil)
        }
        refusal.value = services.admit(head)
        guard refusal.value == nil else { return channel.eventLoop.makeSucceededFuture(nil) }
        channel.closeFuture.whenComplete { _ in services.statistics.clientLeaves() }
        return channel.eventLoop.makeSucceededFuture([:])
      },
      upgradePipelineHandler: { channel, _ in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(PolicyConnection(services))
        }
      })
    try pipeline.configureHTTPServerPipeline(
      withPipeliningAssistance: false,
      withServerUpgrade: (
        upgraders: [upgrader],
        completionHandler: { context in
          context.pipeline.syncOperations.removeHandler(visitor.value, promise: nil)
        }
      ))
    try pipeline.addHandler(visitor.value)
  }

  private static func tlsContext(
    _ files: ServerConfiguration.TLSFiles
  ) throws(ServerError) -> NIOSSLContext {
    do {
      let certificates = try NIOSSLCertificate.fromPEMFile(files.certificate)
      let key = try NIOSSLPrivateKey(file: files.key, format: .pem)
      return try NIOSSLContext(
        configuration: .makeServerConfiguration(
          certificateChain: certificates.map { .certificate($0) }, privateKey: .privateKey(key)))
    } catch {
      throw .setup(
        "\(files.certificate) and \(files.key) are no certificate and key in PEM form: \(error)")
    }
  }
}

/// All open connections of a server.
final class ConnectionRegistry: Sendable {
  private let state = Mutex((channels: [ObjectIdentifier: any Channel](), isClosed: false))
  private let open = DispatchGroup()
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  var count: Int { state.withLock { $0.channels.count } }

  /// - Throws: where there are too many, or the server is being stopped.
  func add(_ channel: any Channel) throws {
    let id = ObjectIdentifier(channel)
    let isAdded = state.withLock { state in
      guard !state.isClosed, state.channels.count < limit else { return false }
      state.channels[id] = channel
      open.enter()
      return true
    }
    guard isAdded else { throw ServerError.setup("too many connections") }
    channel.closeFuture.whenComplete { [self] _ in
      state.withLock { _ = $0.channels.removeValue(forKey: id) }
      open.leave()
    }
  }

  /// Asks all to come to an end, and waits until they have. Nobody can join any more.
  func closeAll() {
    let channels = state.withLock { state in
      state.isClosed = true
      return state.channels.values.map(\.self)
    }
    for channel in channels {
      channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
    }
    open.wait()
  }
}
