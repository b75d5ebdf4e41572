import Foundation
import PI0Kit
import Wormhole

/// What a card does for one inference, command by command: what each is, how it is shared out, what it takes by
/// counting and, on the emulator after a run, by estimate.
struct BenchPlan: Encodable {
  /// The card that times are for.
  struct Machine: Encodable {
    let device: String
    let tiles: Int
    let megahertz: Int
    let gigabytesASecond = 288
  }

  /// A command, or several that differ in their layer alone.
  struct Row: Encodable {
    let operation: String
    let purpose: String
    let shape: String
    let unit: String
    let tiles: Int
    let l1Bytes: Int
    var count = 0
    var dramBytes = 0
    var products = 0
    /// What they take at least, and what does not allow less.
    var leastMicroseconds = 0.0
    let leastBound: String
    /// What the emulator saw; nil where it has not run.
    var microseconds: Double?
    var busyCycles: [Int] = []
    var cycles = 0
    var bound: String?
  }

  /// Vision, language, denoising: what a stage takes in all.
  struct Stage: Encodable {
    let name: String
    var commands = 0
    var leastMicroseconds = 0.0
    var microseconds: Double?
    var products = 0
    /// The share of the time that all matrix units are at work, on average.
    var matrixShare: Double?
  }

  let machine: Machine
  let function: String
  let inputs: [String]
  let operations: Int
  let doorbells: Int
  let bytesFromHost: Int
  let bytesToHost: Int
  /// 10⁹ operations of the matrix units, additions and multiplications.
  let gigaflops: Double
  let stages: [Stage]
  /// Every command, in order.
  let commands: [Row]

  init(_ report: TraceReport, on device: Device) {
    let work = report.work, clock = Double(max(1, work.clock))
    machine = Machine(device: device.name, tiles: work.tiles, megahertz: work.clock)
    (function, inputs, operations) = (report.function, report.inputs, report.operations)
    (doorbells, bytesFromHost, bytesToHost) = (work.doorbells, work.hostBytesIn, work.hostBytesOut)
    var commands: [Row] = []
    var stages: [Stage] = [], stage = "vision"
    var flops = 0.0
    for (index, plan) in report.plan.enumerated() {
      var row = Row(
        operation: plan.operation, purpose: Self.short(plan.purpose), shape: plan.shape,
        unit: plan.unit, tiles: plan.tiles, l1Bytes: plan.l1Bytes, count: 1,
        dramBytes: plan.dramBytesRead + plan.dramBytesWritten, products: plan.products,
        leastMicroseconds: plan.microsecondsAtLeast, leastBound: plan.bound.rawValue)
      if work.estimates.indices.contains(index) {
        let estimate = work.estimates[index]
        row.microseconds = Double(estimate.cycles) / clock
        (row.cycles, row.busyCycles) = (estimate.cycles, estimate.busyCycles)
        row.bound = estimate.bound.rawValue
      }
      flops += plan.flops
      commands.append(row)
      // Commands before a stage's first weight belong to it, those after its last to it still. A stage
      // may come and go.
      stage = Self.stage(of: row.purpose) ?? stage
      let place = stages.firstIndex { $0.name == stage } ?? stages.count
      if place == stages.count { stages.append(Stage(name: stage)) }
      stages[place].commands += 1
      stages[place].leastMicroseconds += row.leastMicroseconds
      stages[place].products += row.products
      if let time = row.microseconds {
        stages[place].microseconds = (stages[place].microseconds ?? 0) + time
      }
    }
    for index in stages.indices {
      guard let time = stages[index].microseconds, time > 0 else { continue }
      stages[index].matrixShare =
        Double(stages[index].products) / (time * clock * Double(max(1, work.tiles)))
    }
    gigaflops = flops / 1e9
    self.stages = stages
    self.commands = commands
  }

  /// A checkpoint's key without what all have.
  private static func short(_ purpose: String) -> String {
    var purpose = purpose
    for (long, short) in [
      ("paligemma_with_expert.", ""), ("paligemma.model.", ""),
      ("paligemma.lm_head", "language.embed_tokens"),
      ("vision_tower.vision_model.", "vision."), ("encoder.", ""), ("language_model", "language"),
      ("multi_modal_projector.linear", "vision.projector"), ("gemma_expert.model", "expert"),
      ("embeddings.", ""), ("self_attn.", ""), ("mlp.", ""),
    ] {
      if let range = purpose.range(of: long) { purpose.replaceSubrange(range, with: short) }
    }
    return purpose
  }

  private static func stage(of purpose: String) -> String? {
    if purpose.isEmpty { return nil }
    for stage in ["vision", "language"] where purpose.hasPrefix(stage) { return stage }
    return "denoising"
  }

  /// Commands that differ in their layer alone are one row.
  private var rows: [Row] {
    var rows: [Row] = []
    var places: [String: Int] = [:]
    for command in commands {
      let purpose = command.purpose.split(separator: ".", omittingEmptySubsequences: false)
        .map { Int($0) == nil ? String($0) : "*" }.joined(separator: ".")
      let key = [
        command.operation, purpose, command.shape, command.unit, "\(command.tiles)",
        "\(command.l1Bytes)", command.leastBound,
      ].joined(separator: "|")
      guard let place = places[key] else {
        places[key] = rows.count
        var row = Row(
          operation: command.operation, purpose: purpose, shape: command.shape,
          unit: command.unit, tiles: command.tiles, l1Bytes: command.l1Bytes,
          leastBound: command.leastBound)
        row.add(command)
        rows.append(row)
        continue
      }
      rows[place].add(command)
    }
    return rows
  }

  var text: String {
    let ran = commands.contains { $0.microseconds != nil }
    var table = TextTable(
      [
        ("n", .right), ("command", .left), ("for", .left), ("tiles of 32 x 32", .left),
        ("unit", .left), ("tiles", .right), ("L1 KB", .right), ("DRAM MB", .right),
        ("at least us", .right), ("bound", .left),
      ] + (ran ? [("estimated us", .right), ("bound", .left)] : []))
    for row in rows {
      var bound: [String] = []
      if let time = row.microseconds {
        bound = [String(format: "%.1f", time), "\(row.estimatedBound) \(row.boundShare) %"]
      }
      table.append(
        [
          "\(row.count)", row.operation, row.purpose, row.shape, row.unit, "\(row.tiles)",
          "\(row.l1Bytes / 1024)", String(format: "%.2f", Double(row.dramBytes) / 1e6),
          String(format: "%.1f", row.leastMicroseconds), row.leastBound,
        ] + bound)
    }
    var stageTable = TextTable(
      [("stage", .left), ("commands", .right), ("at least ms", .right)]
        + (ran ? [("estimated ms", .right), ("matrix units", .right)] : []))
    var least = 0.0, total = 0.0
    for stage in stages {
      least += stage.leastMicroseconds
      total += stage.microseconds ?? 0
      stageTable.append(
        [
          stage.name, "\(stage.commands)",
          String(format: "%.3f", stage.leastMicroseconds / 1000),
        ]
          + (stage.microseconds.map { [String(format: "%.3f", $0 / 1000)] } ?? [])
          + (stage.matrixShare.map { [String(format: "%.1f %%", 100 * $0)] } ?? []))
    }
    stageTable.append(
      ["all", "\(commands.count)", String(format: "%.3f", least / 1000)]
        + (ran ? [String(format: "%.3f", total / 1000)] : []))
    return """
      \(machine.device): \(machine.tiles) tiles, \(machine.megahertz) MHz, \
      \(machine.gigabytesASecond) GB/s
      \(function) of \(inputs.joined(separator: ", "))

      \(table.text)
      \(stageTable.text)
      All \(operations) operations between inputs and result are the card's, \
      \(String(format: "%.1f", gigaflops)) GFLOP of them products: \(doorbells) doorbell, \
      \(bytesFromHost) bytes from the host before it, \(bytesToHost) to it after the last command, \
      nothing between.

      """
  }
}

extension BenchPlan.Row {
  fileprivate mutating func add(_ other: BenchPlan.Row) {
    count += other.count
    dramBytes += other.dramBytes
    products += other.products
    leastMicroseconds += other.leastMicroseconds
    guard let time = other.microseconds else { return }
    microseconds = (microseconds ?? 0) + time
    cycles += other.cycles
    busyCycles =
      busyCycles.isEmpty ? other.busyCycles : zip(busyCycles, other.busyCycles).map { $0 + $1 }
  }

  private var estimate: CommandEstimate { CommandEstimate(cycles: cycles, busyCycles: busyCycles) }
  fileprivate var estimatedBound: String { estimate.bound.rawValue }
  /// Percent of the time that the bound was at work.
  fileprivate var boundShare: Int {
    let estimate = estimate
    let busy =
      estimate.bound == .dispatch
      ? estimate.dispatchCycles
      : zip(WorkBound.allCases, busyCycles).first { $0.0 == estimate.bound }?.1 ?? 0
    return 100 * busy / max(1, cycles)
  }
}
