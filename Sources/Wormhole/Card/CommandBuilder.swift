internal import TensixISA

/// Records operations on matrices as commands; ``Card/load(_:)`` uploads them.
///
/// Shapes and formats are checked as operations are recorded. An operation may be several commands,
/// with scratch memory between them.
package struct CommandBuilder {
  package private(set) var commands: [Command] = []
  /// Partial sums and the like: the list's, once there is one.
  package private(set) var scratch: [Matrix] = []
  let card: Card
  /// Of the last command; nil where it is not known.
  private var lastAccess: CommandAccess?
  /// What the next commands are for, in reports.
  package var purpose = ""

  package init(for card: Card) { self.card = card }

  /// Fidelity phases with which products with weights in bfloat16 and bfp8 lose nothing.
  static let phases = 3
  /// With weights in float32, whose 11 bits the last phase sees.
  private static let allPhases = 4
  /// Where there are many rows, and the matrix unit is the limit. Weights in bfp8 are whole in the first two
  /// phases, those of five bits in one; and activations without the last of their eight bits, which is 0.4 % of a
  /// product at most.
  static func gridPhases(_ weights: TileFormat) -> Int {
    switch weights {
    case .bfp8: 2
    case .bfp8LoFi: 1
    case .bfloat16, .float32: phases
    }
  }

  var tiles: Int { card.tiles.count }
  /// All tiles of the card take part.
  var isWholeGrid: Bool { card.tiles == card.transport.layout.tiles }

  // MARK: Products

  /// out = activation(a weight + bias + residual), activation(a weight) * (a factor), or (a weight) * gate + residual.
  struct Product {
    var a: Matrix
    var weight: Matrix
    var factor: Matrix?
    var gate: Matrix?
    var bias: Matrix?
    var residual: Matrix?
    var activation: Activation
    var out: Matrix
    var outColumn: Int

    /// Nothing but the product, in a matrix of its own.
    var isPlain: Bool { bias == nil && isPlainButBias }
    var isPlainButBias: Bool {
      factor == nil && gate == nil && residual == nil && activation == .none && outColumn == 0
        && out.tileColumns == weight.tileColumns
    }
  }

  /// out = activation(a weight + bias + residual), summed in fp32.
  ///
  /// - Parameters:
  ///   - a: [rows, inner] in bfloat16, or in float32, of which 11 bits of significand are used.
  ///   - weight: [inner, columns] in bfloat16, bfp8, or float32 as `a`.
  ///   - bias: [1, columns] in bfloat16.
  ///   - residual: [rows, columns] in bfloat16.
  ///   - out: [rows, columns], or wider with `outColumn`; bfloat16 or float32.
  ///   - outColumn: where the result begins in `out`, a multiple of 32.
  ///   - weightIsConstant: no command of any list writes `weight`, so it may be read early.
  package mutating func linear(
    _ a: Matrix, _ weight: Matrix, bias: Matrix? = nil, residual: Matrix? = nil,
    activation: Activation = .none, into out: Matrix, outColumn: Int = 0,
    weightIsConstant: Bool = true
  ) throws(CardError) {
    let call = "linear"
    try require(a.columns == weight.rows, call, a, weight)
    try require(!a.format.isShared, call, a)
    try checkAddends(call, bias, residual, rows: a.rows, columns: weight.columns)
    try checkOutput(call, out, rows: a.rows, columns: weight.columns, at: outColumn)
    let phases = weight.format == .float32 ? Self.allPhases : Self.phases
    let product = Product(
      a: a, weight: weight, bias: bias, residual: residual, activation: activation, out: out,
      outColumn: outColumn)
    if gridProduct(product, weightIsConstant: weightIsConstant)
      || (weightIsConstant && thinProduct(product))
    {
      return
    }
    let shape = WorkSplit.Shape(
      rows: a.tileRows, columns: weight.tileColumns, inner: a.tileColumns,
      aBytes: a.format.tileBytes, bBytes: weight.format.tileBytes, phases: phases)
    guard let split = WorkSplit.best(for: shape, tiles: tiles) else {
      throw error(call, "\(a.columns) columns of \(text(a)) to add up")
    }

    var command = MatrixCommand()
    command.operation = Operation.linear
    command.aFormat = a.format.code
    command.bFormat = weight.format.code
    command.phases = UInt32(phases)
    command.bIsConstant = weightIsConstant
    (command.rows, command.columns) = (UInt32(shape.rows), UInt32(shape.columns))
    (command.inner, command.chunk) = (UInt32(shape.inner), UInt32(split.chunk))
    command.blockRows = UInt32(split.blockRows)
    command.blockColumns = UInt32(split.blockColumns)
    (command.a, command.aStride) = (a.base, UInt32(a.tileColumns))
    (command.b, command.bStride) = (weight.base, UInt32(weight.tileColumns))

    if split.planes == 1 {
      command.bias = bias?.base ?? 0
      command.residual = residual?.base ?? 0
      command.activation = activation.code
      setOutput(of: &command, to: out, column: outColumn)
      append(
        command, cost: linearCost(shape, split, command, out: out.format),
        reads: [a, weight, bias, residual], writes: [out])
    } else {
      var planes: Matrix?
      if !split.planesFitTiles(shape, tiles: tiles) {
        let matrix = try card.reserve(
          rows: split.planes * shape.rows * 32, columns: shape.columns * 32, format: .float32)
        scratch.append(matrix)
        planes = matrix
      }
      command.outFormat = TileFormat.float32.code
      (command.out, command.outStride) = (planes?.base ?? 0, UInt32(shape.columns))
      append(
        command, cost: linearCost(shape, split, command, out: .float32), reads: [a, weight],
        writes: [planes], scratch: planes == nil ? .others : .none)
      reduce(
        planes, count: split.planes, rows: shape.rows, columns: shape.columns, bias: bias,
        residual: residual, activation: activation, scale: 1, into: out, outColumn: outColumn)
      if planes == nil { addEarly(into: out, from: [a, weight]) }
    }
  }

  /// out = activation(a gate) * (a up), element by element, where that is one command; else false, and nothing
  /// is recorded.
  ///
  /// - Parameters:
  ///   - a: [rows, inner] in bfloat16.
  ///   - gate, up: [inner, columns], which no command writes, in the same format.
  ///   - out: [rows, columns] in bfloat16 or float32.
  package mutating func gatedLinear(
    _ a: Matrix, gate: Matrix, up: Matrix, activation: Activation, into out: Matrix
  ) throws(CardError) -> Bool {
    let call = "gated linear"
    try require(
      a.columns == gate.rows && gate.rows == up.rows && gate.columns == up.columns
        && gate.format == up.format, call, a, gate, up)
    try checkOutput(call, out, rows: a.rows, columns: gate.columns, at: 0)
    guard activation == .gelu else { return false }
    let product = Product(
      a: a, weight: gate, factor: up, activation: activation, out: out, outColumn: 0)
    return gridProduct(product) || thinProduct(product)
  }

  /// out = residual + (a weight) * gate, summed in fp32, where the sum is taken in parts that are added up at the end;
  /// else false, and nothing is recorded.
  ///
  /// - Parameters:
  ///   - a: [rows, inner] in bfloat16.
  ///   - weight: [inner, columns], which no command writes.
  ///   - gate: [1, columns] in bfloat16.
  ///   - residual: [rows, columns] in bfloat16.
  ///   - out: [rows, columns] in bfloat16 or float32.
  package mutating func linear(
    _ a: Matrix, _ weight: Matrix, gate: Matrix, residual: Matrix, into out: Matrix
  ) throws(CardError) -> Bool {
    let call = "linear with a gate"
    try require(a.columns == weight.rows && !a.format.isShared, call, a, weight)
    try checkAddends(call, gate, residual, rows: a.rows, columns: weight.columns)
    try checkOutput(call, out, rows: a.rows, columns: weight.columns, at: 0)
    return thinProduct(
      Product(
        a: a, weight: weight, gate: gate, residual: residual, activation: .none, out: out,
        outColumn: 0))
  }

  /// Adds `count` planes that lie one under the other, or in the tiles' L1 where nil.
  mutating func reduce(
    _ planes: Matrix?, count: Int, rows: Int, columns: Int, gate: Matrix? = nil, bias: Matrix?,
    residual: Matrix?, activation: Activation, scale: Float, into out: Matrix, outColumn: Int
  ) {
    var command = MatrixCommand()
    command.operation = Operation.reduce
    command.aFormat = TileFormat.float32.code
    command.phases = UInt32(Self.phases)
    command.activation = activation.code
    (command.rows, command.columns) = (UInt32(rows), UInt32(columns))
    (command.inner, command.chunk) = (UInt32(count), UInt32(count))
    (command.blockRows, command.blockColumns) = (1, 1)
    (command.a, command.aStride) = (planes?.base ?? 0, UInt32(columns))
    command.factor = gate?.base ?? 0
    command.bias = bias?.base ?? 0
    command.residual = residual?.base ?? 0
    command.scale = scale.bitPattern
    setOutput(of: &command, to: out, column: outColumn)
    var cost = elementCost(command, read: planes == nil ? 0 : count * 4096, out: out)
    let share = share(of: rows * columns)
    let instructions = 3 * (count - 1) + 2 + (gate == nil ? 0 : 5)
    cost.vectorInstructionsOfBusiestTile += share * 32 * instructions
    append(
      command, cost: cost, reads: [planes, gate, bias, residual], writes: [out],
      scratch: planes == nil ? .own : .none)
    if planes == nil && out.format == .bfloat16 && out.tileColumns == columns {
      openSum = OpenSum(
        index: commands.count - 1, command: command, out: out,
        addends: [gate, bias, residual].compactMap { $0 })
    }
  }

  /// The planes that the last command adds come from tiles that read these: where it writes none of them, a tile may add
  /// as soon as its planes are there.
  mutating func addEarly(into out: Matrix, from reads: [Matrix]) {
    let product = CommandAccess(reads: reads, writes: [], scratch: .none)
    let access = CommandAccess(reads: [], writes: [out], scratch: .none)
    if access.isIndependent(of: product) { setIndependent() }
  }

  // MARK: Element by element

  /// How two matrices are combined.
  package enum Combination: Hashable, Sendable { case add, multiply }

  /// out = activation(a + scale * b) or activation(a * b).
  ///
  /// Two matrices of float32 that have the same shape are combined in float32. Otherwise 11 bits of
  /// significand of a float32 value are used, and `scale` must be 1.
  ///
  /// - Parameters:
  ///   - a: [rows, columns] in bfloat16 or float32.
  ///   - b: [rows, columns], [1, columns], [rows, 1] or [1, 1] in bfloat16 or float32.
  ///   - out: [rows, columns] in bfloat16 or float32.
  package mutating func binary(
    _ combination: Combination, _ a: Matrix, _ b: Matrix, scale: Float = 1,
    activation: Activation = .none, into out: Matrix
  ) throws(CardError) {
    let call = "\(combination)"
    try require(!a.format.isShared, call, a)
    try require(!b.format.isShared, call, b)
    try require(b.rows == a.rows || b.rows == 1, call, a, b)
    try require(b.columns == a.columns || b.columns == 1, call, a, b)
    try checkOutput(call, out, rows: a.rows, columns: a.columns, at: 0)
    var command = MatrixCommand()
    command.operation = Operation.binary
    command.aFormat = a.format.code
    command.bFormat = b.format.code
    command.phases = UInt32(Self.allPhases)
    command.activation = activation.code
    command.multiplies = combination == .multiply
    command.broadcast =
      (b.rows == a.rows ? 0 : BroadcastCode.row)
      | (b.columns == a.columns ? 0 : BroadcastCode.column)
    command.scale = scale.bitPattern
    try require(scale == 1 || (command.isExact && combination == .add), call, a, b)
    setElements(of: &command, a)
    (command.b, command.bStride) = (b.base, UInt32(b.tileColumns))
    setOutput(of: &command, to: out, column: 0)
    var cost = elementCost(command, read: a.format.tileBytes + b.format.tileBytes, out: out)
    if command.isExact {
      cost.vectorInstructionsOfBusiestTile += 32 * 5 * share(of: a.pageCount)
    } else {
      let instructions = 8 * (combination == .multiply ? 4 : 1)
      cost.products += instructions * a.pageCount
      cost.productsOfBusiestTile += instructions * share(of: a.pageCount)
    }
    append(command, cost: cost, reads: [a, b], writes: [out])
  }

  /// out = activation(scale * a), and conversion between formats.
  ///
  /// - Parameters:
  ///   - a: bfloat16, or float32, which is exact until it is rounded for `out`.
  ///   - scale: float32 input alone.
  package mutating func unary(
    _ a: Matrix, activation: Activation = .none, scale: Float = 1, into out: Matrix
  ) throws(CardError) {
    let call = "unary"
    try require(!a.format.isShared && (scale == 1 || a.format == .float32), call, a)
    try checkOutput(call, out, rows: a.rows, columns: a.columns, at: 0)
    if a.format == .float32 {
      reduce(
        a, count: 1, rows: a.tileRows, columns: a.tileColumns, bias: nil, residual: nil,
        activation: activation, scale: scale, into: out, outColumn: 0)
      return
    }
    // A product of nothing, to which `a` is added.
    var command = MatrixCommand()
    command.operation = Operation.linear
    command.aFormat = a.format.code
    command.bFormat = a.format.code
    command.phases = UInt32(Self.phases)
    command.activation = activation.code
    setElements(of: &command, a)
    command.a = 0
    command.residual = a.base
    setOutput(of: &command, to: out, column: 0)
    append(
      command, cost: elementCost(command, read: a.format.tileBytes, out: out), reads: [a],
      writes: [out])
  }

  // MARK: Movement

  /// Copies whole tiles: `out` from `outRow`, `outColumn` on becomes `a`.
  package mutating func copy(
    _ a: Matrix, into out: Matrix, outRow: Int = 0, outColumn: Int = 0
  ) throws(CardError) {
    let call = "copy"
    try require(a.format == out.format, call, a, out)
    guard outRow >= 0, outRow % 32 == 0, outRow <= out.rows,
      outRow / 32 + a.tileRows <= out.tileRows
    else { throw error(call, "row \(outRow) of \(text(out)) for \(text(a))") }
    try checkOutput(call, out, rows: min(a.rows, out.rows), columns: a.columns, at: outColumn)
    var command = MatrixCommand()
    command.operation = Operation.copy
    command.aFormat = a.format.code
    setElements(of: &command, a)
    setOutput(of: &command, to: out, column: outColumn)
    command.outRow = UInt32(outRow / 32)
    append(
      command, cost: elementCost(command, read: a.format.tileBytes, out: out), reads: [a],
      writes: [out])
  }

  /// Writes a matrix into host memory, where ``Card/values(of:)`` finds it after the run.
  package mutating func download(_ a: Matrix, to buffer: HostBuffer) throws(CardError) {
    let call = "download"
    try require(
      a.format == buffer.matrix.format && a.rows == buffer.matrix.rows
        && a.columns == buffer.matrix.columns, call, a, buffer.matrix)
    var command = MatrixCommand()
    command.operation = Operation.download
    command.aFormat = a.format.code
    command.outFormat = a.format.code
    setElements(of: &command, a)
    let address = card.transport.hostMemory.address
    command.out = UInt32(truncatingIfNeeded: address) &+ UInt32(buffer.offset)
    command.outStride = UInt32(a.tileColumns)
    var cost = elementCost(command, read: a.format.tileBytes, out: a)
    cost.dramBytesWritten = 0
    cost.nocBytesOfBusiestTile = a.byteCount
    cost.hostBytes = a.byteCount
    // The master alone writes to the host, one command after the other.
    append(command, cost: cost, reads: [a], writes: [])
  }

  /// A command that does nothing but go round.
  package mutating func nothing() {
    append(MatrixCommand(), cost: CommandCost(), reads: [], writes: [])
  }

  /// The sum of planes in tiles' L1 that was recorded last.
  var openSum: OpenSum?
  /// The thin norm that was recorded last.
  var openNorm: OpenNorm?
  /// The thin product that others of the same matrix may still join, and what came after it.
  var openProduct: OpenProduct?
  /// The same of many rows.
  var openGridProduct: OpenGridProduct?

  /// Whether a product can be computed where another was recorded that has results `outs`, and after which these
  /// commands came.
  func isEarly(_ product: Product, beside outs: [Matrix], before since: [CommandAccess]) -> Bool {
    let access = CommandAccess(
      reads: [product.a, product.weight], writes: [product.out], scratch: .none)
    let others = CommandAccess(reads: [product.a], writes: outs, scratch: .none)
    return access.isIndependent(of: others) && since.allSatisfy(access.isIndependent)
  }

  /// The command is for what the one in its place was for and, if it joins that with what comes now, for this.
  mutating func replace(_ index: Int, by command: Command, joining: Bool = false) {
    var command = command
    let also = purpose.split(separator: ".").last.map { " + \($0)" } ?? ""
    command.purpose = commands[index].purpose + (joining ? also : "")
    if commands[index].isIndependent { command.setIndependent() }
    commands[index] = command
  }

  /// The last command need not wait until all tiles are through with the one before it.
  mutating func setIndependent() { commands[commands.count - 1].setIndependent() }

  /// Adds a command. Where `access` is not given, it waits for the one before, and the next for it.
  mutating func append(_ command: Command, access: CommandAccess? = nil) {
    var command = command
    if let access, let lastAccess, access.isIndependent(of: lastAccess) {
      command.setIndependent()
    }
    lastAccess = access
    command.purpose = purpose
    if let access {
      openProduct?.since.append(access)
      openGridProduct?.since.append(access)
    } else {
      (openProduct, openGridProduct) = (nil, nil)
    }
    commands.append(command)
  }

  // MARK: Parts

  private mutating func append(
    _ command: MatrixCommand, cost: CommandCost, reads: [Matrix?], writes: [Matrix?],
    scratch: CommandAccess.Scratch = .none
  ) {
    append(
      Command(cost: cost, command.write),
      access: CommandAccess(
        reads: reads.compactMap { $0 }, writes: writes.compactMap { $0 }, scratch: scratch))
  }

  /// One output tile is a unit.
  private func setElements(of command: inout MatrixCommand, _ a: Matrix) {
    (command.rows, command.columns) = (UInt32(a.tileRows), UInt32(a.tileColumns))
    (command.blockRows, command.blockColumns) = (1, 1)
    (command.a, command.aStride) = (a.base, UInt32(a.tileColumns))
  }

  private func setOutput(of command: inout MatrixCommand, to out: Matrix, column: Int) {
    command.outFormat = out.format.code
    (command.out, command.outStride) = (out.base, UInt32(out.tileColumns))
    command.outColumn = UInt32(column / 32)
  }

  // MARK: Costs

  /// How many of `units` the busiest tile has.
  func share(of units: Int) -> Int { (units + tiles - 1) / tiles }

  private func linearCost(
    _ shape: WorkSplit.Shape, _ split: WorkSplit, _ command: MatrixCommand, out: TileFormat
  ) -> CommandCost {
    let outputs = shape.rows * shape.columns
    let rowBlocks = (shape.rows + split.blockRows - 1) / split.blockRows
    let groups = (shape.columns + split.blockColumns - 1) / split.blockColumns
    let addends =
      (command.bias != 0 ? rowBlocks * shape.columns : 0)
      + (command.residual != 0 ? outputs : 0)
    let tileProducts =
      outputs * shape.inner + (command.bias != 0 ? outputs : 0)
      + (command.residual != 0 ? outputs : 0)
    var cost = CommandCost()
    cost.dramBytesRead =
      groups * shape.rows * shape.inner * shape.aBytes
      + rowBlocks * shape.inner * shape.columns * shape.bBytes + addends * 2048
    let written = outputs * split.planes * out.tileBytes
    cost.dramBytesWritten = command.out == 0 ? 0 : written
    cost.nocBytes = cost.dramBytesRead + written
    cost.products = tileProducts * 16 * shape.phases
    cost.matrixTiles = min(split.units, tiles)
    // The first tile's units are as large as any.
    let units = share(of: split.units), steps = min(split.chunk, shape.inner)
    let rows = min(split.blockRows, shape.rows), columns = min(split.blockColumns, shape.columns)
    let extra = (command.bias != 0 ? 1 : 0) + (command.residual != 0 ? 1 : 0)
    cost.productsOfBusiestTile = units * rows * columns * (steps + extra) * 16 * shape.phases
    cost.nocBytesOfBusiestTile =
      units
      * (steps * (rows * shape.aBytes + columns * shape.bBytes)
        + (command.bias != 0 ? columns * 2048 : 0)
        + (command.residual != 0 ? rows * columns * 2048 : 0))
    // Planes come to the tile from others.
    if command.out == 0 {
      cost.nocBytesOfBusiestTile += share(of: outputs) * split.planes * 4096
    }
    cost.vectorInstructionsOfBusiestTile =
      units * rows * columns * vectorInstructions(command.activation)
    return cost
  }

  private func elementCost(
    _ command: MatrixCommand, read bytes: Int, out: Matrix
  ) -> CommandCost {
    let outputs = Int(command.rows) * Int(command.columns)
    let steps = Int(command.rowCount) + (command.residual != 0 ? 1 : 0)
    let addends = steps * 2048
    var cost = CommandCost()
    cost.dramBytesRead = outputs * (bytes + addends)
    cost.dramBytesWritten = outputs * out.format.tileBytes
    cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten
    cost.nocBytesOfBusiestTile = share(of: outputs) * (bytes + addends)
    cost.products = outputs * steps * 16 * Int(command.phases)
    cost.productsOfBusiestTile = share(of: outputs) * steps * 16 * Int(command.phases)
    cost.vectorInstructionsOfBusiestTile =
      share(of: outputs) * vectorInstructions(command.activation)
    return cost
  }

  /// Vector instructions of the activation of one tile.
  func vectorInstructions(_ activation: UInt32) -> Int {
    switch activation {
    case ActivationCode.silu: 32 * 31
    case ActivationCode.gelu: 32 * 35
    default: 0
    }
  }

  // MARK: Checks

  private func checkAddends(
    _ call: String, _ bias: Matrix?, _ residual: Matrix?, rows: Int, columns: Int
  ) throws(CardError) {
    if let bias {
      try require(
        bias.rows == 1 && bias.columns == columns && bias.format == .bfloat16, call, bias)
    }
    if let residual {
      try require(
        residual.rows == rows && residual.columns == columns && residual.format == .bfloat16, call,
        residual)
    }
  }

  private func checkOutput(
    _ call: String, _ out: Matrix, rows: Int, columns: Int, at column: Int
  ) throws(CardError) {
    try require(!out.format.isShared || call == "copy", call, out)
    let fits =
      column == 0
      ? columns == out.columns || (columns < out.columns && columns % 32 == 0)
      : column > 0 && column % 32 == 0 && column <= out.columns
        && columns <= out.columns - column && (columns % 32 == 0 || column + columns == out.columns)
    guard fits, call == "copy" || rows == out.rows else {
      throw error(call, "\(text(out)) at column \(column) for a result of \(rows) x \(columns)")
    }
  }

  func require(
    _ condition: Bool, _ call: String, _ matrices: Matrix...
  ) throws(CardError) {
    guard condition else { throw error(call, matrices.map(text).joined(separator: " and ")) }
  }

  func text(_ matrix: Matrix) -> String {
    "\(matrix.rows) x \(matrix.columns) \(matrix.format)"
  }

  func error(_ call: String, _ seen: String) -> CardError {
    CardError(
      card: card.transport.name, call: call, seen: seen,
      remedy: "use matrices whose shapes and formats the operation takes")
  }
}
