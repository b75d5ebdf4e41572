internal import CTensixImages
internal import TensixISA

/// A card that runs our programs: memory, matrices, lists of commands.
///
/// One thread at a time uses it. After an error of ``run(_:deadline:)`` the tiles may hang: until
/// ``reset()`` has brought them back, every run throws.
package final class Card {
  package let transport: any Transport

  /// The tiles that take part; the first is the master, which hands out the commands.
  package let tiles: [TileCoordinate]

  /// What the tiles are doing, as far as we know.
  private enum State { case running, hanging, lost, closed }
  private var state = State.running

  /// The number of the last run; it starts somewhere, so that nobody takes an earlier process's
  /// completion for his own.
  private var lastRun = UInt32.random(in: 1...UInt32.max)

  var dram: AddressSpace
  var hostSpace: AddressSpace

  /// The first line of host memory receives the number of the run that is finished.
  static let completionOffset = 0

  /// Resets the tiles, loads the programs and starts them.
  ///
  /// - Parameters:
  ///   - tiles: those that take part; all where nil.
  ///   - checksProducts: computes one product on every tile.
  package init(
    transport: any Transport, tiles: [TileCoordinate]? = nil, checksProducts: Bool = true
  ) throws(CardError) {
    self.transport = transport
    self.tiles = tiles ?? transport.layout.tiles
    // The first MiB of every bank is left alone: the firmware uses some of it.
    dram = AddressSpace(
      1 << 20..<Int(DRAMLocation.bankBytes), alignment: 64, plannedEnd: 1 << 32)
    hostSpace = AddressSpace(64..<max(64, transport.hostMemory.count), alignment: 64)
    guard !self.tiles.isEmpty, Set(self.tiles).count == self.tiles.count,
      self.tiles.allSatisfy(transport.layout.isOn)
    else {
      throw CardError(
        card: transport.name, call: "open", seen: "\(self.tiles.count) tiles to work with",
        remedy: "use tiles of this card's layout, each once")
    }
    try boot()
    if checksProducts { try checkProducts() }
  }

  deinit { close() }

  /// Tells the tiles that host memory is no longer theirs, and closes the transport. A second time
  /// does nothing.
  package func close() {
    guard state != .closed else { return }
    try? quiesce()
    state = .closed
    transport.close()
  }

  /// Takes the host's memory and what is left of a list back, and gives tiles that are at work a
  /// second to finish their command: in the middle of one, the coprocessor keeps what a reset of its
  /// cores does not reach.
  private func quiesce() throws(CardError) {
    try transport.write([0, 0] as [UInt32], to: master, at: UInt64(Control.hostValid))
    guard state == .hanging else { return }
    let end = ContinuousClock.now + .seconds(1)
    for tile in tiles {
      repeat {
        let released = try transport.read32(from: tile, at: UInt64(Control.release))
        let finished = try transport.read32(from: tile, at: UInt64(Control.finished))
        if released == finished || transport.standstill != nil { break }
        try transport.advance()
      } while ContinuousClock.now < end
    }
  }

  /// Lets all tiles finish their command if they can, holds them, loads the programs again and starts
  /// them. What is in DRAM stays.
  ///
  /// - Throws: ``CardError`` where a tile cannot be stopped, or computes wrongly afterwards: then the
  ///   card is lost.
  package func reset() throws(CardError) {
    if state == .closed { throw .closed(transport.name, call: "reset") }
    do throws(CardError) {
      try quiesce()
      try transport.multicast([TileMemory.allHeld], at: TileMemory.softReset)
      for tile in transport.layout.tiles {
        try check(tile, "soft reset", at: TileMemory.softReset, is: TileMemory.allHeld)
      }
      try boot()
      state = .running
      try checkProducts()
    } catch {
      state = .lost
      throw error
    }
  }

  /// Whether runs are possible.
  var isUsable: Bool { state == .running }

  var master: TileCoordinate { tiles.first ?? TileCoordinate(x: 1, y: 1) }

  // MARK: Boot

  /// One multicast a program, then what each tile is, then the start. All tiles are held.
  private func boot() throws(CardError) {
    var index: Int32 = 0
    while let image = tx_image(index)?.pointee {
      let words = Array(UnsafeBufferPointer(start: image.words, count: Int(image.count)))
      try transport.multicast(words, at: UInt64(image.address))
      index += 1
    }
    try transport.multicast(
      [UInt32](repeating: 0, count: Int((Control.end - Control.start) / 4)),
      at: UInt64(Control.start))
    try transport.multicast(tile { row, column in column == 0 ? 1 : 0 }, at: UInt64(Buffer.ones))
    try transport.multicast(
      tile { row, column in row == column ? 1 : 0 }, at: UInt64(Buffer.identity))
    try transport.multicast(tile { _, _ in 1 }, at: UInt64(Buffer.allOnes))

    try transport.multicast(
      tiles.map { UInt32($0.x | $0.y << 6) }, at: UInt64(Buffer.tiles))

    let receivers = UInt32(transport.layout.tiles.count)
    for (index, tile) in tiles.enumerated() {
      try transport.write(
        [UInt32(index), UInt32(tiles.count), receivers, UInt32(master.x | master.y << 6)],
        to: tile, at: UInt64(Control.tileIndex))
    }
    let hostAddress = transport.hostMemory.address
    try transport.hostMemory.store32(lastRun, at: Self.completionOffset)
    try transport.write([0, 0, 0, lastRun], to: master, at: UInt64(Control.doorbell))
    try transport.write([lastRun], to: master, at: UInt64(Control.completion))
    try transport.write(
      [UInt32(truncatingIfNeeded: hostAddress) &+ UInt32(Self.completionOffset)],
      to: master, at: UInt64(Control.hostCompletion))
    try transport.write([1, 0] as [UInt32], to: master, at: UInt64(Control.hostValid))
    // The master alone writes to the host. Should this process die, the kernel stops it before it
    // takes the memory away.
    try transport.setExitWrite(TileMemory.allHeld, to: master, at: TileMemory.softReset)

    // One word of every tile, read back, says that all of it is there.
    for (index, tile) in tiles.enumerated() {
      try check(tile, "tile index", at: UInt64(Control.tileIndex), is: UInt32(index))
    }
    // The sequencer runs, and lets the others go.
    let released = TileMemory.allHeld & ~UInt32(0x800)
    if tiles.count == transport.layout.tiles.count {
      try transport.multicast([released], at: TileMemory.softReset)
    } else {
      for tile in tiles { try transport.write32(released, to: tile, at: TileMemory.softReset) }
    }
  }

  private func check(
    _ tile: TileCoordinate, _ what: String, at address: UInt64, is expected: UInt32
  ) throws(CardError) {
    let seen = try transport.read32(from: tile, at: address)
    if seen == .max { throw .lost(transport.name, call: "boot") }
    guard seen == expected else {
      throw CardError(
        card: transport.name, call: "boot",
        seen: "\(what) of tile \(tile) is 0x\(hexadecimal(seen, digits: 1)), not "
          + "0x\(hexadecimal(expected, digits: 1))",
        remedy: "reset the card with tt-smi -r")
    }
  }

  private func tile(_ value: (Int, Int) -> Float) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: TileFormat.bfloat16.tileBytes)
    let values = (0..<1024).map { value($0 / 32, $0 % 32) }
    bytes.withUnsafeMutableBytes { bytes in
      values.withUnsafeBufferPointer {
        TileCodec.encode(.bfloat16, $0, stride: 32, into: bytes)
      }
    }
    return bytes
  }

  /// One product on every tile. A reset of the cores does not reach the source registers: what a run
  /// that hung has left there would show here.
  private func checkProducts() throws(CardError) {
    let width = 32 * tiles.count
    let a = try allocate(rows: 32, columns: 32)
    let b = try allocate(rows: 32, columns: width)
    let out = try allocate(rows: 32, columns: width)
    defer { for matrix in [a, b, out] { free(matrix) } }
    let values = (0..<32 * width).map { Float($0 % 251 - 125) }
    try upload((0..<1024).map { $0 % 33 == 0 ? 1 : 0 }, to: a)
    try upload(values, to: b)
    var builder = CommandBuilder(for: self)
    try builder.linear(a, b, into: out)
    let list = try load(builder)
    defer { free(list) }
    try run(list, deadline: .seconds(10))
    let seen = try download(out)
    guard let wrong = values.indices.first(where: { seen[$0] != values[$0] }) else { return }
    let tile = tiles[wrong % width / 32 % tiles.count]
    throw CardError(
      card: transport.name, call: "boot",
      seen: "tile \(tile) computes \(seen[wrong]) where \(values[wrong]) is right",
      remedy: "reset the card with tt-smi -r")
  }

  // MARK: Runs

  /// Throws where nothing can be reached.
  func checkOpen(_ call: String) throws(CardError) {
    if state == .closed { throw .closed(transport.name, call: call) }
  }

  /// Throws where no command can be run.
  func checkRunning(_ call: String) throws(CardError) {
    switch state {
    case .running: return
    case .closed: throw .closed(transport.name, call: call)
    case .hanging:
      throw CardError(
        card: transport.name, call: call, seen: "an earlier run did not finish",
        remedy: "reset the card first")
    case .lost:
      throw CardError(
        card: transport.name, call: call, seen: "the tiles do not answer",
        remedy: "close the card, reset it with tt-smi -r, and open it again")
    }
  }

  /// Rings once.
  func ring(list base: UInt32, count: Int) throws(CardError) {
    try checkRunning("run")
    lastRun &+= 1
    try transport.ring(
      [base, UInt32(count), 0, lastRun], at: master, address: UInt64(Control.doorbell))
  }

  /// Rings once and waits until the card has written the run's number into host memory.
  func ring(list base: UInt32, count: Int, deadline: Duration) throws(CardError) {
    let start = ContinuousClock.now
    do throws(CardError) {
      try ring(list: base, count: count)
      while try transport.hostMemory.load32(at: Self.completionOffset) != lastRun {
        let passed = ContinuousClock.now - start
        guard transport.standstill == nil, passed < deadline else {
          throw CardError(
            card: transport.name, call: "run", seen: try hangReport(after: passed),
            remedy: "reset the card's tiles; if it happens again, report these lines")
        }
        try transport.advance()
      }
    } catch {
      if state == .running { state = .hanging }
      throw error
    }
  }
}
