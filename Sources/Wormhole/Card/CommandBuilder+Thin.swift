internal import TensixISA

/// Products of few rows, which take as long as their weights need to be read.
extension CommandBuilder {
  /// Steps of the sum that take a tile as long as it takes to add up planes.
  private static var fewSteps: Int { 64 }

  /// A recorded product, see ``openProduct``.
  struct OpenProduct {
    let index: Int
    var command: ThinProductCommand
    let product: Product
    var outs: [Matrix]
    var since: [CommandAccess] = []
  }

  /// Records the product where it is a thin one, whose weights no command writes; else returns false, and records
  /// nothing.
  mutating func thinProduct(_ product: Product) -> Bool {
    let (a, weight, out) = (product.a, product.weight, product.out)
    guard a.tileRows <= Int(ThinProductCommand.maximumRows), a.format == .bfloat16,
      weight.format != .float32, let planes = planes(of: product),
      planes > 1 || product.gate == nil
    else { return false }
    if join(product) { return true }
    var command = ThinProductCommand()
    command.bFormat = weight.format.code
    command.phases = UInt32(Self.phases)
    (command.rows, command.columns) = (UInt32(a.tileRows), UInt32(weight.tileColumns))
    (command.inner, command.planes) = (UInt32(a.tileColumns), UInt32(planes))
    (command.a, command.aStride) = (a.base, UInt32(a.tileColumns))
    (command.b, command.bStride) = (weight.base, UInt32(weight.tileColumns))
    command.firstColumns = command.columns
    command.factor = product.factor?.base ?? 0
    if planes == 1 {
      takeNorm(&command, product)
      command.outFormat = out.format.code
      command.activation = product.activation.code
      command.bias = product.bias?.base ?? 0
      command.residual = product.residual?.base ?? 0
      (command.out, command.outStride) = (out.base, UInt32(out.tileColumns))
      command.outColumn = UInt32(product.outColumn / 32)
      append(Command(cost: cost(of: command), command.write))
      if command.isNormalized { setIndependent() }
      if product.isPlain {
        openProduct = OpenProduct(
          index: commands.count - 1, command: command, product: product, outs: [out])
      }
    } else {
      command.outFormat = TileFormat.float32.code
      append(Command(cost: cost(of: command), command.write))
      reduce(
        nil, count: planes, rows: a.tileRows, columns: weight.tileColumns, gate: product.gate,
        bias: product.bias, residual: product.residual, activation: product.activation, scale: 1,
        into: out, outColumn: product.outColumn)
      addEarly(into: out, from: [a, weight])
    }
    return true
  }

  /// Where the command before is the norm of `a`, that brings its result to L1 of all tiles, and this need not wait for it:
  /// a tile has all of the norm behind it when it has all activations.
  private mutating func takeNorm(_ command: inout ThinProductCommand, _ product: Product) {
    guard let norm = openNorm, norm.index == commands.count - 1, norm.out == product.a,
      !norm.command.isSummed || isIndependent(product, of: norm)
    else { return }
    var normCommand = norm.command
    normCommand.isShared = true
    replace(norm.index, by: Command(cost: commands[norm.index].cost, normCommand.write))
    command.isNormalized = true
  }

  /// A tile may ask for what the product adds while others still write what was normalised.
  private func isIndependent(_ product: Product, of norm: OpenNorm) -> Bool {
    let addends = [product.bias, product.residual].compactMap { $0 }
    return CommandAccess(reads: addends, writes: [], scratch: .none).isIndependent(
      of: CommandAccess(reads: [], writes: [norm.x], scratch: .none))
  }

  /// Makes the product a part of one before, of the same matrix, if nothing in between is in the way.
  private mutating func join(_ product: Product) -> Bool {
    guard var open = openProduct, open.outs.count < 3, product.isPlain, open.product.isPlain,
      open.product.a == product.a, open.product.weight.format == product.weight.format,
      open.product.out.format == product.out.format,
      Int(open.command.columns) + product.weight.tileColumns <= 4 * tiles,
      isEarly(product, beside: open.outs, before: open.since)
    else { return false }
    let columns = UInt32(product.weight.tileColumns)
    if open.outs.count == 1 {
      open.command.secondColumns = columns
      (open.command.secondB, open.command.secondOut) = (product.weight.base, product.out.base)
    } else {
      (open.command.thirdB, open.command.thirdOut) = (product.weight.base, product.out.base)
    }
    open.command.columns += columns
    open.outs.append(product.out)
    let command = open.command
    replace(open.index, by: Command(cost: cost(of: command), command.write), joining: true)
    openProduct = open
    return true
  }

  /// In how many parts the sum is taken: 1 where there are columns for most tiles; where not, one for every two columns of
  /// the grid, or for each where tiles have less to do then. Nil where L1 has no room for it, or the grid has gaps.
  private func planes(of product: Product) -> Int? {
    let (rows, columns) = (product.a.tileRows, product.weight.tileColumns)
    let inner = product.a.tileColumns, gridColumns = Int(TileGrid.columns)
    func work(_ planes: Int) -> Int {
      (columns * planes + tiles - 1) / tiles * (gridColumns / planes)
    }
    guard isWholeGrid else { return nil }
    let addends = (product.bias == nil ? 0 : 1) + (product.residual == nil ? 0 : rows)
    let steps = share(of: columns) * rows * inner
    // At as many steps the sum is split, so that more tiles work, unless another product may join this one.
    let isShort = steps < Self.fewSteps || (steps == Self.fewSteps && product.isPlain)
    if 2 * columns > tiles || isShort {
      let room = rows * inner + share(of: columns) * addends
      return room <= Int(Buffer.leftDepth) ? 1 : nil
    }
    let planes = work(gridColumns) < work(gridColumns / 2) ? gridColumns : gridColumns / 2
    let fits =
      inner % planes == 0 && rows * inner / planes <= Int(Buffer.leftDepth)
      && share(of: rows * columns) * planes <= Int(Buffer.planeCount)
    return fits && product.factor == nil ? planes : nil
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
