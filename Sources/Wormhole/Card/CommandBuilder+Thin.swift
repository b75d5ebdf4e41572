internal import TensixISA

/// Products of few rows, which take as long as their weights need to be read.
extension CommandBuilder {
  /// out = activation(a weight + bias + residual), or activation(a weight) * (a factor).
  struct ThinProduct {
    var a: Matrix
    var weight: Matrix
    var factor: Matrix?
    var bias: Matrix?
    var residual: Matrix?
    var activation: Activation
    var out: Matrix
    var outColumn: Int
    var phases: Int
  }

  /// Records the product where it is a thin one, whose weights no command writes; else returns false, and records
  /// nothing.
  mutating func thinProduct(_ product: ThinProduct) -> Bool {
    let (a, weight, out) = (product.a, product.weight, product.out)
    guard a.tileRows <= Int(ThinProductCommand.maximumRows), a.format == .bfloat16,
      weight.format != .float32, let planes = planes(of: product)
    else { return false }
    var command = ThinProductCommand()
    command.bFormat = weight.format.code
    command.phases = UInt32(product.phases)
    (command.rows, command.columns) = (UInt32(a.tileRows), UInt32(weight.tileColumns))
    (command.inner, command.planes) = (UInt32(a.tileColumns), UInt32(planes))
    (command.a, command.aStride) = (a.base, UInt32(a.tileColumns))
    (command.b, command.bStride) = (weight.base, UInt32(weight.tileColumns))
    command.factor = product.factor?.base ?? 0
    if planes == 1 {
      command.outFormat = out.format.code
      command.activation = product.activation.code
      command.bias = product.bias?.base ?? 0
      command.residual = product.residual?.base ?? 0
      (command.out, command.outStride) = (out.base, UInt32(out.tileColumns))
      command.outColumn = UInt32(product.outColumn / 32)
      append(Command(cost: cost(of: command), command.write))
    } else {
      command.outFormat = TileFormat.float32.code
      append(Command(cost: cost(of: command), command.write))
      reduce(
        nil, count: planes, rows: a.tileRows, columns: weight.tileColumns, bias: product.bias,
        residual: product.residual, activation: product.activation, scale: 1, into: out,
        outColumn: product.outColumn)
    }
    return true
  }

  /// In how many parts the sum is taken: 1 where there are columns for most tiles, one for each column of the grid
  /// where not; nil where L1 has no room for it, or the grid has gaps.
  private func planes(of product: ThinProduct) -> Int? {
    let (rows, columns) = (product.a.tileRows, product.weight.tileColumns)
    let inner = product.a.tileColumns, gridColumns = Int(ThinProductCommand.gridColumns)
    guard isWholeGrid else { return nil }
    let addends = (product.bias == nil ? 0 : 1) + (product.residual == nil ? 0 : rows)
    if 2 * columns > tiles {
      let room = rows * inner + share(of: columns) * addends
      return room <= Int(Buffer.leftDepth) ? 1 : nil
    }
    let fits =
      inner % gridColumns == 0 && rows * inner / gridColumns <= Int(Buffer.leftDepth)
      && share(of: rows * columns) * gridColumns <= Int(Buffer.planeCount)
    return fits && product.factor == nil ? gridColumns : nil
  }

  private func cost(of command: ThinProductCommand) -> CommandCost {
    let (rows, columns) = (Int(command.rows), Int(command.columns))
    let products = Int(command.products), steps = Int(command.steps), planes = Int(command.planes)
    let weightBytes = Int(DataFormat.tileBytes(command.bFormat))
    let members = tiles / planes, busiest = (columns + members - 1) / members
    let addends = Int(command.addends)
    var cost = CommandCost()
    cost.dramBytesRead =
      rows * Int(command.inner) * 2048 + Int(command.inner) * columns * products * weightBytes
      + columns * addends * 2048
    let written = rows * columns * planes * Int(DataFormat.tileBytes(command.outFormat))
    cost.dramBytesWritten = command.out == 0 ? 0 : written
    cost.nocBytes = cost.dramBytesRead + written
    cost.products =
      rows * columns * (Int(command.inner) * products + addends) * 16 * Int(command.phases)
    cost.productsOfBusiestTile =
      rows * busiest * (steps * products + addends) * 16 * Int(command.phases)
    cost.matrixTiles = min(columns, members) * planes
    cost.nocBytesOfBusiestTile =
      rows * steps * 2048 + busiest * (steps * products * weightBytes + addends * 2048)
      + (command.out == 0 ? share(of: rows * columns) * planes * 4096 : 0)
    cost.vectorInstructionsOfBusiestTile =
      rows * busiest * (vectorInstructions(command.activation) + (command.isGated ? 32 * 5 : 0))
    return cost
  }
}
