internal import TensixISA

/// Operations that see whole rows: norms, rotary embedding, attention.
extension CommandBuilder {
  /// out = (x - mean) / sqrt(variance + epsilon) * (offset + weight) + bias of every row, in fp32.
  ///
  /// - Parameters:
  ///   - x: bfloat16, or float32, of which 11 bits of significand are used.
  ///   - centred: whether the mean is subtracted; otherwise it counts as 0.
  ///   - weight: [1, columns] in the format of `x`; where nil, 1.
  ///   - offset: added to the weight.
  ///   - bias: [1, columns] in the format of `x`.
  ///   - out: the shape of `x`, bfloat16 or float32.
  package mutating func normalize(
    _ x: Matrix, centred: Bool, weight: Matrix?, offset: Float = 0, bias: Matrix? = nil,
    epsilon: Float, into out: Matrix
  ) throws(CardError) {
    let call = "normalize"
    let room = Int(Buffer.leftDepth) * 2048 / x.format.tileBytes
    try require(!x.format.isShared && x.tileColumns <= room, call, x)
    try require(
      !out.format.isShared && out.rows == x.rows && out.columns == x.columns, call, x, out)
    for row in [weight, bias] {
      guard let row else { continue }
      try require(
        row.rows == 1 && row.columns == x.columns && row.format == x.format, call, x, row)
    }
    var command = NormalizeCommand()
    command.format = x.format.code
    command.outFormat = out.format.code
    command.isCentred = centred
    (command.rows, command.columns) = (UInt32(x.tileRows), UInt32(x.tileColumns))
    (command.a, command.aStride) = (x.base, UInt32(x.tileColumns))
    (command.out, command.outStride) = (out.base, UInt32(out.tileColumns))
    command.weight = weight?.base ?? 0
    command.bias = bias?.base ?? 0
    command.epsilon = epsilon.bitPattern
    command.inverseWidth = (1 / Float(x.columns)).bitPattern
    command.offset = (weight == nil ? 0 : offset).bitPattern
    let padding = x.tileColumns * 32 - x.columns
    command.minusPadding = padding == 0 ? 0 : (-Float(padding)).bitPattern

    let addends = Int(command.addends)
    if !centred && x.format == .bfloat16 && isWholeGrid
      && x.tileRows <= Int(ThinProductCommand.maximumRows)
      && x.pageCount + (1 + addends) * thinShare(x) <= Int(Buffer.leftDepth)
    {
      command.isThin = true
      takeSum(&command, x, addends: [weight, bias].compactMap { $0 }, into: out)
      append(Command(cost: thinCost(command, x, out), command.write))
      if command.isSummed { setIndependent() }
      openNorm = OpenNorm(index: commands.count - 1, command: command, x: x, out: out)
      return
    }
    // Bands of rows, as equal as may be.
    let bands = sharingBands(of: x)
    if bands != 0 { command.parts = TileGrid.columns }
    for band in 0..<max(1, bands) {
      let first = x.tileRows * band / max(1, bands)
      command.firstRow = UInt32(first)
      command.rows = UInt32(x.tileRows * (band + 1) / max(1, bands) - first)
      let parts = Int(command.parts), gridRows = tiles / parts
      command.tileRows = UInt32(bands == 0 ? 1 : (Int(command.rows) + gridRows - 1) / gridRows)
      command.tileColumns = UInt32((x.tileColumns + parts - 1) / parts)
      let cost = self.cost(of: command, x, out)
      if bands == 0 {
        append(command.write, cost: cost, reads: [x, weight, bias], writes: [out])
      } else {
        // Tiles send into one another's L1, which all must have left before.
        append(Command(cost: cost, command.write))
      }
    }
  }

  /// In how many commands the grid's rows of tiles share the rows of a matrix; 0 where they do not: each column of
  /// the grid has a part of the columns.
  private func sharingBands(of x: Matrix) -> Int {
    let parts = Int(TileGrid.columns), columns = (x.tileColumns + parts - 1) / parts
    guard let gridRows = card.gridRows, (parts - 1) * columns < x.tileColumns,
      GridPlan.suits(rows: x.tileRows, gridRows: gridRows)
    else { return 0 }
    return (x.tileRows + 4 * gridRows - 1) / (4 * gridRows)
  }

  private func cost(
    of command: NormalizeCommand, _ x: Matrix, _ out: Matrix
  ) -> CommandCost {
    let rows = Int(command.rows), addends = Int(command.addends), sums = Int(command.sums)
    let parts = Int(command.parts)
    let bands = (rows + Int(command.tileRows) - 1) / Int(command.tileRows)
    let bandsOfBusiest = parts == 1 ? share(of: rows) : 1
    let columns = bandsOfBusiest * Int(command.tileColumns)
    let pages = rows * x.tileColumns, busiest = columns * Int(command.tileRows)
    let exchanged = parts == 1 ? 0 : sums * parts * 4096
    var cost = CommandCost()
    cost.dramBytesRead = (pages + bands * x.tileColumns * addends) * x.format.tileBytes
    cost.dramBytesWritten = pages * out.format.tileBytes
    cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten + bands * exchanged
    cost.nocBytesOfBusiestTile = (busiest + columns * addends) * x.format.tileBytes + exchanged
    cost.products = (pages * (1 + sums) + bands * x.tileColumns * addends) * 32
    cost.productsOfBusiestTile = (busiest * (1 + sums) + columns * addends) * 32
    cost.matrixTiles = min(bands * parts, tiles)
    cost.vectorInstructionsOfBusiestTile =
      busiest * 32 * (2 * sums + (command.isCentred ? 2 : 0) + 3 + 2 * addends)
    return cost
  }

  /// A thin norm whose result a thin product that follows may take from L1.
  struct OpenNorm {
    let index: Int
    var command: NormalizeCommand
    let x: Matrix
    let out: Matrix
  }

  /// A sum of planes, each tile of the card at most one tile of it, that a thin norm which follows may take from L1.
  struct OpenSum {
    let index: Int
    var command: MatrixCommand
    let out: Matrix
    let addends: [Matrix]
  }

  /// Where the command before adds up `x`, and each tile what it normalises, this need not wait for it: a tile goes on
  /// with what it has.
  private mutating func takeSum(
    _ command: inout NormalizeCommand, _ x: Matrix, addends: [Matrix], into out: Matrix
  ) {
    guard let sum = openSum, sum.index == commands.count - 1, sum.out == x,
      x.pageCount <= tiles, x.tileColumns <= Int(Buffer.partCount),
      sum.command.inner <= Buffer.planesBeforeParts,
      CommandAccess(reads: addends, writes: [out], scratch: .none).isIndependent(
        of: CommandAccess(reads: sum.addends, writes: [x], scratch: .none))
    else { return }
    var sumCommand = sum.command
    sumCommand.isNormalized = true
    var cost = commands[sum.index].cost
    cost.dramBytesWritten = 0
    cost.nocBytes -= x.byteCount
    replace(sum.index, by: Command(cost: cost, sumCommand.write))
    command.isSummed = true
  }

  /// How many columns the busiest tile has.
  private func thinShare(_ x: Matrix) -> Int {
    let members = NormalizeCommand.members(
      rows: UInt32(x.tileRows), columns: UInt32(x.tileColumns), tiles: UInt32(tiles))
    return (x.tileColumns + Int(members) - 1) / Int(members)
  }

  private func thinCost(
    _ command: NormalizeCommand, _ x: Matrix, _ out: Matrix
  ) -> CommandCost {
    let addends = Int(command.addends), columns = thinShare(x)
    let members = (x.tileColumns + columns - 1) / columns
    var cost = CommandCost()
    let kept = command.isSummed ? x.byteCount : 0
    cost.dramBytesRead = x.pageCount * (1 + addends) * 2048 - kept
    cost.dramBytesWritten = x.pageCount * out.format.tileBytes + kept
    cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten
    let partBytes = x.tileRows * members * Int(Buffer.partBytes)
    cost.nocBytesOfBusiestTile = columns * (1 + addends) * 2048 + partBytes
    cost.productsOfBusiestTile = (1 + columns * (2 + addends)) * 64
    cost.matrixTiles = min(x.pageCount, tiles)
    cost.products = cost.matrixTiles * cost.productsOfBusiestTile
    cost.vectorInstructionsOfBusiestTile = 500 + columns * 32 * (6 + 4 * addends)
    return cost
  }

  /// out = x * cosine + (x r) * sine, where a row of x is `heads` heads side by side.
  ///
  /// - Parameters:
  ///   - x: [rows, heads * width] with a width that is a multiple of 32; bfloat16 or float32.
  ///   - cosine: [rows of the table, width] in the format of `x`. The table's rows repeat down x; a table
  ///     of fewer rows than `x` has a multiple of 32.
  ///   - r: [width, width] in bfloat16, of 0, 1 and -1.
  ///   - distance: how many columns of tiles, modulo the head's, from a tile to the one that r turns into
  ///     it; 0 where it takes several.
  package mutating func rotate(
    _ x: Matrix, heads: Int, cosine: Matrix, sine: Matrix, r: Matrix, distance: Int,
    into out: Matrix
  ) throws(CardError) {
    let call = "rotate"
    try require(!x.format.isShared && heads > 0 && x.columns == heads * r.columns, call, x, r)
    let width = r.tileColumns
    try require(
      r.format == .bfloat16 && r.rows == r.columns && r.columns == 32 * width && width <= 16
        && (0..<width).contains(distance), call, r)
    for table in [cosine, sine] {
      try require(
        table.format == x.format && table.columns == r.columns
          && (table.rows == x.rows || (table.rows % 32 == 0 && x.rows % table.rows == 0)), call, x,
        table)
    }
    try require(
      !out.format.isShared && out.rows == x.rows && out.columns == x.columns, call, x, out)
    var command = RotateCommand()
    command.format = x.format.code
    command.outFormat = out.format.code
    (command.rows, command.tableRows) = (UInt32(x.tileRows), UInt32(cosine.tileRows))
    (command.heads, command.headColumns) = (UInt32(heads), UInt32(width))
    command.partner = UInt32(distance)
    command.outputs = 2 * distance == width ? 2 : 1
    command.places = UInt32(width) / command.outputs
    (command.a, command.aStride) = (x.base, UInt32(x.tileColumns))
    (command.out, command.outStride) = (out.base, UInt32(out.tileColumns))
    (command.cosine, command.sine, command.r) = (cosine.base, sine.base, r.base)

    let terms = Int(command.terms), outputs = Int(command.outputs)
    let places = x.tileRows * Int(command.places), share = share(of: places)
    let bytes =
      (heads * Int(command.inputs) + 2 * outputs) * x.format.tileBytes + outputs * terms * 2048
    var cost = CommandCost()
    cost.dramBytesRead = places * bytes
    cost.dramBytesWritten = x.pageCount * out.format.tileBytes
    cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten
    cost.nocBytesOfBusiestTile = share * bytes
    cost.products = x.pageCount * (3 + terms) * 48
    cost.productsOfBusiestTile = share * heads * outputs * (3 + terms) * 48
    cost.matrixTiles = min(places, tiles)
    cost.vectorInstructionsOfBusiestTile = share * heads * outputs * 32 * 9
    append(command.write, cost: cost, reads: [x, cosine, sine, r], writes: [out])
  }

  /// Keys and values of one segment, `[batch * keys, shared heads * width]`.
  package struct KeySegment {
    package let keys: Matrix
    package let values: Matrix

    package init(keys: Matrix, values: Matrix) {
      self.keys = keys
      self.values = values
    }
  }

  /// What decides whether attention is the card's, in tiles but for heads and samples.
  package struct AttentionShape {
    package var batch: Int
    package var heads: Int
    package var sharedHeads: Int
    package var rows: Int
    package var keys: Int
    package var columns: Int
    /// Columns of the mask; 0 without one.
    package var maskRows: Int

    package init(
      batch: Int, heads: Int, sharedHeads: Int, rows: Int, keys: [Int], width: Int, maskRows: Int
    ) {
      func tiles(_ count: Int) -> Int { (count + 31) / 32 }
      (self.batch, self.heads, self.sharedHeads) = (batch, heads, sharedHeads)
      (self.rows, self.columns, self.maskRows) = (tiles(rows), tiles(width), tiles(maskRows))
      self.keys = keys.reduce(0) { $0 + tiles($1) }
    }

    /// Whether a tile's L1 holds the keys and values of a head, two queries and a mask.
    var fitsTile: Bool {
      keys <= Int(min(Buffer.probabilityCount, AttentionCommand.maximumMasks))
        && (2 * keys + 2) * columns <= Int(Buffer.leftDepth)
    }

    /// Whether the grid of tiles has room for it with the keys in parts (``ThinAttentionCommand``), all of which have
    /// keys, and columns to combine.
    func fitsParts(gridRows: Int?) -> Bool {
      let parts = Int(ThinAttentionCommand.parts), partKeys = (keys + parts - 1) / parts
      guard let gridRows, batch == 1, sharedHeads == 1 else { return false }
      return heads * rows <= gridRows * Int(ThinAttentionCommand.partColumns) && keys >= parts
        && columns % parts == 0 && columns / parts <= 4
        && partKeys <= Int(ThinAttentionCommand.maximumKeys)
        && partKeys * (2 * columns + maskRows) <= Int(ThinAttentionCommand.sharedTiles)
    }

    package func fits(gridRows: Int?) -> Bool { fitsTile || fitsParts(gridRows: gridRows) }
  }

  /// out = softmax(q k^T scale + mask) v of many heads; scores and sums in fp32, probabilities in bfloat16.
  ///
  /// - Parameters:
  ///   - q: [batch * rows, heads * width] in bfloat16 with a width that is a multiple of 32.
  ///   - segments: one or two, whose keys stand one after the other; all in bfloat16.
  ///   - heads: of q.
  ///   - sharedHeads: of keys and values; each serves `heads / sharedHeads` neighbours.
  ///   - batch: how many independent parts the rows of all matrices have; where there are several, the rows
  ///     of each are a multiple of 32.
  ///   - mask: added to the scores, transposed, `[keys of both segments, each rounded up to 32, rows or 1]`; with
  ///     1, the first 32 columns must be equal. Keys that only rounding up adds must be masked. No command writes it.
  package mutating func attention(
    _ q: Matrix, _ segments: [KeySegment], heads: Int, sharedHeads: Int, batch: Int = 1,
    mask: Matrix?, scale: Float, into out: Matrix
  ) throws(CardError) {
    var command = try attentionCommand(
      q, segments, heads: heads, sharedHeads: sharedHeads, batch: batch, mask: mask, scale: scale,
      into: out)
    if let thin = thinAttention(command) {
      append(Command(cost: cost(of: thin), thin.write))
      return
    }
    let keys = Int(command.keys), width = Int(command.headColumns)
    guard shape(of: command).fitsTile else {
      throw error(
        "attention", "\(keys * 32) keys of width \(width * 32), more than a tile's L1 holds")
    }
    shareKeys(&command)
    let units = Int(command.units), busiest = share(of: units)
    let masks = mask == nil ? 0 : 1, keyTiles = Int(command.keyTiles)
    // How often keys and values, and masks, are read.
    let shares = Int(command.sharers)
    let groups = shares != 0 ? batch * sharedHeads : min(tiles, units) + batch * sharedHeads
    let maskReads = !command.sharesMask ? units : shares != 0 ? tiles / shares : min(tiles, units)
    let maskTiles = maskReads * Int(command.maskTiles)
    let groupsOfBusiest = shares != 0 ? Int(command.sharedGroups) : min(busiest, 2)
    let masksOfBusiest = (command.sharesMask ? 1 : busiest) * Int(command.maskTiles)
    var cost = CommandCost()
    cost.dramBytesRead = (groups * keyTiles + units * width + maskTiles) * 2048
    cost.dramBytesWritten = units * width * 2048
    cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten
    cost.nocBytesOfBusiestTile =
      (groupsOfBusiest * keyTiles + busiest * width + masksOfBusiest) * 2048
    let products = 48 * keys * (2 * width + masks + 1)
    cost.products = units * products
    cost.productsOfBusiestTile = busiest * products
    cost.matrixTiles = min(units, tiles)
    // Of each strip of four rows: maximum and power of each key's tile, division of each column's, and what is
    // done once.
    cost.vectorInstructionsOfBusiestTile = busiest * 8 * (keys * (8 + 40) + width * 12 + 80)
    if shares != 0 {
      // Tiles send into one another's L1, which all must have left before.
      append(Command(cost: cost, command.write))
      return
    }
    append(
      command.write, cost: cost,
      reads: [q, mask] + segments.flatMap { [$0.keys, $0.values] }, writes: [out])
  }

  /// Where all of the grid takes part, keys and values of some groups of heads are shared by as few tiles as have just
  /// the units of these, if they stand one below the other or are all.
  private func shareKeys(_ command: inout AttentionCommand) {
    guard let gridRows = card.gridRows, command.units > TileGrid.columns else { return }
    var bundles = tiles
    while tiles % bundles != 0 || Int(command.groups) % bundles != 0 { bundles -= 1 }
    let sharers = tiles / bundles, groups = command.groups / UInt32(bundles)
    guard sharers == tiles || (sharers > 1 && gridRows % sharers == 0),
      groups * command.keyTiles + 2 * command.headColumns <= Buffer.leftDepth
    else { return }
    (command.sharers, command.sharedGroups) = (UInt32(sharers), groups)
  }

  /// The same where q, and the keys of the last segment, are turned first as by
  /// ``rotate(_:heads:cosine:sine:r:distance:into:)``, if that is one command; else false, and nothing is
  /// recorded.
  ///
  /// - Parameters:
  ///   - cosine, sine: [rows, width] in bfloat16, whose halves are equal.
  package mutating func turnedAttention(
    _ q: Matrix, _ segments: [KeySegment], heads: Int, cosine: Matrix, sine: Matrix, mask: Matrix?,
    scale: Float, into out: Matrix
  ) throws(CardError) -> Bool {
    let command = try attentionCommand(
      q, segments, heads: heads, sharedHeads: 1, batch: 1, mask: mask, scale: scale, into: out)
    for table in [cosine, sine] {
      try require(
        table.format == .bfloat16 && table.rows == q.rows
          && table.columns * heads == q.columns, "turned attention", q, table)
    }
    guard segments.count == 2, command.rows == command.secondKeys,
      var thin = thinAttention(command)
    else { return false }
    (thin.cosine, thin.sine) = (cosine.base, sine.base)
    append(Command(cost: cost(of: thin), thin.write))
    return true
  }

  private func attentionCommand(
    _ q: Matrix, _ segments: [KeySegment], heads: Int, sharedHeads: Int, batch: Int,
    mask: Matrix?, scale: Float, into out: Matrix
  ) throws(CardError) -> AttentionCommand {
    let call = "attention"
    guard let first = segments.first, segments.count <= 2, heads > 0, sharedHeads > 0, batch > 0,
      heads % sharedHeads == 0
    else {
      throw error(
        call, "\(segments.count) segments, \(heads) heads on \(sharedHeads), batch of \(batch)")
    }
    let second = segments.count == 2 ? segments[1] : nil
    let width = q.tileColumns / heads
    try require(
      q.format == .bfloat16 && q.columns == 32 * width * heads && width > 0 && q.rows % batch == 0
        && (batch == 1 || q.rows / batch % 32 == 0), call, q)
    for matrix in segments.flatMap({ [$0.keys, $0.values] }) {
      try require(
        matrix.format == .bfloat16 && matrix.columns == 32 * width * sharedHeads
          && matrix.rows % batch == 0 && (batch == 1 || matrix.rows / batch % 32 == 0), call, q,
        matrix)
    }
    for segment in segments {
      try require(segment.keys.rows == segment.values.rows, call, segment.keys, segment.values)
    }
    try require(
      out.format == .bfloat16 && out.rows == q.rows && out.columns == q.columns, call, q, out)

    var command = AttentionCommand()
    (command.rows, command.batch) = (UInt32(q.tileRows / batch), UInt32(batch))
    (command.heads, command.groupHeads) = (UInt32(heads), UInt32(heads / sharedHeads))
    command.headColumns = UInt32(width)
    command.firstKeys = UInt32(first.keys.tileRows / batch)
    command.secondKeys = UInt32((second?.keys.tileRows ?? 0) / batch)
    (command.q, command.out, command.stride) = (q.base, out.base, UInt32(q.tileColumns))
    (command.firstK, command.firstV) = (first.keys.base, first.values.base)
    (command.secondK, command.secondV) = (second?.keys.base ?? 0, second?.values.base ?? 0)
    command.keyStride = UInt32(first.keys.tileColumns)
    command.mask = mask?.base ?? 0
    command.maskRows = UInt32(mask?.tileColumns ?? 1)
    command.scale = (scale * 1.442695).bitPattern
    let keys = Int(command.keys)
    if let mask {
      try require(
        mask.format == .bfloat16 && mask.tileRows == keys
          && (mask.tileColumns == 1 || mask.tileColumns == q.tileRows / batch), call, q, mask)
    }
    return command
  }

  private func shape(of command: AttentionCommand) -> AttentionShape {
    let tile = 32
    return AttentionShape(
      batch: Int(command.batch), heads: Int(command.heads),
      sharedHeads: Int(command.heads / command.groupHeads), rows: tile * Int(command.rows),
      keys: [tile * Int(command.keys)], width: tile * Int(command.headColumns),
      maskRows: command.mask == 0 ? 0 : tile * Int(command.maskRows))
  }

  /// Attention with the keys in parts: with few units, whose keys are all the same, most tiles would have none. Nil
  /// where that does not fit.
  private func thinAttention(_ command: AttentionCommand) -> ThinAttentionCommand? {
    guard shape(of: command).fitsParts(gridRows: card.gridRows) else { return nil }
    var thin = ThinAttentionCommand()
    (thin.rows, thin.heads) = (command.rows, command.heads)
    thin.headColumns = command.headColumns
    (thin.firstKeys, thin.secondKeys) = (command.firstKeys, command.secondKeys)
    (thin.q, thin.out) = (command.q, command.out)
    (thin.firstK, thin.firstV) = (command.firstK, command.firstV)
    (thin.secondK, thin.secondV) = (command.secondK, command.secondV)
    (thin.mask, thin.maskRows) = (command.mask, command.maskRows)
    thin.scale = command.scale
    return thin
  }

  private func cost(of command: ThinAttentionCommand) -> CommandCost {
    let units = Int(command.units), parts = Int(ThinAttentionCommand.parts)
    let width = Int(command.headColumns), all = Int(command.allKeys)
    let keys = (all + parts - 1) / parts, masks = command.mask == 0 ? 0 : 1
    let maskTiles = masks * Int(command.maskRows)
    let combined = Int(command.combinedColumns)
    // Pairs that the busiest tile turns: of a query, and of keys.
    let pairs = command.isTurned ? 2 : 0
    var cost = CommandCost()
    cost.dramBytesRead =
      (all * (2 * width + maskTiles) + units * width
        + (command.isTurned ? (units + Int(command.secondKeys)) * width : 0)) * 2048
    cost.dramBytesWritten = units * width * 2048
    let sent = units * parts * (width + 2 * parts)
    cost.nocBytes = cost.dramBytesRead + cost.dramBytesWritten + sent * 2048
    cost.nocBytesOfBusiestTile =
      (keys * (2 * width + maskTiles) + Int(ThinAttentionCommand.partColumns) * width
        + parts * (2 + combined)) * 2048
    let products = keys * (2 * width + 1 + masks) + parts * (2 + combined)
    cost.products = units * parts * products * 48
    cost.productsOfBusiestTile = (products + 4 * pairs) * 48
    cost.matrixTiles = units * parts
    cost.vectorInstructionsOfBusiestTile =
      8 * (keys * (12 + 62) + 100 + combined * 56) + pairs * 8 * 44
    return cost
  }

  /// A command that may run beside others: probabilities and buffers are the tile's own.
  private mutating func append(
    _ write: ((UInt32, UInt32) -> Void) -> Void, cost: CommandCost, reads: [Matrix?],
    writes: [Matrix]
  ) {
    append(
      Command(cost: cost, write),
      access: CommandAccess(reads: reads.compactMap { $0 }, writes: writes, scratch: .own))
  }
}
