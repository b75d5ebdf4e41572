import Foundation
import NIOCore
import Logging
import PI0Kit
import Synchronization
import XCTest

@testable import PI0Server

/// A server on loopback, and clients that behave and that do not.
final class PolicyServerTests: XCTestCase {
  private func server(
    _ policy: some ServedPolicy, _ change: (inout ServerConfiguration) throws -> Void = { _ in }
  ) throws -> PolicyServer {
    var configuration = ServerConfiguration()
    configuration.port = 0
    configuration.closeTime = .milliseconds(300)
    try change(&configuration)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = try PolicyServer(
      serving: policy, configuration: configuration, logger: logger)
    addTeardownBlock { server.stop() }
    return server
  }

  /// Waits until something that happens on another thread has happened.
  private func wait(
    for what: String, _ condition: () throws -> Bool, file: StaticString = #filePath,
    line: UInt = #line
  ) rethrows {
    for _ in 0..<2_000 {
      if try condition() { return }
      usleep(5_000)
    }
    XCTFail("\(what) did not happen", file: file, line: line)
  }

  // MARK: - Good clients

  func testActionsAreThePolicys() throws {
    let policy = try Fixtures.policy()
    let server = try server(ServedRobotPolicy(policy))
    let (client, metadata) = try TestClient.connected(port: server.port)
    guard case .map(let facts) = metadata else { return XCTFail("\(metadata)") }
    XCTAssertEqual(facts["action_horizon"], .integer(50))
    XCTAssertEqual(facts["action_dimension"], .integer(32))

    let image = try NumpyArray.picture(height: 6, width: 9)
    let noise = (0..<1600).map { Double(Float(sin(Double($0)))) }
    try client.send(
      .map([
        "images": .map(["base_0_rgb": .array(image)]),
        "state": .list([.number(0.25), .number(-0.5)]),
        "tokenized_prompt": .list([.integer(2), .integer(7)]),
        "noise": .array(NumpyArray(noise, shape: [50, 32])),
      ]))
    guard case .binary(let bytes) = try client.receive(),
      case .map(let answer) = try MessagePackDecoder.decode(bytes),
      case .array(let actions)? = answer["actions"]
    else { return XCTFail("no actions") }

    let expected = try policy.infer(
      RobotObservation(
        images: ["base_0_rgb": RGBImage(width: 9, height: 6, pixels: Array(image.bytes))],
        state: [0.25, -0.5], prompt: .tokens([2, 7])),
      noise: Tensor(noise.map(Float.init), shape: [50, 32]))
    XCTAssertEqual(actions.shape, [50, 32])
    XCTAssertEqual(actions.elementType, .float64)
    XCTAssertEqual(actions.numbers, expected.values)
  }

  func testTimingOfThisRequestAndTheOneBefore() throws {
    let server = try server(EchoPolicy())
    let (client, _) = try TestClient.connected(port: server.port)
    for round in 0..<3 {
      try client.send(.map(["state": .list([.number(1)])]))
      guard case .binary(let bytes) = try client.receive(),
        case .map(let answer) = try MessagePackDecoder.decode(bytes),
        case .map(let timing)? = answer["server_timing"]
      else { return XCTFail("no timing") }
      XCTAssertEqual(
        Set(timing.keys),
        round == 0 ? ["infer_ms", "wait_ms"] : ["infer_ms", "wait_ms", "prev_total_ms"])
      for case .number(let milliseconds) in timing.values {
        XCTAssertTrue((0..<5_000).contains(milliseconds), "\(milliseconds)")
      }
    }
  }

  func testMessagesInFragmentsWithPingsBetween() throws {
    let server = try server(EchoPolicy())
    let (client, _) = try TestClient.connected(port: server.port)
    let message = MessagePackEncoder.encode(.map(["state": .list([.number(4)])]))
    try client.write(TestClient.frame(0x02, Array(message.prefix(3))))
    try client.write(TestClient.frame(0x89, [1, 2]))
    XCTAssertEqual(try client.receive(), .pong([1, 2]))
    try client.write(TestClient.frame(0x00, []))
    try client.write(TestClient.frame(0x80, Array(message.dropFirst(3))))
    XCTAssertEqual(try client.receiveActions(), 4)
  }

  func testMessagesWithoutWaitingAreAnsweredInOrder() throws {
    let server = try server(EchoPolicy())
    let (client, _) = try TestClient.connected(port: server.port)
    let messages = (0..<200).flatMap {
      TestClient.frame(
        0x82, MessagePackEncoder.encode(.map(["state": .list([.integer($0)])])))
    }
    try client.write(messages)
    for number in 0..<200 { XCTAssertEqual(try client.receiveActions(), Double(number)) }
  }

  func testGoodbye() throws {
    let server = try server(EchoPolicy())
    let (client, _) = try TestClient.connected(port: server.port)
    try client.write(TestClient.frame(0x88, [0x03, 0xE8]))
    XCTAssertEqual(try client.receive(), .close(code: 1000))
    XCTAssertEqual(try client.receive(), .end)
    wait(for: "leaving") { server.statistics.snapshot.clients == 0 }
  }

  // MARK: - Order

  func testOthersWaitInOrderAndHealthAnswers() throws {
    let gate = DispatchSemaphore(value: 0)
    let policy = EchoPolicy(gate: gate)
    let server = try server(policy)
    var clients: [TestClient] = []
    for number in 0..<6 {
      let (client, _) = try TestClient.connected(port: server.port)
      try client.send(.map(["state": .list([.integer(Int64(number))])]))
      clients.append(client)
      if number == 0 { policy.begun.wait() }
      wait(for: "waiting") { server.statistics.snapshot.waiting == number }
    }
    XCTAssertTrue(try TestClient.get("/healthz", port: server.port).hasSuffix("\r\n\r\nOK\n"))
    let metrics = try TestClient.get("/metrics", port: server.port)
    XCTAssertTrue(metrics.contains("\npi0_waiting_requests 5\n"), metrics)
    XCTAssertTrue(metrics.contains("\npi0_clients 6\n"), metrics)
    for _ in clients { gate.signal() }
    for (number, client) in clients.enumerated() {
      XCTAssertEqual(try client.receiveActions(), Double(number))
    }
    XCTAssertEqual(policy.order.withLock { $0 }, [0, 1, 2, 3, 4, 5])
  }

  func testWhoLeavesIsNotComputed() throws {
    let gate = DispatchSemaphore(value: 0)
    let policy = EchoPolicy(gate: gate)
    let server = try server(policy)
    let (first, _) = try TestClient.connected(port: server.port)
    try first.send(.map(["state": .list([.integer(1)])]))
    policy.begun.wait()
    var second: TestClient? = try TestClient.connected(port: server.port).client
    try second?.send(.map(["state": .list([.integer(2)])]))
    wait(for: "waiting") { server.statistics.snapshot.waiting == 1 }
    second = nil
    wait(for: "leaving") { server.statistics.snapshot.clients == 1 }
    gate.signal()
    gate.signal()
    XCTAssertEqual(try first.receiveActions(), 1)
    XCTAssertEqual(try first.echo(3), 3)
    XCTAssertEqual(policy.order.withLock { $0 }, [1, 3])
  }

  func testWhoDoesNotReadHoldsNobodyUp() throws {
    // Answers of 16 MB, more than the sockets hold.
    let server = try server(EchoPolicy(repetitions: 2_000_000)) { $0.writeTime = .seconds(5) }
    let (lazy, _) = try TestClient.connected(port: server.port, receiveBuffer: 4096)
    try lazy.send(.map(["state": .list([.integer(1)])]))
    let (client, _) = try TestClient.connected(port: server.port)
    var limits = MessageLimits()
    limits.byteCount = 64 << 20
    try client.send(.map(["state": .list([.integer(2)])]))
    guard case .binary(let bytes) = try client.receive() else { return XCTFail("no actions") }
    XCTAssertNoThrow(try MessagePackDecoder.decode(bytes, limits: limits))
    wait(for: "the end") { server.statistics.snapshot.clients == 1 }
    XCTAssertEqual(server.statistics.snapshot.errors[.timeout], 1)
  }

  // MARK: - Errors

  /// The client is told why, with this code, and the server goes on.
  private func assertRefused(
    _ bytes: [UInt8], _ text: String, code: Int = 1011, _ server: PolicyServer,
    file: StaticString = #filePath, line: UInt = #line
  ) throws {
    let (client, _) = try TestClient.connected(port: server.port)
    try client.write(bytes)
    guard case .text(let reason) = try client.receive() else {
      return XCTFail("no error", file: file, line: line)
    }
    XCTAssertTrue(reason.contains(text), reason, file: file, line: line)
    XCTAssertEqual(try client.receive(), .close(code: code), file: file, line: line)
    let (other, _) = try TestClient.connected(port: server.port)
    XCTAssertEqual(try other.echo(8), 8, file: file, line: line)
  }

  func testErrorsAreSaidAndTheServerGoesOn() throws {
    let server = try server(EchoPolicy()) { $0.messageLimits.byteCount = 1000 }
    func message(_ entries: [String: MessagePackValue]) -> [UInt8] {
      TestClient.frame(0x82, MessagePackEncoder.encode(.map(entries)))
    }
    try assertRefused(TestClient.frame(0x82, []), "ends in the middle", server)
    try assertRefused(TestClient.frame(0x82, [0xC1]), "not part", server)
    try assertRefused(message([:]), "no state", server)
    try assertRefused(message(["state": .null]), "is None", server)
    try assertRefused(message(["state": .list([.integer(-1)])]), "the state is -1", server)
    try assertRefused(TestClient.frame(0x81, Array("{}".utf8)), "message of text", server)
    let errors = server.statistics.snapshot.errors
    XCTAssertEqual(errors[.message], 5)
    XCTAssertEqual(errors[.policy], 1)
  }

  func testMessagesThatAreTooLarge() throws {
    let server = try server(EchoPolicy()) { $0.messageLimits.byteCount = 1000 }
    let part = [UInt8](repeating: 0, count: 600)
    try assertRefused(
      TestClient.frame(0x82, part + part), "more than the 1000 bytes", code: 1009, server)
    try assertRefused(
      TestClient.frame(0x02, part) + TestClient.frame(0x80, part), "more than the 1000 bytes",
      code: 1009, server)
    // A length alone: 2^62 bytes.
    try assertRefused(
      [0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], "more than the 1000 bytes", code: 1009,
      server)
    XCTAssertEqual(server.statistics.snapshot.errors[.size], 3)
  }

  func testFramesThatAreNone() throws {
    let server = try server(EchoPolicy())
    try assertRefused(TestClient.frame(0x82, [1], isMasked: false), "masked", server)
    try assertRefused(TestClient.frame(0xC2, [1]), "reserved", server)
    try assertRefused(TestClient.frame(0x83, [1]), "do not exist", server)
    try assertRefused(TestClient.frame(0x80, [1]), "never began", server)
    try assertRefused(
      TestClient.frame(0x02, [1]) + TestClient.frame(0x82, [1]), "before the one", server)
    try assertRefused(TestClient.frame(0x09, [1]), "control frames", server)
    try assertRefused(
      TestClient.frame(0x89, [UInt8](repeating: 0, count: 126)), "control frames", server)
    XCTAssertEqual(server.statistics.snapshot.errors[.framing], 7)
  }

  func testLimitsBeyondReason() throws {
    let server = try server(EchoPolicy()) { $0.messageLimits.byteCount = .max }
    XCTAssertEqual(try TestClient.connected(port: server.port).client.echo(2), 2)
    let none = try self.server(EchoPolicy()) { $0.messageLimits.byteCount = -1 }
    let (client, _) = try TestClient.connected(port: none.port)
    try client.write(TestClient.frame(0x82, [0x80]))
    guard case .text(let reason) = try client.receive() else { return XCTFail("taken") }
    XCTAssertTrue(reason.contains("more than the -1 bytes"), reason)
  }

  // MARK: - Time

  func testSilentClientsAreCutOffAndLiveOnesAreNot() throws {
    let server = try server(EchoPolicy()) { $0.idleTime = .seconds(2) }
    let (silent, _) = try TestClient.connected(port: server.port)
    silent.answersPings = false
    let (live, _) = try TestClient.connected(port: server.port)
    var pings = 0
    while pings < 5 {
      guard case .ping(let payload) = try live.receiveAny() else { return XCTFail("no ping") }
      try live.write(TestClient.frame(0x8A, payload))
      pings += 1
    }
    guard case .text(let reason) = try silent.receive() else { return XCTFail("not cut off") }
    XCTAssertTrue(reason.contains("nothing whole came"), reason)
    XCTAssertEqual(try live.echo(1), 1)
  }

  func testMessagesThatTakeTooLong() throws {
    let server = try server(EchoPolicy()) { $0.messageTime = .milliseconds(300) }
    let (client, _) = try TestClient.connected(port: server.port)
    try client.write(TestClient.frame(0x02, [1]))
    guard case .text(let reason) = try client.receive() else { return XCTFail("not cut off") }
    XCTAssertTrue(reason.contains("not complete within"), reason)
  }

  func testRequestsThatTakeTooLong() throws {
    let server = try server(EchoPolicy()) { $0.requestTime = .milliseconds(300) }
    let client = try TestClient(port: server.port)
    try client.write(Array("GET /heal".utf8))
    XCTAssertEqual(try client.readToEnd(), [])
  }

  // MARK: - Who is let in

  func testKeys() throws {
    let server = try server(EchoPolicy()) { $0.apiKeys = try APIKeys(["secret", "second-key"]) }
    for key in ["secret", "second-key"] {
      let header = "Authorization: Api-Key \(key)"
      let (client, _) = try TestClient.connected(port: server.port, headers: [header])
      XCTAssertEqual(try client.echo(3), 3)
    }
    let wrong = [
      [], ["Authorization: Api-Key wrong!"], ["Authorization: Api-Key secre"],
      ["Authorization: Api-Key secretsecret"], ["Authorization: secret"],
      ["Authorization: Api-Key"], ["Authorization: Basic !"], ["Authorization: Basic c2VjcmV0"],
    ]
    for headers in wrong {
      let response = try TestClient(port: server.port).upgrade(headers: headers)
      XCTAssertTrue(response.hasPrefix("HTTP/1.1 401 "), "\(headers): \(response)")
      for path in ["/", "/metrics", "/status.json"] {
        let page = try TestClient.get(path, port: server.port, headers: headers)
        XCTAssertTrue(page.hasPrefix("HTTP/1.1 401 "), "\(headers): \(page)")
      }
    }
    XCTAssertEqual(server.statistics.snapshot.refusals[.key], 4 * wrong.count)
    XCTAssertTrue(try TestClient.get("/healthz", port: server.port).hasPrefix("HTTP/1.1 200 "))
    // name:secret
    let basic = ["Authorization: Basic bmFtZTpzZWNyZXQ="]
    XCTAssertTrue(
      try TestClient.get("/", port: server.port, headers: basic).hasPrefix("HTTP/1.1 200 "))
  }

  func testPagesOfOtherSites() throws {
    let server = try server(EchoPolicy())
    for origin in ["http://example.com", "null", "http://127.0.0.1:1"] {
      let response = try TestClient(port: server.port).upgrade(headers: ["Origin: \(origin)"])
      XCTAssertTrue(response.hasPrefix("HTTP/1.1 403 "), "\(origin): \(response)")
    }
    let own = ["Origin: http://127.0.0.1"]
    XCTAssertEqual(try TestClient.connected(port: server.port, headers: own).client.echo(1), 1)
  }

  func testNumberOfClients() throws {
    let server = try server(EchoPolicy()) { $0.maximumClients = 2 }
    var clients = try (0..<2).map { _ in try TestClient.connected(port: server.port).client }
    let response = try TestClient(port: server.port).upgrade()
    XCTAssertTrue(response.hasPrefix("HTTP/1.1 503 "), response)
    XCTAssertTrue(try TestClient.get("/healthz", port: server.port).hasPrefix("HTTP/1.1 200 "))
    clients.removeLast()
    wait(for: "leaving") { server.statistics.snapshot.clients == 1 }
    XCTAssertEqual(try TestClient.connected(port: server.port).client.echo(5), 5)
  }

  func testNumberOfConnections() throws {
    let server = try server(EchoPolicy()) {
      $0.maximumClients = 1
      $0.maximumVisitors = 1
    }
    let idle = try (0..<2).map { _ in try TestClient(port: server.port) }
    wait(for: "connecting") { server.connections.count == 2 }
    XCTAssertEqual(try TestClient(port: server.port).readToEnd(), [])
    try idle[0].request("GET /healthz HTTP/1.1")
    XCTAssertTrue(String(decoding: try idle[0].readToEnd(), as: UTF8.self).hasSuffix("OK\n"))
  }

  // MARK: - HTTP

  func testHTTP() throws {
    let server = try server(EchoPolicy())
    XCTAssertTrue(try TestClient.get("/nothing", port: server.port).hasPrefix("HTTP/1.1 404 "))
    let page = try TestClient.get("/?x", port: server.port)
    XCTAssertTrue(
      page.contains("content-security-policy: default-src 'none'")
        || page.contains("Content-Security-Policy: default-src 'none'"), page)
    XCTAssertTrue(page.contains("<title>pi0 server</title>"))
    func answer(to line: String, _ headers: [String] = []) throws -> String {
      let client = try TestClient(port: server.port)
      try client.request(line, headers: headers)
      return String(decoding: try client.readToEnd(), as: UTF8.self)
    }
    XCTAssertTrue(try answer(to: "HEAD /healthz HTTP/1.1").hasSuffix("\r\n\r\n"))
    XCTAssertTrue(try answer(to: "POST / HTTP/1.1").hasPrefix("HTTP/1.1 405 "))
    XCTAssertTrue(try answer(to: "what is this").hasPrefix("HTTP/1.1 400 "))
    XCTAssertTrue(
      try answer(to: "GET /healthz HTTP/1.1", TestClient.upgradeHeaders()).hasSuffix("OK\n"))
    XCTAssertTrue(
      try answer(to: "POST / HTTP/1.1", TestClient.upgradeHeaders()).hasPrefix("HTTP/1.1 405 "))
    let long = "X-Long: " + String(repeating: "x", count: 200_000)
    XCTAssertFalse(try answer(to: "GET /healthz HTTP/1.1", [long]).contains("200 OK"))
  }

  func testStatus() throws {
    let server = try server(EchoPolicy(repetitions: 3))
    let (client, _) = try TestClient.connected(port: server.port)
    XCTAssertEqual(try client.echo(0.5), 0.5)
    try client.send(.map(["state": .list([.number(.nan), .number(2)])]))
    _ = try client.receive()
    let answer = try TestClient.get("/status.json", port: server.port)
    let body = try XCTUnwrap(answer.range(of: "\r\n\r\n")).upperBound
    let json = try XCTUnwrap(
      JSONSerialization.jsonObject(with: Data(answer[body...].utf8)) as? [String: Any])
    XCTAssertEqual(json["inferences"] as? Int, 2)
    XCTAssertEqual(json["clients"] as? Int, 1)
    XCTAssertEqual((json["recent"] as? [[Double]])?.count, 2)
    let chunk = try XCTUnwrap(json["chunk"] as? [[Any]])
    XCTAssertEqual(chunk.count, 3)
    XCTAssertTrue(chunk[0][0] is NSNull)
    XCTAssertEqual(chunk[2][1] as? Double, 2)
  }

  // MARK: - The end

  func testStopFinishesWhatRunsAndDropsWhatWaits() throws {
    let gate = DispatchSemaphore(value: 0)
    let policy = EchoPolicy(gate: gate)
    let server = try server(policy)
    let (running, _) = try TestClient.connected(port: server.port)
    try running.send(.map(["state": .list([.integer(1)])]))
    policy.begun.wait()
    let (waiting, _) = try TestClient.connected(port: server.port)
    try waiting.send(.map(["state": .list([.integer(2)])]))
    wait(for: "waiting") { server.statistics.snapshot.waiting == 1 }
    let (idle, _) = try TestClient.connected(port: server.port)
    let stopped = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      server.stop()
      stopped.signal()
    }
    XCTAssertEqual(try idle.receive(), .close(code: 1001))
    XCTAssertEqual(try waiting.receive(), .close(code: 1001))
    XCTAssertEqual(stopped.wait(timeout: .now() + 0.5), .timedOut)
    gate.signal()
    XCTAssertEqual(try running.receiveActions(), 1)
    XCTAssertEqual(try running.receive(), .close(code: 1001))
    XCTAssertEqual(stopped.wait(timeout: .now() + 20), .success)
    XCTAssertThrowsError(try TestClient(port: server.port))
    XCTAssertEqual(policy.order.withLock { $0 }, [1])
  }

  func testSettingsThatCannotBe() throws {
    let first = try server(EchoPolicy())
    XCTAssertThrowsError(try server(EchoPolicy()) { $0.port = first.port }) {
      XCTAssertTrue("\($0)".contains("cannot listen at 127.0.0.1 port \(first.port)"), "\($0)")
    }
    XCTAssertThrowsError(try server(EchoPolicy()) { $0.port = 70_000 }) {
      XCTAssertTrue("\($0)".contains("no port 70000"), "\($0)")
    }
    let files = ServerConfiguration.TLSFiles(certificate: "/none.pem", key: "/none.key")
    XCTAssertThrowsError(try server(EchoPolicy()) { $0.tls = files }) {
      XCTAssertTrue("\($0)".contains("/none.pem"), "\($0)")
    }
  }
}
