/// A table of fixed-width text, its columns two spaces apart:
///
///     name     error
///     -------  -----
///     siglip   1e-06
struct TextTable {
  enum Alignment {
    case left, right
  }

  private let columns: [(title: String, alignment: Alignment)]
  private var rows: [[String]] = []

  init(_ columns: [(title: String, alignment: Alignment)]) {
    self.columns = columns
  }

  /// Adds a row. Cells that are missing are empty; those beyond the last column are left out.
  mutating func append(_ cells: [String]) {
    rows.append(columns.indices.map { cells.indices.contains($0) ? cells[$0] : "" })
  }

  /// The lines, each ended by a newline, none with spaces at its end.
  var text: String {
    let titles = columns.map(\.title)
    let widths = columns.indices.map { column in
      ([titles] + rows).map { $0[column].count }.max() ?? 0
    }
    let rule = widths.map { String(repeating: "-", count: $0) }
    return ([titles, rule] + rows).map { cells in
      let padded = cells.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - cells[column].count)
        return columns[column].alignment == .left ? cells[column] + space : space + cells[column]
      }
      var line = padded.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}
