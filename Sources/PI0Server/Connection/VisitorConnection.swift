import Logging
import NIOCore
import NIOHTTP1
import NIOWebSocket

/// A connection before it speaks WebSocket, or that never will: one request, one answer, and the
/// connection is closed.
final class VisitorConnection: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let services: ServerServices
  /// Why the upgrade to WebSocket was refused, if it was.
  private let refusal: NIOLoopBoundBox<ServerStatistics.Refusal?>
  private var isAnswered = false
  private var deadline: Scheduled<Void>?

  init(_ services: ServerServices, refusal: NIOLoopBoundBox<ServerStatistics.Refusal?>) {
    self.services = services
    self.refusal = refusal
  }

  func handlerAdded(context: ChannelHandlerContext) {
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    deadline = context.eventLoop.scheduleTask(in: services.configuration.requestTime) {
      bound.value.close(promise: nil)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard case .head(let head) = unwrapInboundIn(data), !isAnswered else { return }
    isAnswered = true
    let answer = answer(to: head)
    var headers = HTTPHeaders([
      ("Content-Type", answer.type), ("Content-Length", "\(answer.body.count)"),
      ("Connection", "close"), ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
      // The page is whole in itself; nothing may load anything from anywhere else.
      (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
          + "connect-src 'self'; frame-ancestors 'none'"
      ),
    ])
    if answer.status == .unauthorized {
      headers.add(name: "WWW-Authenticate", value: "Basic realm=\"pi0\"")
    }
    let response = HTTPResponseHead(version: .http1_1, status: answer.status, headers: headers)
    context.write(wrapOutboundOut(.head(response)), promise: nil)
    if head.method != .HEAD {
      let body = context.channel.allocator.buffer(bytes: answer.body)
      context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
    }
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    let closeTime = services.configuration.closeTime
    context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in
      // What the visitor still sends is read, and dropped, so that the answer arrives.
      bound.value.close(mode: .output, promise: nil)
      bound.value.eventLoop.scheduleTask(in: closeTime) { bound.value.close(promise: nil) }
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case is ChannelShouldQuiesceEvent where !isAnswered: context.close(promise: nil)
    case ChannelEvent.inputClosed: context.close(promise: nil)
    default: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    // A refused upgrade is no error: the request follows, and is answered.
    if error is NIOWebSocketUpgradeError { return }
    services.logger.debug("visitor's connection failed", metadata: ["error": "\(error)"])
    context.close(promise: nil)
  }

  // MARK: - Answers

  private struct Answer {
    var status = HTTPResponseStatus.ok
    var type = "text/plain; charset=utf-8"
    let body: [UInt8]

    init(_ text: String, type: String? = nil, status: HTTPResponseStatus = .ok) {
      self.init(Array(text.utf8), type: type, status: status)
    }

    init(_ body: [UInt8], type: String? = nil, status: HTTPResponseStatus = .ok) {
      self.body = body
      self.status = status
      if let type { self.type = type }
    }
  }

  private func answer(to head: HTTPRequestHead) -> Answer {
    if Self.isHealthCheck(head) { return Answer("OK\n") }
    switch refusal.value {
    case .key: return count(.key, Self.keyMissing)
    case .full:
      return count(.full, Answer("There are too many clients.\n", status: .serviceUnavailable))
    case .origin:
      return count(.origin, Answer("Pages of other sites are refused.\n", status: .forbidden))
    case nil: break
    }
    guard services.configuration.apiKeys?.accept(head.headers.first(name: "Authorization")) ?? true
    else { return count(.key, Self.keyMissing) }
    guard Self.isReading(head) else {
      return Answer("Only GET is understood.\n", status: .methodNotAllowed)
    }
    switch Self.path(head) {
    case "/": return Answer(StatusPage.html, type: "text/html; charset=utf-8")
    case "/status.json":
      let status = StatusJSON(
        services.statistics, policy: services.policy, cards: services.cards.cards)
      return Answer(status.encoded(), type: "application/json")
    case "/metrics":
      let metrics = PrometheusText(
        services.statistics.snapshot, cards: services.cards.cards, usage: ProcessUsage())
      return Answer(metrics.text, type: "text/plain; version=0.0.4; charset=utf-8")
    default:
      return Answer(
        "There are /, /metrics and /healthz, and the policy by WebSocket.\n", status: .notFound)
    }
  }

  private func count(_ refusal: ServerStatistics.Refusal, _ answer: Answer) -> Answer {
    services.statistics.count(refusal)
    return answer
  }

  private static let keyMissing = Answer(
    "An API key is needed: Authorization: Api-Key KEY.\n", status: .unauthorized)

  /// Whether somebody asks for the server's health, which needs no key.
  static func isHealthCheck(_ head: HTTPRequestHead) -> Bool {
    path(head) == "/healthz" && isReading(head)
  }

  private static func path(_ head: HTTPRequestHead) -> Substring { head.uri.prefix { $0 != "?" } }

  private static func isReading(_ head: HTTPRequestHead) -> Bool {
    head.method == .GET || head.method == .HEAD
  }
}

extension ServerServices {
  /// Why a client may not use the policy; nil if it may, and then it counts as one.
  func admit(_ head: HTTPRequestHead) -> ServerStatistics.Refusal? {
    guard configuration.apiKeys?.accept(head.headers.first(name: "Authorization")) ?? true else {
      return .key
    }
    // Browsers name the site whose page connects. Other clients do not.
    if let origin = head.headers.first(name: "Origin") {
      let site = origin.split(separator: "://", maxSplits: 1).last.map { $0.lowercased() }
      guard let host = head.headers.first(name: "Host"), site == host.lowercased() else {
        return .origin
      }
    }
    return statistics.clientConnects(limit: configuration.maximumClients) ? nil : .full
  }
}
