internal import TensixISA

extension CommandBuilder {
  /// Whether products of `a` are laid over the whole grid of tiles.
  package static func hasManyRows(_ a: Matrix, gridRows: Int?) -> Bool {
    guard let gridRows else { return false }
    return a.format == .bfloat16 && GridPlan.suits(rows: a.tileRows, gridRows: gridRows)
  }

  /// A recorded product, or several, of one matrix.
  struct OpenGridProduct {
    let index: Int
    var products: [Product]
    var since: [CommandAccess] = []
  }

  /// Records a product on the whole grid; false where that is not the way for it.
  mutating func gridProduct(_ product: Product, weightIsConstant: Bool = true) -> Bool {
    let (a, weight) = (product.a, product.weight)
    guard let gridRows = card.gridRows, Self.hasManyRows(a, gridRows: gridRows),
      weight.format != .float32
    else { return false }
    if weightIsConstant && join(product, gridRows: gridRows) { return true }
    guard let bands = bands(of: product, gridRows: gridRows) else { return false }
    // Tiles send into one another's L1, which all must have left before.
    for band in bands { append(band) }
    if weightIsConstant && bands.count == 1 && product.isPlainButBias {
      openGridProduct = OpenGridProduct(index: commands.count - 1, products: [product])
    }
    return true
  }

  /// The product's commands, each for a band of rows: as equal as may be, and as few as L1 has room for. Nil where it has
  /// none for a row.
  private func bands(of product: Product, gridRows: Int) -> [Command]? {
    let whole = shape(of: [product], gridRows: gridRows)
    for count in GridPlan.bands(of: whole) {
      var bands: [Command] = []
      for band in 0..<count {
        var shape = whole
        let first = whole.rows * band / count
        shape.rows = whole.rows * (band + 1) / count - first
        guard let plan = GridPlan(shape) else { break }
        let command = self.command([product], shape, plan, firstRow: first)
        bands.append(
          Command(cost: cost(shape, plan, command, out: product.out.format), command.write))
      }
      if bands.count == count { return bands }
    }
    return nil
  }

  /// Makes the product a part of one before, of the same matrix, if nothing in between is in the way.
  private mutating func join(_ product: Product, gridRows: Int) -> Bool {
    guard var open = openGridProduct, let first = open.products.first, open.products.count < 3,
      product.isPlainButBias, product.a == first.a, product.weight.format == first.weight.format,
      product.out.format == first.out.format, (product.bias == nil) == (first.bias == nil),
      isEarly(product, beside: open.products.map(\.out), before: open.since)
    else { return false }
    open.products.append(product)
    let shape = shape(of: open.products, gridRows: gridRows)
    guard let plan = GridPlan(shape) else { return false }
    let command = self.command(open.products, shape, plan, firstRow: 0)
    let cost = cost(shape, plan, command, out: product.out.format)
    replace(open.index, by: Command(cost: cost, command.write), joining: true)
    openGridProduct = open
    return true
  }

  private func shape(of products: [Product], gridRows: Int) -> GridPlan.Shape {
    let first = products[0]
    return GridPlan.Shape(
      rows: first.a.tileRows, columns: products.reduce(0) { $0 + $1.weight.tileColumns },
      inner: first.a.tileColumns, weightBytes: first.weight.format.tileBytes,
      isGated: first.factor != nil, gridRows: gridRows)
  }

  private func command(
    _ products: [Product], _ shape: GridPlan.Shape, _ plan: GridPlan, firstRow: Int
  ) -> GridProductCommand {
    let product = products[0]
    var command = GridProductCommand()
    command.bFormat = product.weight.format.code
    command.outFormat = product.out.format.code
    command.phases = UInt32(Self.gridPhases(product.weight.format))
    command.activation = product.activation.code
    (command.rows, command.columns) = (UInt32(shape.rows), UInt32(shape.columns))
    (command.inner, command.chunk) = (UInt32(shape.inner), UInt32(plan.chunk))
    (command.tileRows, command.tileColumns) = (UInt32(plan.tileRows), UInt32(plan.tileColumns))
    command.width = UInt32(plan.width)
    (command.leftDepth, command.rightDepth) = (UInt32(plan.leftDepth), UInt32(plan.rightDepth))
    (command.a, command.b) = (product.a.base, product.weight.base)
    command.factor = product.factor?.base ?? 0
    command.bias = product.bias?.base ?? 0
    command.residual = product.residual?.base ?? 0
    (command.out, command.outStride) = (product.out.base, UInt32(product.out.tileColumns))
    command.outColumn = UInt32(product.outColumn / 32)
    command.firstRow = UInt32(firstRow)
    command.firstColumns = UInt32(product.weight.tileColumns)
    guard products.count > 1 else { return command }
    command.secondColumns = UInt32(products[1].weight.tileColumns)
    (command.secondB, command.secondOut) = (products[1].weight.base, products[1].out.base)
    command.secondBias = products[1].bias?.base ?? 0
    guard products.count > 2 else { return command }
    (command.thirdB, command.thirdOut) = (products[2].weight.base, products[2].out.base)
    command.thirdBias = products[2].bias?.base ?? 0
    return command
  }

  private func cost(
    _ shape: GridPlan.Shape, _ plan: GridPlan, _ command: GridProductCommand, out: TileFormat
  ) -> CommandCost {
    let outputs = shape.rows * shape.columns, matrices = shape.isGated ? 2 : 1
    let extra = (command.bias != 0 ? 1 : 0) + (command.residual != 0 ? 1 : 0)
    let instructions =
      16 * (matrices * shape.inner * Int(command.phases) + extra * Int(command.addendPhases))
    let busiest =
      min(plan.tileRows, shape.rows) * min(plan.tileColumns, shape.columns)
    var cost = CommandCost()
    cost.dramBytesRead =
      shape.rows * shape.inner * 2048 + matrices * shape.inner * shape.columns * shape.weightBytes
      + extra * outputs * 2048
    cost.dramBytesWritten = outputs * out.tileBytes
    cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten
    // What comes to the tile, whoever read it.
    cost.nocBytesOfBusiestTile =
      plan.tileRows * shape.inner * 2048
      + matrices * plan.tileColumns * shape.inner * shape.weightBytes + extra * busiest * 2048
    cost.products = outputs * instructions
    cost.productsOfBusiestTile = busiest * instructions
    cost.matrixTiles =
      min(shape.gridRows, (shape.rows + plan.tileRows - 1) / plan.tileRows)
      * (plan.tileColumns > plan.width
        ? Int(TileGrid.columns) : (shape.columns + plan.tileColumns - 1) / plan.tileColumns)
    cost.vectorInstructionsOfBusiestTile =
      busiest
      * (vectorInstructions(command.activation) + (shape.isGated ? 64 : 0))
    return cost
  }
}
