import Foundation

/// Episodes of the arm as an SVG document: a panel each, with the way of the tip, the two targets,
/// the arm at the end, and where each chunk of actions would have led.
enum DemoPlot {
  /// The most episodes that are drawn.
  static let maximumCount = 8

  private static let columns = 4
  private static let panel = (width: 232.0, height: 176.0)
  private static let gap = 12.0
  private static let pixelsPerMetre = 190.0
  private static let colors = ["#d82c28", "#2454d8"]

  /// The document.
  static func svg(_ episodes: [ArmEpisode]) -> String {
    let columns = min(columns, max(episodes.count, 1))
    let rows = max(1, (episodes.count + columns - 1) / columns)
    let width = Double(columns) * (panel.width + gap) + gap
    let top = 34.0
    let height = top + Double(rows) * (panel.height + gap)
    let reached = episodes.filter(\.isReached).count
    var elements = [
      "<text x=\"\(number(gap))\" y=\"22\" font-size=\"14\">\(reached) of \(episodes.count) "
        + "targets reached. Line: the tip's way. Grey: where each chunk of actions would lead. "
        + "Ring: the target that the prompt names.</text>"
    ]
    for (index, episode) in episodes.enumerated() {
      let x = gap + Double(index % columns) * (panel.width + gap)
      let y = top + Double(index / columns) * (panel.height + gap)
      elements.append(
        "<g transform=\"translate(\(number(x)) \(number(y)))\">\(drawn(episode))</g>")
    }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(number(width))" height="\(number(height))" \
      viewBox="0 0 \(number(width)) \(number(height))" font-family="sans-serif" font-size="11">
      <rect width="100%" height="100%" fill="#fff"/>
      \(elements.joined(separator: "\n"))
      </svg>

      """
  }

  private static func drawn(_ episode: ArmEpisode) -> String {
    let tips = episode.path.map { ArmTask.positions($0).tip }
    var elements = [
      "<rect width=\"\(number(panel.width))\" height=\"\(number(panel.height))\" rx=\"6\" "
        + "fill=\"#f4f4f1\"/>"
    ]
    for prediction in episode.predictions {
      let start = episode.path.indices.contains(prediction.tick) ? tips[prediction.tick] : nil
      let way = [start].compactMap { $0 } + prediction.joints.map { ArmTask.positions($0).tip }
      elements.append(line(way, "stroke=\"#a9adb5\" stroke-width=\"2.6\""))
    }
    for (color, target) in episode.targets.enumerated() {
      elements.append(disc(target, ArmTask.tolerance, "fill=\"\(colors[color])\""))
    }
    elements.append(
      disc(
        episode.targets[episode.wanted.rawValue], ArmTask.tolerance + 0.016,
        "fill=\"none\" stroke=\"\(colors[episode.wanted.rawValue])\" stroke-width=\"1.2\""))
    if let joints = episode.path.last {
      let (elbow, tip) = ArmTask.positions(joints)
      elements.append(
        line(
          [ArmTask.Point(x: 0, y: 0), elbow, tip],
          "stroke=\"#545c68\" stroke-width=\"5\" stroke-opacity=\"0.55\" "
            + "stroke-linecap=\"round\""))
    }
    elements.append(disc(ArmTask.Point(x: 0, y: 0), 0.03, "fill=\"#3c3c42\""))
    elements.append(line(tips, "stroke=\"#111\" stroke-width=\"1.4\""))
    if let first = tips.first { elements.append(disc(first, 0.012, "fill=\"#111\"")) }
    let seconds = String(format: "%.1f s", Double(episode.ticks) / ArmTask.ticksPerSecond)
    elements.append(
      "<text x=\"8\" y=\"16\" fill=\"#444\">reach the \(episode.wanted) target: "
        + "\(episode.isReached ? seconds : "not reached")</text>")
    return elements.joined()
  }

  // MARK: - Elements

  private static func place(_ point: ArmTask.Point) -> (x: Double, y: Double) {
    (
      panel.width / 2 + point.x * pixelsPerMetre, panel.height - 26 - point.y * pixelsPerMetre
    )
  }

  private static func line(_ points: [ArmTask.Point], _ attributes: String) -> String {
    let places = points.map(place).map { "\(number($0.x)) \(number($0.y))" }
    return "<polyline points=\"\(places.joined(separator: " "))\" fill=\"none\" "
      + "stroke-linejoin=\"round\" \(attributes)/>"
  }

  private static func disc(_ centre: ArmTask.Point, _ radius: Double, _ attributes: String)
    -> String
  {
    let at = place(centre)
    return "<circle cx=\"\(number(at.x))\" cy=\"\(number(at.y))\" "
      + "r=\"\(number(radius * pixelsPerMetre))\" \(attributes)/>"
  }

  private static func number(_ value: Double) -> String {
    value == value.rounded() ? String(Int(value)) : String(format: "%.1f", value)
  }
}
