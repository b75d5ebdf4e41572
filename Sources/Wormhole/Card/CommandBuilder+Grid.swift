internal import TensixISA

extension CommandBuilder {
  /// Whether products of `a` are laid over the whole grid of tiles.
  package static func hasManyRows(_ a: Matrix, gridRows: Int?) -> Bool {
    guard let gridRows else { return false }
    return a.format == .bfloat16 && GridPlan.suits(rows: a.tileRows, gridRows: gridRows)
  }

  /// Records a product on the whole grid; false where that is not the way for it.
  mutating func gridProduct(_ product: Product) -> Bool {
    let (a, weight) = (product.a, product.weight)
    guard let gridRows = card.gridRows, Self.hasManyRows(a, gridRows: gridRows),
      weight.format != .float32
    else { return false }
    var shape = GridPlan.Shape(
      rows: a.tileRows, columns: weight.tileColumns, inner: a.tileColumns,
      weightBytes: weight.format.tileBytes, isGated: product.factor != nil, gridRows: gridRows)
    // Bands of rows, as equal as may be.
    let bands = (shape.rows + GridPlan.band(of: shape) - 1) / GridPlan.band(of: shape)
    var first = 0
    var parts: [(GridProductCommand, CommandCost)] = []
    for band in 1...bands {
      let end = a.tileRows * band / bands
      shape.rows = end - first
      guard let plan = GridPlan(shape) else { return false }
      let command = self.command(product, shape, plan, firstRow: first)
      parts.append((command, cost(shape, plan, command, out: product.out.format)))
      first = end
    }
    // Tiles send into one another's L1, which all must have left before.
    for (command, cost) in parts { append(Command(cost: cost, command.write)) }
    return true
  }

  private func command(
    _ product: Product, _ shape: GridPlan.Shape, _ plan: GridPlan, firstRow: Int
  ) -> GridProductCommand {
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
    (command.a, command.aStride) = (product.a.base, UInt32(product.a.tileColumns))
    (command.b, command.bStride) = (product.weight.base, UInt32(product.weight.tileColumns))
    command.factor = product.factor?.base ?? 0
    command.bias = product.bias?.base ?? 0
    command.residual = product.residual?.base ?? 0
    (command.out, command.outStride) = (product.out.base, UInt32(product.out.tileColumns))
    command.outColumn = UInt32(product.outColumn / 32)
    command.firstRow = UInt32(firstRow)
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
      * ((shape.columns + plan.tileColumns - 1) / plan.tileColumns)
    cost.vectorInstructionsOfBusiestTile =
      busiest
      * (vectorInstructions(command.activation) + (shape.isGated ? 64 : 0))
    return cost
  }
}
