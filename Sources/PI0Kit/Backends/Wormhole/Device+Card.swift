import Synchronization
internal import Wormhole
internal import WormholeEmulator

extension Device {
  /// A Wormhole card behind the kernel driver.
  ///
  /// The card stays open until the process ends. All of a policy runs on it.
  ///
  /// - Parameters:
  ///   - index: N of `/dev/tenstorrent/N`.
  ///   - weights: how weights are kept on the card.
  ///   - activations: how values are kept between operations, bfloat16 or float32. Products use 11
  ///     bits of significand of a float32 value.
  /// - Throws: ``PI0Error/device(_:)`` where there is no such card, it is in use, or it does not
  ///   answer.
  public static func wormhole(
    index: Int = 0, weights: CardWeightFormat = .bfp8, activations: ElementType = .bfloat16
  ) throws(PI0Error) -> Device {
    let name = index == 0 ? "wormhole" : "wormhole\(index)"
    return try card(name, weights, activations) { () throws(CardError) in
      try KernelDriverTransport(card: index)
    }
  }

  /// The vendor's simulator of a card, the library that `TT_METAL_SIMULATOR` names.
  ///
  /// - Parameters:
  ///   - weights: how weights are kept on the card.
  ///   - activations: how values are kept between operations, bfloat16 or float32.
  /// - Throws: ``PI0Error/device(_:)`` where the variable is not set or names no such library.
  public static func simulator(
    weights: CardWeightFormat = .bfp8, activations: ElementType = .bfloat16
  ) throws(PI0Error) -> Device {
    try card("simulator", weights, activations) { () throws(CardError) in
      try SimulatedTransport(bus: SimulatorLibrary.load())
    }
  }

  /// A card in software, on any machine: the same programs, and the same bytes as on the vendor's
  /// simulator.
  ///
  /// - Parameters:
  ///   - weights: how weights are kept on the card.
  ///   - activations: how values are kept between operations, bfloat16 or float32.
  ///   - tiles: how many Tensix tiles the card has: 80, 72 as an n150, or 64.
  /// - Throws: ``PI0Error/device(_:)`` for another number of tiles, or where there is no address space for its
  ///   12 GiB of DRAM.
  public static func emulator(
    weights: CardWeightFormat = .bfp8, activations: ElementType = .bfloat16, tiles: Int = 80
  ) throws(PI0Error) -> Device {
    // Whole rows of eight are off.
    guard let rows = [80: [], 72: [11], 64: [10, 11]][tiles] else {
      throw .device("no card has \(tiles) tiles; choose 80, 72 or 64")
    }
    let name = tiles == 80 ? "emulator" : "emulator of \(tiles) tiles"
    return try card(name, weights, activations) { () throws(CardError) in
      try SimulatedTransport(bus: WormholeEmulator(harvestedRows: rows))
    }
  }

  /// The cards that this process has opened, by device name.
  private static let sessions = Mutex<[String: CardSession]>([:])

  private static func card(
    _ name: String, _ weights: CardWeightFormat, _ activations: ElementType,
    open: () throws(CardError) -> any Transport
  ) throws(PI0Error) -> Device {
    guard activations == .bfloat16 || activations == .float32 else {
      throw .device("\(name): values are kept as bfloat16 or float32, not as \(activations)")
    }
    let session = try sessions.withLock { (sessions) throws(PI0Error) in
      if let session = sessions[name] { return session }
      do {
        let session = CardSession(name: name, card: try Card(transport: open()))
        sessions[name] = session
        return session
      } catch {
        throw .device("\(error)")
      }
    }
    let backend = WormholeBackend(
      session, weights: weights,
      activations: activations == .float32 ? .float32 : .bfloat16)
    return Device(name: name, backend: backend)
  }

  /// Stops the card of this device and gives it back; every later use of its tensors and policies
  /// throws. A second time, and on a device that is no card, it does nothing.
  ///
  /// - Throws: ``PI0Error/device(_:)`` where another thread is using the card.
  public func close() throws(PI0Error) {
    guard let backend = backend as? WormholeBackend else { return }
    try backend.session.close()
    Self.sessions.withLock { sessions in
      if sessions[name] === backend.session { sessions[name] = nil }
    }
  }

  /// Binds the calling thread to the processor cores nearest the card, for a control loop that
  /// waits for it. On a device that is no card, and on a simulated one, it does nothing.
  ///
  /// - Throws: ``PI0Error/device(_:)`` where the system refuses.
  public func bindCallingThread() throws(PI0Error) {
    guard let backend = backend as? WormholeBackend else { return }
    try backend.session.use { (card) throws(CardError) in try card.transport.bindThread() }
  }

  /// What every function that this device has recorded does in a run; none on a device that is no
  /// card.
  package var traceReports: [TraceReport] {
    (backend as? WormholeBackend)?.session.traceReports ?? []
  }

  /// Runs `body`, and returns when the card ran which commands and how busy its units were, as trace
  /// events for chrome://tracing or Perfetto.
  ///
  /// - Throws: ``PI0Error/device(_:)`` where the device is no emulated card; what `body` throws.
  package func profile(_ body: () throws -> Void) throws -> String {
    let name = name
    guard let session = (backend as? WormholeBackend)?.session,
      try session.use({ (card) throws(CardError) in card.transport.startProfile() })
    else { throw PI0Error.device("\(name) counts nothing; choose the device \"emulator\"") }
    try body()
    let profile = try session.use { (card) throws(CardError) in card.transport.takeProfile() }
    return profile?.traceEvents ?? ""
  }
}
