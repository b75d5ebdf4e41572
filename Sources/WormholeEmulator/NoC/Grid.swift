import Wormhole

/// What stands where on the chip, in coordinates of NoC 0.
struct Grid {
  static let columns = 10
  static let rows = 12

  /// What answers at a place.
  enum Node: Equatable {
    /// A Tensix tile, by its index.
    case tensix(Int)
    /// A Tensix tile that is switched off.
    case harvested
    case dram(controller: Int)
    case pcie, arc, ethernet, nothing
  }

  /// By `y * columns + x`.
  private let nodes: [Node]
  /// The Tensix tiles that are on, row by row.
  let tiles: [TileCoordinate]
  /// Rows of NoC 0 whose Tensix tiles are off.
  let harvestedRows: [Int]
  /// Rows as translated coordinates count them from 18: those that are on, then the others.
  private let translatedRows: [Int]

  init(harvestedRows: [Int]) {
    let layout = CardLayout(harvestedRows: harvestedRows, aiClock: nil)
    self.harvestedRows = harvestedRows
    tiles = layout.tiles
    let rows = [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    translatedRows =
      rows.filter { !harvestedRows.contains($0) } + rows.filter(harvestedRows.contains)
    var nodes = [Node](repeating: .nothing, count: Self.columns * Self.rows)
    func set(_ x: Int, _ y: Int, _ node: Node) { nodes[y * Self.columns + x] = node }
    for x in [1, 2, 3, 4, 6, 7, 8, 9] {
      for y in rows { set(x, y, .harvested) }
      for y in [0, 6] { set(x, y, .ethernet) }
    }
    for (index, tile) in layout.tiles.enumerated() { set(tile.x, tile.y, .tensix(index)) }
    for (index, channel) in layout.dram.enumerated() {
      for port in channel.ports { set(port.x, port.y, .dram(controller: index / 2)) }
    }
    set(0, 3, .pcie)
    set(0, 10, .arc)
    self.nodes = nodes
  }

  subscript(_ place: Place) -> Node { nodes[place.index] }

  /// A place on the chip.
  struct Place: Equatable {
    let x: Int
    let y: Int
    var index: Int { y * Grid.columns + x }
  }

  /// The place that a NoC's coordinates mean, `x | y << 6`. From 16 on they are translated.
  func place(_ coordinate: UInt32, noc: Int) throws(Violation) -> Place {
    let x = Int(coordinate & 63), y = Int(coordinate >> 6 & 63)
    if x < Self.columns, y < Self.rows {
      return noc == 0 ? Place(x: x, y: y) : Place(x: 9 - x, y: 11 - y)
    }
    let columns = [1, 2, 3, 4, 6, 7, 8, 9]
    if (18..<26).contains(x), (18..<28).contains(y) {
      return Place(x: columns[x - 18], y: translatedRows[y - 18])
    }
    throw Violation(
      "NoC \(noc) coordinates (\(x), \(y))",
      remedy: "the chip has 10 columns and 12 rows; translated Tensix tiles begin at (18, 18)")
  }

  /// What the registers of a tile on `noc` give as its own place.
  static func nodeIdentity(_ tile: TileCoordinate, noc: Int) -> UInt32 {
    let x = noc == 0 ? tile.x : 9 - tile.x, y = noc == 0 ? tile.y : 11 - tile.y
    return UInt32(x | y << 6 | columns << 12 | rows << 19 | (noc == 0 ? 1 << 28 : 0))
  }

  /// The translated coordinates of a tile.
  func translated(_ tile: TileCoordinate) -> UInt32 {
    let column = tile.x - (tile.x > 5 ? 2 : 1)
    let row = translatedRows.firstIndex(of: tile.y) ?? 0
    return UInt32(18 + column | (18 + row) << 6)
  }
}
