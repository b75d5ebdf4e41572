extension Tile {
  /// Carries out the request that an initiator's registers hold. Effects are there at once; `clock` is
  /// when the core asked, and completion is counted with the time at which it would be there.
  func issue(noc: Int, initiator: Int, clock: UInt64) throws(Violation) {
    let request = try Request(interfaces[noc].initiators[initiator])
    switch card.faults.nextResponse() {
    case .comes: try carryOut(request, noc, clock)
    case .isLost:
      let (finished, times) = (interfaces[noc].finished, interfaces[noc].finishedAt)
      try carryOut(request, noc, clock)
      (interfaces[noc].finished, interfaces[noc].finishedAt) = (finished, times)
      if request.isAcknowledged { interfaces[noc].outstanding[request.transaction] &+= 1 }
    case .isLate(let cycles):
      if request.isAcknowledged { interfaces[noc].outstanding[request.transaction] &+= 1 }
      card.faults.delay(until: clock + cycles) { [unowned self] () throws(Violation) in
        if request.isAcknowledged { interfaces[noc].outstanding[request.transaction] &-= 1 }
        try carryOut(request, noc, clock + cycles)
        wakeCores(clock + cycles)
      }
    }
  }

  private func carryOut(_ request: Request, _ noc: Int, _ clock: UInt64) throws(Violation) {
    switch request.kind {
    case .read: try read(request, noc, clock)
    case .write: try write(request, noc, clock)
    case .multicast: try multicast(request, noc, clock)
    case .atomic: try increment(request, noc, clock)
    case .inlineWrite: try writeInline(request, noc, clock)
    }
  }

  /// Throws where `address` on this request's own side is not this tile's L1.
  private func checkOwn(
    _ own: Request.Address, _ count: Int, _ noc: Int, _ what: String
  ) throws(Violation) -> UInt32 {
    let place = try card.grid.place(own.coordinate, noc: noc)
    guard place == self.place else {
      throw Violation(
        "\(what) is at tile (\(place.x), \(place.y)), not at the tile that asks",
        remedy: "requests go from or to the tile's own L1")
    }
    guard own.address < UInt64(L1.byteCount) else {
      throw Violation(
        "\(what) is at 0x\(String(own.address, radix: 16)), which is not in L1",
        remedy: "requests go from or to the tile's own L1")
    }
    let address = UInt32(own.address)
    try l1.checkWrite(address, UInt32(count))
    return address
  }

  /// The rule that both addresses are equal modulo `unit`.
  private func checkAlignment(
    _ from: UInt64, _ to: UInt64, _ unit: UInt64, _ what: String
  ) throws(Violation) {
    guard from % unit == to % unit else {
      throw Violation(
        "\(what) from 0x\(String(from, radix: 16)) to 0x\(String(to, radix: 16))",
        remedy: "both addresses must be equal modulo \(unit): other bytes would arrive")
    }
  }

  // MARK: Unicast

  private func read(_ request: Request, _ noc: Int, _ clock: UInt64) throws(Violation) {
    let count = request.length, from = request.target.address
    let to = try checkOwn(request.result, count, noc, "the end of a NoC read")
    let place = try card.grid.place(request.target.coordinate, noc: noc)
    var ready = card.network.send(0, from: self.place, to: place, noc: noc, clock: clock)
    switch card.grid[place] {
    case .dram(let controller):
      try checkAlignment(from, UInt64(to), 32, "a read of DRAM")
      let source = try card.dram.place(controller, from, count)
      try card.dram.checkWritten(controller, from, count)
      (l1.memory + Int(to)).copyMemory(from: source, byteCount: count)
      ready = card.network.access(
        controller: controller, address: from, count, isWrite: false, clock: ready)
    case .tensix(let index):
      let other = card.tiles[index]
      if from < UInt64(L1.byteCount) {
        try checkAlignment(from, UInt64(to), 16, "a read of L1")
        try other.l1.checkRead(UInt32(from), UInt32(count))
        (l1.memory + Int(to)).copyMemory(from: other.l1.memory + Int(from), byteCount: count)
      } else {
        guard count == 4, from % 4 == 0, to % 4 == 0 else {
          throw Violation(
            "a NoC read of \(count) bytes of a register", remedy: "read an aligned word")
        }
        var time = ready
        let value = try other.loadShared(from, clock: &time)
        (l1.memory + Int(to)).storeBytes(of: value, as: UInt32.self)
      }
    case .pcie:
      try checkAlignment(from, UInt64(to), 32, "a read of host memory")
      try card.host.read(from, into: l1.memory + Int(to), count)
      card.network.countHost(count, isWrite: false)
    default: throw unreachable(place)
    }
    let done = card.network.send(count, from: place, to: self.place, noc: noc, clock: ready)
    l1.didWrite(to, UInt32(count), clock: done)
    interfaces[noc].finish(.reads, transaction: request.transaction, at: done)
  }

  private func write(_ request: Request, _ noc: Int, _ clock: UInt64) throws(Violation) {
    let count = request.length, to = request.result.address
    let from = try checkOwn(request.target, count, noc, "the source of a NoC write")
    try l1.checkRead(from, UInt32(count))
    try issuer?.checkArrived(from, UInt32(count))
    let place = try card.grid.place(request.result.coordinate, noc: noc)
    try checkAlignment(UInt64(from), to, 16, "a write")
    var arrival = card.network.send(count, from: self.place, to: place, noc: noc, clock: clock)
    switch card.grid[place] {
    case .dram(let controller):
      arrival = card.network.access(
        controller: controller, address: to, count, isWrite: true, clock: arrival)
    case .pcie: card.network.countHost(count, isWrite: true)
    default: break
    }
    try card.deliver(
      UnsafeRawBufferPointer(start: l1.memory + Int(from), count: count), to: place, at: to,
      clock: arrival)
    acknowledge(request, noc, from: place, arrival)
  }

  /// Data travels in the request, to the target.
  private func writeInline(_ request: Request, _ noc: Int, _ clock: UInt64) throws(Violation) {
    let to = request.target.address
    _ = try checkOwn(request.result, 0, noc, "the source of an inline write")
    let place = try card.grid.place(request.target.coordinate, noc: noc)
    guard case .tensix = card.grid[place] else { throw unreachable(place) }
    if to < UInt64(L1.byteCount) {
      // Byte enables of a 32-byte line.
      let first = request.length.trailingZeroBitCount
      guard request.length != 0, request.length >> first == 15, UInt64(first & 15) == to & 15,
        to % 4 == 0
      else {
        throw Violation(
          "an inline write with byte enables 0x\(String(request.length, radix: 16)) to "
            + "0x\(String(to, radix: 16))", remedy: "write one aligned word")
      }
    }
    let arrival = card.network.send(4, from: self.place, to: place, noc: noc, clock: clock)
    try withBytes(of: request.data) { (bytes) throws(Violation) in
      try card.deliver(bytes, to: place, at: to, clock: arrival)
    }
    acknowledge(request, noc, from: place, arrival)
  }

  private func acknowledge(
    _ request: Request, _ noc: Int, from place: Grid.Place, _ arrival: UInt64
  ) {
    guard request.isAcknowledged else {
      interfaces[noc].postedWritesSent &+= 1
      return
    }
    interfaces[noc].acknowledgedWritesSent &+= 1
    let done = card.network.send(0, from: place, to: self.place, noc: noc, clock: arrival)
    interfaces[noc].finish(.writes, transaction: request.transaction, at: done)
  }

  private func increment(_ request: Request, _ noc: Int, _ clock: UInt64) throws(Violation) {
    let address = request.target.address
    let result = try checkOwn(request.result, 4, noc, "the end of an atomic")
    let place = try card.grid.place(request.target.coordinate, noc: noc)
    guard address % 16 == 0, result % 4 == 0 else {
      throw Violation(
        "an atomic at 0x\(String(address, radix: 16)) with its result at \(result.hexadecimal)",
        remedy: "put the word at a multiple of 16, and the result at one of 4")
    }
    guard case .tensix(let index) = card.grid[place], address < UInt64(L1.byteCount) else {
      throw Violation(
        "an atomic at 0x\(String(address, radix: 16)) of (\(place.x), \(place.y))",
        remedy: "atomics work on L1 of Tensix tiles")
    }
    let other = card.tiles[index].l1
    try other.checkRead(UInt32(address), 4)
    let arrival = card.network.send(4, from: self.place, to: place, noc: noc, clock: clock)
    let word = other.memory + Int(address)
    let old = word.load(as: UInt32.self)
    word.storeBytes(of: old &+ request.data, as: UInt32.self)
    other.didWrite(UInt32(address), 4, clock: arrival)
    (l1.memory + Int(result)).storeBytes(of: old, as: UInt32.self)
    let done = card.network.send(4, from: place, to: self.place, noc: noc, clock: arrival)
    l1.didWrite(result, 4, clock: done)
    if request.isAcknowledged {
      interfaces[noc].finish(.atomics, transaction: request.transaction, at: done)
    } else {
      interfaces[noc].postedAtomicsSent &+= 1
    }
  }

  // MARK: Multicast

  private func multicast(_ request: Request, _ noc: Int, _ clock: UInt64) throws(Violation) {
    let count = request.length, to = request.result.address
    let from = try checkOwn(request.target, count, noc, "the source of a multicast")
    try l1.checkRead(from, UInt32(count))
    try issuer?.checkArrived(from, UInt32(count))
    try checkAlignment(UInt64(from), to, 16, "a multicast")
    if to >= UInt64(L1.byteCount), count != 4 || to % 4 != 0 {
      throw Violation("a multicast of \(count) bytes to registers", remedy: "send one word")
    }
    var start = try card.grid.place(request.start, noc: noc)
    var end = try card.grid.place(request.result.coordinate, noc: noc)
    if noc == 1 { swap(&start, &end) }
    guard start.x <= end.x, start.y <= end.y else {
      throw Violation(
        "a multicast from (\(start.x), \(start.y)) to (\(end.x), \(end.y))",
        remedy: "a rectangle that wraps around is not modelled: start before the end")
    }
    let source = UnsafeRawBufferPointer(start: l1.memory + Int(from), count: count)
    let columns = interfaces[noc].routing[1], rows = interfaces[noc].routing[3]
    let arrivals = card.network.multicast(
      count, from: self.place, to: (start.x...end.x, start.y...end.y), noc: noc, clock: clock)
    var last = clock
    for y in start.y...end.y where rows >> UInt32(y) & 1 == 0 {
      for x in start.x...end.x where columns >> UInt32(x) & 1 == 0 {
        let place = Grid.Place(x: x, y: y)
        if place == self.place, !request.includesSource { continue }
        let arrival = arrivals[place.index]
        try card.deliver(source, to: place, at: to, clock: arrival)
        guard request.isAcknowledged else { continue }
        last = max(last, Network.arrival(0, from: place, to: self.place, noc: noc, clock: arrival))
        interfaces[noc].finish(.writes, transaction: request.transaction, at: last)
        interfaces[noc].outstanding[request.transaction] &-= 1
      }
    }
    if request.isAcknowledged {
      interfaces[noc].acknowledgedWritesSent &+= 1
      interfaces[noc].outstanding[request.transaction] &+= 1
    } else {
      interfaces[noc].postedWritesSent &+= 1
    }
  }

  private func unreachable(_ place: Grid.Place) -> Violation {
    WormholeEmulator.unreachable(card.grid[place], place)
  }
}

/// Calls `body` with the word's bytes.
@inline(__always)
func withBytes<Result>(
  of word: UInt32, _ body: (UnsafeRawBufferPointer) throws(Violation) -> Result
) throws(Violation) -> Result {
  let result = withUnsafeBytes(of: word) { bytes in
    Swift.Result { () throws(Violation) in try body(bytes) }
  }
  return try result.get()
}
