internal import TensixISA

/// What a command is, how it is shared out, and what it costs by counting, for who reads a list.
package struct CommandPlan: Hashable, Sendable, Codable {
  /// What is computed, such as `linear`.
  package var operation = ""
  /// What for: a weight's name, or the layer that the command belongs to.
  package var purpose = ""
  /// Of the result, in tiles of 32 x 32: rows x columns, and x what is summed over in products.
  package var shape = ""
  /// Units of work, what one of them is in tiles, and how many tiles of the card have one.
  package var units = 0
  package var unit = ""
  package var tiles = 0
  /// Bytes of a tile's L1 that a unit takes: operands that stay, tiles on their way, results.
  package var l1Bytes = 0
  package var dramBytesRead = 0
  package var dramBytesWritten = 0
  /// Matrix instructions of all tiles.
  package var products = 0
  /// Additions and multiplications of whole tiles, once however many fidelity phases there are.
  package var flops = 0.0
  /// Time that it takes at least, and what does not allow less.
  package var microsecondsAtLeast = 0.0
  package var bound = WorkBound.dispatch
  /// It begins before the command before it has ended.
  package var isIndependent = false
}

extension Command {
  /// - Parameters:
  ///   - tiles: that take part.
  ///   - clock: MHz.
  func plan(tiles: Int, clock: Int) -> CommandPlan {
    var plan = shares
    plan.purpose = purpose
    plan.tiles = min(plan.units, tiles)
    (plan.dramBytesRead, plan.dramBytesWritten) = (cost.dramBytesRead, cost.dramBytesWritten)
    plan.products = cost.products
    plan.microsecondsAtLeast = cost.microsecondsAtLeast(clock: clock)
    plan.bound = cost.bound(clock: clock)
    plan.isIndependent = isIndependent
    return plan
  }

  /// What the words say, by the rules of the device programs.
  private var shares: CommandPlan {
    let words = words
    func word(_ number: UInt32) -> UInt32 { words[Int(number)] }
    var plan = CommandPlan()
    switch word(0) & 0xFF {
    case Operation.linear: (plan, plan.operation) = (matrices(word), "linear")
    case Operation.reduce: (plan, plan.operation) = (matrices(word), "reduce")
    case Operation.binary:
      plan = matrices(word)
      plan.operation = MatrixCommand(reading: word).multiplies ? "multiply" : "add"
    case Operation.copy: (plan, plan.operation) = (matrices(word), "copy")
    case Operation.download:
      (plan, plan.operation) = (matrices(word), "download")
      (plan.units, plan.unit) = (1, plan.shape)
    case Operation.gather:
      let command = GatherCommand(reading: word)
      let last = command.outRow + (command.blocks - 1) * command.outBlockStride + command.blockRows
      moved(
        &plan, command.hasTable ? "lookup" : "gather",
        rows: (last + 31) / 32 - command.outRow / 32,
        columns: (command.outColumn + command.columns + 31) / 32 - command.outColumn / 32)
    case Operation.reshape:
      let command = ReshapeCommand(reading: word)
      moved(
        &plan, "reshape", rows: (command.outRows + 31) / 32, columns: (command.outColumns + 31) / 32
      )
    case Operation.patches:
      let command = PatchesCommand(reading: word)
      moved(
        &plan, "patches", rows: (command.patches + 31) / 32, columns: (command.columns + 31) / 32)
    case Operation.normalize:
      let command = NormalizeCommand(reading: word)
      let tileBytes = DataFormat.tileBytes(command.format)
      set(
        &plan, "normalize", command.rows, command.columns,
        units: (command.rows + command.tileRows - 1) / command.tileRows * command.parts)
      plan.unit = "\(command.tileRows) x \(command.tileColumns)"
      plan.l1Bytes = Int(
        command.tileRows * command.tileColumns * tileBytes + Buffer.outputDepth * 4096)
    case Operation.thinNormalize:
      let command = NormalizeCommand(reading: word)
      set(&plan, "normalize", command.rows, command.columns, units: command.rows * command.columns)
      plan.unit = "1 x 1"
      plan.l1Bytes = Int(command.rows * command.columns * 2048 + Buffer.outputDepth * 4096)
    case Operation.gridProduct:
      let command = GridProductCommand(reading: word)
      func parts(_ count: UInt32, _ size: UInt32) -> UInt32 { (count + size - 1) / max(1, size) }
      set(
        &plan, command.isGated ? "gated linear" : "linear", command.rows, command.columns,
        units: parts(command.rows, command.tileRows)
          * parts(command.columns, command.tileColumns))
      plan.shape += " x \(command.inner)"
      plan.unit = "\(command.tileRows) x \(command.tileColumns) x \(command.chunk)"
      plan.l1Bytes = Int(
        command.rightBase - Buffer.left + command.rightDepth * command.rightBytes
          + Buffer.outputDepth * 4096)
      plan.flops =
        Self.tileFlops * Double(command.rows * command.columns * command.inner)
        * (command.isGated ? 2 : 1)
    case Operation.thinProduct:
      let command = ThinProductCommand(reading: word)
      set(
        &plan, command.isGated ? "gated linear" : "linear", command.rows, command.columns,
        units: command.columns * command.planes)
      plan.shape += " x \(command.inner)"
      plan.unit = "\(command.rows) x 1 x \(command.steps)"
      plan.l1Bytes = Int(
        command.rows * command.steps * 2048 + Buffer.rightDepth * Buffer.rightSlotBytes
          + Buffer.outputDepth * 4096)
      plan.flops =
        Self.tileFlops * Double(command.rows * command.columns * command.inner * command.products)
    case Operation.rotate:
      let command = RotateCommand(reading: word)
      let columns = command.heads * command.headColumns
      set(&plan, "rotate", command.rows, columns, units: command.rows * command.places)
      plan.unit = "1 x \(command.heads * command.outputs)"
      plan.l1Bytes = Int(
        (min(command.heads, RotateCommand.headsAtOnce) * command.inputs + command.shared
          + Buffer.outputDepth) * 4096)
    case Operation.attention:
      let command = AttentionCommand(reading: word)
      let rows = command.rows * command.batch, columns = command.heads * command.headColumns
      let keys = command.keys
      set(&plan, "attention", rows, columns, units: command.units)
      plan.shape += " x \(keys)"
      plan.unit = "1 x \(command.headColumns) x \(keys)"
      plan.flops = 2 * Self.tileFlops * Double(rows * columns * keys)
      // Keys and values, queries, the mask, probabilities.
      let tiles =
        command.keyPlaces * command.keyTiles + 2 * command.headColumns + command.maskTiles
        + (command.overlapsUnits ? 2 : 1) * keys
      plan.l1Bytes = Int(tiles * 2048 + Buffer.outputDepth * 4096)
    case Operation.thinAttention:
      let command = ThinAttentionCommand(reading: word)
      let columns = command.heads * command.headColumns, parts = ThinAttentionCommand.parts
      let keys = (command.allKeys + parts - 1) / parts
      set(&plan, "attention", command.rows, columns, units: command.units * parts)
      plan.shape += " x \(command.allKeys)"
      plan.unit = "1 x \(command.headColumns) x \(keys)"
      plan.flops = 2 * Self.tileFlops * Double(command.rows * columns * command.allKeys)
      // Keys, values and masks, queries, probabilities, and what is sent by the parts.
      let shared = keys * (2 * command.headColumns + (command.mask == 0 ? 0 : command.maskRows))
      let queries = ThinAttentionCommand.partColumns * command.headColumns
      let tiles = shared + queries + keys + parts * (2 + command.combinedColumns)
      plan.l1Bytes = Int(tiles * 2048 + Buffer.outputDepth * 4096)
    default: plan.operation = "nothing"
    }
    return plan
  }

  /// Of a product of two tiles.
  private static var tileFlops: Double { 2 * 32 * 32 * 32 }

  private func set(
    _ plan: inout CommandPlan, _ operation: String, _ rows: UInt32, _ columns: UInt32, units: UInt32
  ) {
    plan.operation = operation
    plan.shape = "\(rows) x \(columns)"
    plan.units = Int(units)
  }

  private func moved(
    _ plan: inout CommandPlan, _ operation: String, rows: UInt32, columns: UInt32
  ) {
    set(&plan, operation, rows, columns, units: rows * columns)
    plan.unit = "1 x 1"
    plan.l1Bytes = Int(Buffer.outputDepth * 4096 + MovingScratch.staging - Buffer.scratch)
  }

  private func matrices(_ word: (UInt32) -> UInt32) -> CommandPlan {
    let command = MatrixCommand(reading: word)
    var plan = CommandPlan()
    let isProduct = command.operation == Operation.linear && command.a != 0
    let isSum = command.operation == Operation.reduce
    let steps = isProduct || isSum ? max(1, command.chunk) : 1
    let blockRows = max(1, command.blockRows), blockColumns = max(1, command.blockColumns)
    func blocks(_ count: UInt32, _ size: UInt32) -> UInt32 { (count + size - 1) / size }
    set(
      &plan, "", command.rows, command.columns,
      units: blocks(command.rows, blockRows) * blocks(command.columns, blockColumns)
        * (isProduct ? blocks(command.inner, steps) : 1))
    plan.unit = "\(blockRows) x \(blockColumns)"
    if isProduct || (isSum && command.inner > 1) {
      plan.shape += " x \(command.inner)"
      plan.unit += " x \(steps)"
    }
    if isProduct {
      plan.flops = Self.tileFlops * Double(command.rows * command.columns * command.inner)
    }
    let wide = command.aFormat == DataFormat.float32
    let left = min(blockRows * steps, Buffer.leftDepth) * (wide ? 4096 : 2048)
    let right =
      isProduct || command.operation == Operation.binary
      ? min(
        blockColumns * steps * (DataFormat.tileBytes(command.bFormat) / 1024), Buffer.rightDepth)
        * Buffer.rightSlotBytes : 0
    let out = min(blockRows * blockColumns, Buffer.outputDepth) * 4096
    plan.l1Bytes = Int(left + right + out)
    return plan
  }
}

extension Card {
  /// The commands of `list`, in their order.
  package func plan(of list: CommandList) -> [CommandPlan] {
    let clock = transport.layout.aiClock ?? 1000
    return list.commands.map { $0.plan(tiles: tiles.count, clock: clock) }
  }
}
