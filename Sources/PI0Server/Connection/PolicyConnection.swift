import Logging
import NIOCore
import NIOWebSocket

/// A client of the policy, once it speaks WebSocket: metadata first, then an answer a message.
///
/// One message at a time is with the inference queue. Those that come meanwhile are kept, and
/// nothing more is read until they are gone, so that neither they nor answers that nobody reads pile
/// up.
///
/// Source: openpi's `websocket_policy_server.py`.
final class PolicyConnection: ChannelDuplexHandler {
  typealias InboundIn = WebSocketFrame
  typealias OutboundIn = WebSocketFrame
  typealias OutboundOut = WebSocketFrame

  private enum Phase {
    /// Waits for a message.
    case listening
    /// A request is with the queue.
    case computing(InferenceQueue.Request)
    /// An answer is under way since then.
    case answering(NIODeadline)
    /// The goodbye is said; what still comes is dropped.
    case closing
  }

  /// A message of which not all fragments are there.
  private struct PartialMessage {
    let isText: Bool
    let start: NIODeadline
    var bytes: [UInt8]
  }

  private let services: ServerServices
  private var logger: Logger
  private var phase = Phase.listening
  private var partial: PartialMessage?
  /// Whole messages that wait for the answer to the one before, and when they came.
  private var waiting: CircularBuffer<(bytes: [UInt8], arrival: NIODeadline)> = []
  private var isReadDue = false
  private var isQuiescing = false
  private var lastFrame = NIODeadline.now()
  private var lastPing = NIODeadline.now()
  private var timer: RepeatedTask?
  /// From a message's last byte to its answer's, of the request before.
  private var previousTotal: TimeAmount?

  init(_ services: ServerServices) {
    self.services = services
    logger = services.logger
  }

  private var configuration: ServerConfiguration { services.configuration }

  // MARK: - Beginning and end

  func handlerAdded(context: ChannelHandlerContext) {
    logger[metadataKey: "client"] = "\(context.remoteAddress.map { "\($0)" } ?? "unknown")"
    logger.info("connected")
    let metadata = MessagePackEncoder.encode(.map(services.policy.metadata))
    context.writeAndFlush(frame(.binary, metadata, context), promise: nil)
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    let interval = TimeAmount.nanoseconds(
      max(min(configuration.idleTime.nanoseconds / 10, 1_000_000_000), 10_000_000))
    timer = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
      let (connection, context) = bound.value
      connection.lookAtTheClock(context)
    }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    timer = nil
    if case .computing(let request) = phase { request.cancel() }
    phase = .closing
    waiting.removeAll()
    logger.info("disconnected")
  }

  func channelInactive(context: ChannelHandlerContext) {
    if case .computing(let request) = phase { request.cancel() }
    phase = .closing
    context.fireChannelInactive()
  }

  // MARK: - Frames

  func read(context: ChannelHandlerContext) {
    if waiting.isEmpty { context.read() } else { isReadDue = true }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let frame = unwrapInboundIn(data)
    lastFrame = .now()
    if case .closing = phase {
      if frame.opcode == .connectionClose { context.close(promise: nil) }
      return
    }
    guard let mask = frame.maskKey, !frame.rsv1, !frame.rsv2, !frame.rsv3 else {
      return fail(
        "a client's frames must be masked and have no reserved bit set", .framing, context)
    }
    switch frame.opcode {
    case .binary, .text:
      guard partial == nil else {
        return fail("a message began before the one before it ended", .framing, context)
      }
      partial = PartialMessage(isText: frame.opcode == .text, start: .now(), bytes: [])
      append(frame, mask, context)
    case .continuation:
      guard partial != nil else {
        return fail("a message is continued that never began", .framing, context)
      }
      append(frame, mask, context)
    case .ping:
      // Who sends pings and reads no pongs gets none.
      guard context.channel.isWritable else { return }
      let payload = unmasked(frame.data, mask)
      context.writeAndFlush(self.frame(.pong, payload, context), promise: nil)
    case .pong: break
    case .connectionClose: sayGoodbye(.normalClosure, "", context)
    default: fail("frames of this kind do not exist", .framing, context)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if case .closing = phase { return }
    switch error {
    case NIOWebSocketError.invalidFrameLength: failForSize(context)
    case is NIOWebSocketError:
      fail("control frames have at most 125 bytes and no fragments", .framing, context)
    default:  // the connection broke
      logger.debug("connection failed", metadata: ["error": "\(error)"])
      context.close(promise: nil)
    }
  }

  private func append(
    _ frame: WebSocketFrame, _ mask: WebSocketMaskingKey, _ context: ChannelHandlerContext
  ) {
    guard var message = partial.take() else { return }
    guard
      message.bytes.count + frame.data.readableBytes <= configuration.messageLimits.byteCount
    else { return failForSize(context) }
    let bytes = unmasked(frame.data, mask)
    if message.bytes.isEmpty { message.bytes = bytes } else { message.bytes += bytes }
    guard frame.fin else {
      partial = message
      return
    }
    guard !message.isText else {
      return fail(
        "a message of text came; observations are binary messages of MessagePack", .message,
        context)
    }
    services.statistics.received(byteCount: message.bytes.count)
    if case .listening = phase {
      begin(message.bytes, arrival: .now(), context)
    } else {
      waiting.append((message.bytes, .now()))
    }
  }

  /// The bytes xor the mask's four, over and over.
  private func unmasked(_ data: ByteBuffer, _ mask: WebSocketMaskingKey) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: data.readableBytes) { target, count in
      let target = UnsafeMutableRawBufferPointer(target)
      data.withUnsafeReadableBytes { source in
        var word: UInt64 = 0
        for index in 0..<8 { word |= UInt64(mask[index % 4]) << (8 * index) }
        word = UInt64(littleEndian: word)
        let whole = source.count / 8 * 8
        for offset in stride(from: 0, to: whole, by: 8) {
          let value = source.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
          target.storeBytes(of: value ^ word, toByteOffset: offset, as: UInt64.self)
        }
        for offset in whole..<source.count { target[offset] = source[offset] ^ mask[offset % 4] }
        count = source.count
      }
    }
  }

  // MARK: - Requests

  private func begin(_ bytes: [UInt8], arrival: NIODeadline, _ context: ChannelHandlerContext) {
    let message: MessagePackValue
    do throws(ServerError) {
      message = try MessagePackDecoder.decode(bytes, limits: configuration.messageLimits)
    } catch {
      return fail(error.description, .message, context)
    }
    let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
    let (eventLoop, previousTotal) = (context.eventLoop, previousTotal)
    let request = services.queue.submit(message) { outcome in
      let answer = outcome.result.map {
        MessagePackEncoder.encode(
          PolicyAnswer.message($0, timing: outcome.timing, previousTotal: previousTotal))
      }
      eventLoop.execute {
        let (connection, context) = bound.value
        connection.finish(answer, arrival: arrival, context)
      }
    }
    phase = .computing(request)
  }

  private func finish(
    _ answer: Result<[UInt8], InferenceQueue.RequestError>, arrival: NIODeadline,
    _ context: ChannelHandlerContext
  ) {
    guard case .computing = phase else { return }  // the client left, or was cut off
    switch answer {
    case .failure(let error): fail(error.description, nil, context)
    case .success(let bytes):
      phase = .answering(.now())
      services.statistics.sent(byteCount: bytes.count)
      let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
      context.writeAndFlush(frame(.binary, bytes, context)).whenSuccess {
        let (connection, context) = bound.value
        connection.previousTotal = .now() - arrival
        connection.listen(context)
      }
    }
  }

  /// Takes the next message, or reads on.
  private func listen(_ context: ChannelHandlerContext) {
    guard case .answering = phase else { return }
    phase = .listening
    lastFrame = .now()
    if isQuiescing { return sayGoodbye(.goingAway, Self.goodbye, context) }
    if let next = waiting.popFirst() { begin(next.bytes, arrival: next.arrival, context) }
    readOn(context)
  }

  private func readOn(_ context: ChannelHandlerContext) {
    guard isReadDue, waiting.isEmpty else { return }
    isReadDue = false
    context.read()
  }

  // MARK: - Time

  private func lookAtTheClock(_ context: ChannelHandlerContext) {
    let now = NIODeadline.now()
    if let partial, now - partial.start > configuration.messageTime {
      return fail(
        "a message was not complete within \(configuration.messageTime.seconds) s", .timeout,
        context)
    }
    switch phase {
    case .listening where now - lastFrame > configuration.idleTime:
      fail(
        "nothing whole came for \(configuration.idleTime.seconds) s, no answer to a ping either",
        .timeout, context)
    case .answering(let start) where now - start > configuration.writeTime:
      services.statistics.count(.timeout)
      logger.warning("cut off: does not read its answer")
      context.close(promise: nil)
    case .closing: break
    default:
      let interval = TimeAmount.nanoseconds(configuration.idleTime.nanoseconds / 3)
      guard now - lastPing > interval, context.channel.isWritable else { break }
      lastPing = now
      context.writeAndFlush(frame(.ping, [], context), promise: nil)
    }
  }

  // MARK: - Goodbye

  private static let goodbye = "The server is shutting down."

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    guard event is ChannelShouldQuiesceEvent else {
      return context.fireUserInboundEventTriggered(event)
    }
    isQuiescing = true
    switch phase {
    case .listening: sayGoodbye(.goingAway, Self.goodbye, context)
    case .computing(let request):
      if request.cancel() { sayGoodbye(.goingAway, Self.goodbye, context) }
    case .answering, .closing: break
    }
  }

  private func failForSize(_ context: ChannelHandlerContext) {
    let limit = configuration.messageLimits.byteCount
    fail(
      "the message has more than the \(limit) bytes that are taken", .size, context,
      code: .messageTooLarge)
  }

  /// Sends an error, and goodbye. `kind` is nil where it was counted already.
  private func fail(
    _ reason: String, _ kind: ServerStatistics.ErrorKind?, _ context: ChannelHandlerContext,
    code: WebSocketErrorCode = .unexpectedServerError
  ) {
    if case .closing = phase { return }
    if let kind { services.statistics.count(kind) }
    logger.warning("refused: \(reason)")
    context.write(frame(.text, Array(reason.utf8), context), promise: nil)
    sayGoodbye(code, "The reason is in the frame before.", context)
  }

  /// Sends the closing frame; closes when the client has answered it, or does not in time.
  private func sayGoodbye(
    _ code: WebSocketErrorCode, _ reason: String, _ context: ChannelHandlerContext
  ) {
    if case .computing(let request) = phase { request.cancel() }
    phase = .closing
    partial = nil
    waiting.removeAll()
    var payload = context.channel.allocator.buffer(capacity: 2 + reason.utf8.count)
    payload.write(webSocketErrorCode: code)
    payload.writeString(reason)
    let close = WebSocketFrame(fin: true, opcode: .connectionClose, data: payload)
    let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
    context.writeAndFlush(wrapOutboundOut(close)).whenComplete { _ in
      // It was the client who said goodbye first.
      if code == .normalClosure { bound.value.close(promise: nil) }
    }
    context.eventLoop.scheduleTask(in: configuration.closeTime) { bound.value.close(promise: nil) }
    readOn(context)
  }

  private func frame(
    _ opcode: WebSocketOpcode, _ bytes: [UInt8], _ context: ChannelHandlerContext
  ) -> NIOAny {
    let data = context.channel.allocator.buffer(bytes: bytes)
    return wrapOutboundOut(WebSocketFrame(fin: true, opcode: opcode, data: data))
  }
}

extension TimeAmount {
  fileprivate var seconds: Double { Double(nanoseconds) * 1e-9 }
}
