import ArgumentParser
import Foundation
import PI0Kit

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate",
    abstract: "Compare every stage of the policy with PyTorch's tensors.",
    discussion: """
      A set is a pair of files, NAME.weights.safetensors and NAME.io.safetensors. Without
      --fixtures the sets that come with the package are used. Exits with 1 if a stage falls short.

      Example: pi0 validate --device reference
      """)

  @Option(help: ArgumentHelp("A folder with golden sets.", valueName: "folder"))
  var fixtures: String?

  @OptionGroup var device: DeviceOption

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  func run() throws {
    let folder = try fixtures ?? PackageFixtures.goldenFolder()
    let rows = try Validation(fixtures: folder, on: device.device()).run()
    print(json ? try encodeJSON(rows) : Self.report(rows))
    if rows.contains(where: { $0.verdict == .fail }) { throw ExitCode.failure }
  }

  static func report(_ rows: [Validation.Row]) -> String {
    var table = TextTable([
      ("set", .left), ("stage", .left), ("shape", .left), ("PCC", .right), ("max error", .right),
      ("rel. RMS", .right), ("verdict", .left),
    ])
    for row in rows {
      let figures = row.comparison.map {
        [
          String(format: "%.8f", $0.pcc), String(format: "%.1e", $0.maximumError),
          String(format: "%.1e", $0.relativeRMS),
        ]
      }
      let shape = row.shape.map(String.init).joined(separator: "x")
      let verdict = row.note.isEmpty ? row.verdict.rawValue : "\(row.verdict.rawValue): \(row.note)"
      table.append([row.set, row.stage, shape] + (figures ?? ["", "", ""]) + [verdict])
    }
    let counts = [Validation.Row.Verdict.pass, .fail, .information, .skipped].map { verdict in
      "\(rows.count { $0.verdict == verdict }) \(verdict.rawValue)"
    }
    return "\(table.text)\n\(rows.count) stages: \(counts.joined(separator: ", "))"
  }
}
