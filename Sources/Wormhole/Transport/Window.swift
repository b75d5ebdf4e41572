internal import CTTDevice

/// A range of the card's NoC that is mapped once and moved about. One owner, one thread: moving takes
/// two stores of the driver, and nobody may use the window meanwhile.
final class Window {
  /// How the processor treats the mapping.
  enum Caching {
    /// Every access goes out alone and in order: for registers, flags and doorbells.
    case uncached
    /// Stores gather in the processor until a fence: for everything long.
    case combined
  }

  /// What accesses reach.
  enum Destination: Equatable {
    case tile(TileCoordinate)
    /// Every Tensix tile that is on. Writes alone.
    case allTiles
  }

  /// Where an address lies in this process, and how much of the window is left from there on.
  struct Place {
    let start: UnsafeMutableRawPointer
    let room: Int
    let window: Window
  }

  let id: UInt32
  private let connection: DriverConnection
  private let size: UInt64
  private let base: UnsafeMutableRawPointer
  private let mapping: MappingGuard
  private var address: UInt64?
  private var destination = Destination.allTiles
  /// The last word that was written and not read back since.
  private var unconfirmed: UnsafeMutableRawPointer?

  init(
    _ connection: DriverConnection, size: UInt64, caching: Caching
  ) throws(CardError) {
    let window = try connection.allocateWindow(size: size)
    let offset = caching == .uncached ? window.uncached_offset : window.combined_offset
    var mapped: UnsafeMutableRawPointer?
    do throws(CardError) {
      let start = try connection.map(offset: offset, size: size)
      mapped = start
      mapping = try MappingGuard(start, size: size, card: connection.path)
      base = start
    } catch {
      if let mapped { connection.unmap(mapped, size: size) }
      try? connection.freeWindow(window.id)
      throw error
    }
    self.connection = connection
    self.size = size
    id = window.id
  }

  deinit {
    connection.unmap(base, size: size)
    try? connection.freeWindow(id)
  }

  /// Whether somebody's reset took the window away.
  var isLost: Bool { mapping.isLost }

  /// Whether it points anywhere.
  var isPointed: Bool { address != nil }

  /// Whether `address` of `destination` is reached without moving.
  func reaches(_ address: UInt64, of destination: Destination) -> Bool {
    self.destination == destination && self.address == address & ~(size - 1)
  }

  func place(of address: UInt64) -> Place {
    let offset = Int(address & (size - 1))
    return Place(start: base + offset, room: Int(size) - offset, window: self)
  }

  /// Moves the window, after what was written through it has arrived.
  func move(to address: UInt64, of destination: Destination) throws(CardError) {
    confirm()
    tt_store_fence()
    var target = tt_noc_target()
    target.address = address & ~(size - 1)
    // Writes through a strict window stay in order with all others. The relaxed modes are faster by
    // half, but what they write twice to one place may land the wrong way round.
    target.ordering = UInt8(TT_ORDERING_STRICT)
    switch destination {
    case .tile(let tile):
      (target.x_end, target.y_end) = (UInt16(tile.x), UInt16(tile.y))
    case .allTiles:
      (target.x_start, target.y_start) = (1, 1)
      (target.x_end, target.y_end) = (9, 11)
      target.multicast = 1
    }
    self.address = nil  // wherever it points if the request fails
    try connection.configureWindow(id, target)
    self.address = target.address
    self.destination = destination
  }

  /// Notes that memory up to `end` was written.
  func wrote(upTo end: UnsafeMutableRawPointer) {
    if destination != .allTiles { unconfirmed = end - 4 }
  }

  /// Returns once everything written through this window has arrived: a read passes no write.
  func confirm() {
    guard let place = unconfirmed else { return }
    tt_full_fence()
    _ = tt_read32(place)
    unconfirmed = nil
  }
}

/// Windows of one kind, the least recently used of which is moved where none reaches.
final class WindowPool {
  private let connection: DriverConnection
  private let size: UInt64
  private let caching: Window.Caching
  private var limit: Int
  /// The most recently used last.
  private var windows: [Window] = []
  private(set) var moves = 0

  /// A pool of up to `limit` windows, at least one of which it gets now.
  init(
    _ connection: DriverConnection, size: UInt64, caching: Window.Caching, limit: Int
  ) throws(CardError) {
    self.connection = connection
    self.size = size
    self.caching = caching
    self.limit = limit
    windows.append(try Window(connection, size: size, caching: caching))
  }

  /// Where `address` of `destination` lies in this process.
  func place(
    of address: UInt64, _ destination: Window.Destination
  ) throws(CardError) -> Window.Place {
    if let index = windows.lastIndex(where: { $0.reaches(address, of: destination) }) {
      let window = windows[index]
      if index != windows.count - 1 {
        windows.remove(at: index)
        windows.append(window)
      }
      return window.place(of: address)
    }
    let window = try nextWindow()
    windows.append(window)
    try window.move(to: address, of: destination)
    moves += 1
    return window.place(of: address)
  }

  /// An unused one, a new one as long as there are any, or else the least recently used.
  private func nextWindow() throws(CardError) -> Window {
    if let unused = windows.firstIndex(where: { !$0.isPointed }) {
      return windows.remove(at: unused)
    }
    if windows.count < limit {
      if let window = try? Window(connection, size: size, caching: caching) { return window }
      limit = windows.count
    }
    if windows.isEmpty { throw .closed(connection.path, call: "window") }
    return windows.removeFirst()
  }

  var isLost: Bool { windows.contains { $0.isLost } }

  func confirm() { for window in windows { window.confirm() } }

  /// Gives the windows back.
  func close() { (windows, limit) = ([], 0) }
}
