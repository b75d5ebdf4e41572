import Foundation

/// A chart of an action chunk as an SVG document: one line an action dimension over the steps.
enum ActionPlot {
  /// The document.
  ///
  /// - Parameters:
  ///   - actions: `[horizon][dimension]`. Values that are missing or not finite leave a gap.
  ///   - title: Stands above the chart.
  ///   - names: The dimensions' names in the legend; the others are called by their number.
  static func svg(actions: [[Float]], title: String, names: [String] = []) -> String {
    let dimensions = actions.map(\.count).max() ?? 0
    let labels = (0..<dimensions).map { names.indices.contains($0) ? names[$0] : "\($0)" }
    let legend = Legend(labels: labels)
    let steps = Axis(last: max(actions.count - 1, 0), pixels: plot.minX...plot.maxX)
    let values = Axis(
      containing: actions.joined().lazy.filter(\.isFinite).map(Double.init),
      pixels: plot.minY...plot.maxY)

    var elements: [String] = []
    elements.append(text(title, x: plot.minX, y: plot.minY - 20, "font-size=\"16\""))
    for tick in values.ticks {
      let y = plot.minY + plot.maxY - values.pixel(tick)
      elements.append(line(plot.minX, y, plot.maxX, y, "#e4e4e4"))
      elements.append(
        text(values.label(tick), x: plot.minX - 8, y: y + 4, "text-anchor=\"end\" fill=\"#555\""))
    }
    for tick in steps.ticks {
      let x = steps.pixel(tick)
      elements.append(line(x, plot.maxY, x, plot.maxY + 5, "#555"))
      elements.append(
        text(
          steps.label(tick), x: x, y: plot.maxY + 20, "text-anchor=\"middle\" fill=\"#555\""))
    }
    elements.append(line(plot.minX, plot.maxY, plot.maxX, plot.maxY, "#555"))
    elements.append(line(plot.minX, plot.minY, plot.minX, plot.maxY, "#555"))
    elements.append(
      text("step", x: plot.midX, y: plot.maxY + 40, "text-anchor=\"middle\""))
    elements.append(
      text(
        "action", x: 0, y: 0,
        "text-anchor=\"middle\" transform=\"translate(18 \(number(plot.midY))) rotate(-90)\""))
    for dimension in 0..<dimensions {
      let points = actions.enumerated().map { step, action -> (x: Double, y: Double)? in
        guard action.indices.contains(dimension), action[dimension].isFinite else { return nil }
        let y = plot.minY + plot.maxY - values.pixel(Double(action[dimension]))
        return (steps.pixel(Double(step)), y)
      }
      elements.append(curve(points, Style(dimension)))
    }
    elements.append(contentsOf: legend.elements)

    let (width, height) = (number(plot.maxX + legend.width), number(plot.maxY + 56))
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" \
      viewBox="0 0 \(width) \(height)" font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="#fff"/>
      \(elements.joined(separator: "\n"))
      </svg>

      """
  }

  private static let plot = CGRect(x: 72, y: 48, width: 768, height: 400)

  // MARK: - Lines

  /// Ten colours, and for each further ten dimensions another pattern of dashes.
  private struct Style {
    let attributes: String
    let color: String

    init(_ dimension: Int) {
      let colors = [
        "#1f77b4", "#e66100", "#2a9d3a", "#d62728", "#8457c9", "#7f4f3a", "#d957a8", "#6b6b6b",
        "#a39400", "#0aa5b8",
      ]
      let dashes = ["", "7 3", "2 3", "9 3 2 3", "14 4"]
      color = colors[dimension % colors.count]
      let dash = dashes[dimension / colors.count % dashes.count]
      attributes =
        "stroke=\"\(color)\" stroke-width=\"1.8\" fill=\"none\" stroke-linejoin=\"round\""
        + (dash.isEmpty ? "" : " stroke-dasharray=\"\(dash)\"")
    }
  }

  /// One path, interrupted at the gaps; a point without neighbours becomes a dot.
  private static func curve(_ points: [(x: Double, y: Double)?], _ style: Style) -> String {
    var path: [String] = []
    var dots = ""
    for (index, point) in points.enumerated() {
      guard let point else { continue }
      let connected = index > 0 && points[index - 1] != nil
      let continues = index + 1 < points.count && points[index + 1] != nil
      path.append("\(connected ? "L" : "M")\(number(point.x)) \(number(point.y))")
      if points.count == 1 {  // as in the legend, since dots have no dashes to tell them apart
        path = ["M\(number(point.x - 14)) \(number(point.y))h28"]
      } else if !connected && !continues {
        dots += "<circle cx=\"\(number(point.x))\" cy=\"\(number(point.y))\" r=\"3\"/>"
      }
    }
    return
      "<g fill=\"\(style.color)\"><path d=\"\(path.joined())\" \(style.attributes)/>\(dots)</g>"
  }

  /// Names beside their lines, to the right of the chart, in columns.
  private struct Legend {
    let elements: [String]
    let width: Double

    init(labels: [String]) {
      let (rowHeight, perColumn) = (20.0, 20)
      let columnWidth = 48 + 7.5 * Double(labels.map(\.count).max() ?? 0)
      elements = labels.enumerated().map { index, label in
        let x = plot.maxX + 24 + Double(index / perColumn) * columnWidth
        let y = plot.minY + (Double(index % perColumn) + 0.5) * rowHeight
        return "<path d=\"M\(number(x)) \(number(y))h28\" \(Style(index).attributes)/>"
          + text(label, x: x + 34, y: y + 4, "")
      }
      let columns = (labels.count + perColumn - 1) / perColumn
      width = 32 + Double(columns) * columnWidth
    }
  }

  // MARK: - Axes

  /// A range of values, the pixels that it is drawn over, and round values within it.
  private struct Axis {
    let range: ClosedRange<Double>
    let pixels: ClosedRange<Double>
    let ticks: [Double]
    private let step: Double

    /// The steps from 0.
    init(last: Int, pixels: ClosedRange<Double>) {
      let end = Double(last)
      self.init(
        range: last == 0 ? -0.5...0.5 : 0...end, pixels: pixels,
        step: max(Self.roundStep(end / 10), 1))
    }

    /// All of `values`, with some room, at round numbers.
    init(containing values: some Sequence<Double>, pixels: ClosedRange<Double>) {
      var (low, high) = (Double.infinity, -Double.infinity)
      for value in values { (low, high) = (min(low, value), max(high, value)) }
      if low > high { (low, high) = (-1, 1) }
      // Equal values, or nearly so, stand in the middle and do not look like noise.
      let least = max(abs(low), abs(high)) * 1e-4
      if high - low <= least {
        let room = least == 0 ? 1 : least * 1e3
        (low, high) = (low - room, high + room)
      }
      let step = Self.roundStep((high - low) / 6)
      let range =
        (low / step - 0.01).rounded(.down) * step...(high / step + 0.01).rounded(.up) * step
      self.init(range: range, pixels: pixels, step: step)
    }

    private init(range: ClosedRange<Double>, pixels: ClosedRange<Double>, step: Double) {
      self.range = range
      self.pixels = pixels
      self.step = step
      let first = (range.lowerBound / step).rounded(.up)
      let last = (range.upperBound / step + 1e-6).rounded(.down)
      ticks = stride(from: first, through: last, by: 1).map { $0 * step }
    }

    func pixel(_ value: Double) -> Double {
      let share = (value - range.lowerBound) / (range.upperBound - range.lowerBound)
      return pixels.lowerBound + share * (pixels.upperBound - pixels.lowerBound)
    }

    func label(_ value: Double) -> String {
      if step >= 1e6 || step < 1e-4 { return String(format: "%.3g", value) }
      let decimals = max(0, Int(-log10(step).rounded(.down)))
      return String(format: "%.\(decimals)f", value == 0 ? 0 : value)
    }

    /// The next of 1, 2, 5, 10, 20, ... and their fractions.
    private static func roundStep(_ size: Double) -> Double {
      guard size > 0 else { return 1 }
      let power = pow(10, log10(size).rounded(.down))
      return ([1, 2, 5].first { $0 * power >= size } ?? 10) * power
    }
  }

  // MARK: - Elements

  private static func number(_ value: Double) -> String {
    value == value.rounded() ? String(Int(value)) : String(format: "%.2f", value)
  }

  private static func line(
    _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ color: String
  ) -> String {
    "<line x1=\"\(number(x1))\" y1=\"\(number(y1))\" x2=\"\(number(x2))\" y2=\"\(number(y2))\" "
      + "stroke=\"\(color)\"/>"
  }

  private static func text(_ text: String, x: Double, y: Double, _ attributes: String) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" \(attributes)>\(escaped(text))</text>"
  }

  /// `text` as XML has it; characters that XML cannot have become U+FFFD.
  private static func escaped(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "\u{0}"..."\u{8}", "\u{B}", "\u{C}", "\u{E}"..."\u{1F}", "\u{FFFE}", "\u{FFFF}":
        result.append("\u{FFFD}")
      default: result.append(scalar)
      }
    }
    return String(result)
  }
}
