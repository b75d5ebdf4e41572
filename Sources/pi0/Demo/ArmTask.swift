import Foundation
import PI0Kit

/// The demo's task: a planar arm of two joints reaches the target that the prompt names.
///
/// The same definition as `Scripts/demo/arm.py`; `Tests/Fixtures/demo` compares the two. Lengths are
/// metres, angles radians, times ticks. Positions enter a picture as integers of a sixteenth of a
/// pixel, and drawing is integer arithmetic, so that both draw the same bytes.
struct ArmTask {
  static let links = (0.32, 0.26)
  static let jointLimits = [-0.8...2.8, 0.1...2.9]
  /// Radians that a joint can turn in a tick.
  static let maximumStep = 0.15
  static let ticksPerSecond = 20.0

  static let targetRadius = 0.24..<0.54
  static let targetAngle = 0.44..<2.70
  static let targetSpacing = 0.15
  static let start = [0.2..<1.9, 0.7..<2.2]
  /// Of the tip from the target, at least.
  static let startDistance = 0.15

  /// A target is reached within this distance, for ``hold`` ticks.
  static let tolerance = 0.04
  static let hold = 5
  static let maximumTicks = 80

  static let camera = "base_0_rgb"

  /// A target, and what the prompt calls it.
  enum Target: Int, CaseIterable {
    case red, blue
  }

  struct Point: Equatable {
    var x, y: Double

    func distance(to other: Point) -> Double {
      ((x - other.x) * (x - other.x) + (y - other.y) * (y - other.y)).squareRoot()
    }
  }

  /// Angle of the first link, and of the second against the first.
  private(set) var joints: [Double]
  let targets: [Point]
  let wanted: Target
  private(set) var ticksAtTarget = 0

  /// The start of an episode.
  init(seed: UInt64) {
    var generator = SplitMix64(seed: seed)
    while true {
      let joints = Self.start.map { generator.uniform(in: $0) }
      let wanted = Target.allCases[Int(generator.next() & 1)]
      let targets = Target.allCases.map { _ in
        let radius = generator.uniform(in: Self.targetRadius)
        let angle = generator.uniform(in: Self.targetAngle)
        return Point(x: radius * cos(angle), y: radius * sin(angle))
      }
      if targets[0].distance(to: targets[1]) >= Self.targetSpacing,
        Self.positions(joints).tip.distance(to: targets[wanted.rawValue]) >= Self.startDistance
      {
        self.init(joints: joints, targets: targets, wanted: wanted)
        return
      }
    }
  }

  init(joints: [Double], targets: [Point], wanted: Target) {
    self.joints = joints
    self.targets = targets
    self.wanted = wanted
  }

  /// The seed of the noise of an episode's chunk.
  static func noiseSeed(episode: UInt64, chunk: Int) -> UInt64 {
    episode &* 1000 &+ UInt64(chunk)
  }

  // MARK: - The arm

  var goal: Point { targets[wanted.rawValue] }
  var tip: Point { Self.positions(joints).tip }
  var isReached: Bool { ticksAtTarget >= Self.hold }

  static func positions(_ joints: [Double]) -> (elbow: Point, tip: Point) {
    let (first, both) = (joints[0], joints[0] + joints[1])
    let elbow = Point(x: links.0 * cos(first), y: links.0 * sin(first))
    return (elbow, Point(x: elbow.x + links.1 * cos(both), y: elbow.y + links.1 * sin(both)))
  }

  /// One tick: the joints turn towards the commanded angles.
  mutating func move(to action: some Collection<Double>) {
    joints = zip(zip(joints, action), Self.jointLimits).map { pair, limits in
      let (joint, command) = pair
      let step = min(max(command - joint, -Self.maximumStep), Self.maximumStep)
      return min(max(joint + step, limits.lowerBound), limits.upperBound)
    }
    ticksAtTarget = tip.distance(to: goal) <= Self.tolerance ? ticksAtTarget + 1 : 0
  }

  // MARK: - What the policy gets

  /// The token ids of "reach the COLOR target", as the policy was trained with.
  static func prompt(_ target: Target) -> [Int32] {
    let (begin, reach, the, word, newline): (Int32, Int32, Int32, Int32, Int32) = (2, 3, 4, 7, 8)
    return [begin, reach, the, target == .red ? 5 : 6, word, newline]
  }

  func observation() throws(PI0Error) -> RobotObservation {
    RobotObservation(
      images: [Self.camera: try ArmCamera.picture(joints: joints, targets: targets)],
      state: joints, prompt: .tokens(Self.prompt(wanted)))
  }
}

/// Draws the arm and its targets as a camera above them sees them.
enum ArmCamera {
  /// Pixels along a side of the picture.
  static let size = 56
  static let unitsPerPixel = 16
  static let unitsPerMetre = 800.0
  static let base = (x: 28 * unitsPerPixel, y: 46 * unitsPerPixel)

  typealias Color = (Int, Int, Int)
  // Grey but for the targets, whose colors are each other's with red and blue exchanged. What the
  // model sees of the background is zero.
  private static let background: Color = (128, 128, 128)
  private static let baseDisc: (radius: Int, Color) = (48, (40, 40, 40))
  private static let firstBar: (radius: Int, Color) = (32, (214, 214, 214))
  private static let secondBar: (radius: Int, Color) = (24, (176, 176, 176))
  private static let tipDisc: (radius: Int, Color) = (24, (20, 20, 20))
  private static let targetDiscs: [(radius: Int, Color)] = [
    (48, (224, 72, 48)), (48, (48, 72, 224)),
  ]
  /// Half the width of a soft edge.
  private static let edge = 8

  /// The picture.
  static func picture(joints: [Double], targets: [ArmTask.Point]) throws(PI0Error) -> RGBImage {
    let positions = ArmTask.positions(joints)
    let (elbow, tip) = (units(positions.elbow), units(positions.tip))
    let lamps = targets.map(units)
    var pixels: [UInt8] = []
    pixels.reserveCapacity(size * size * 3)
    for row in 0..<size {
      for column in 0..<size {
        let half = unitsPerPixel / 2
        let at = (x: column * unitsPerPixel + half, y: row * unitsPerPixel + half)
        var color = background
        mix(&color, squared(at, base), baseDisc)
        mix(&color, squared(at, from: base, to: elbow), firstBar)
        mix(&color, squared(at, from: elbow, to: tip), secondBar)
        mix(&color, squared(at, tip), tipDisc)
        for (lamp, disc) in zip(lamps, targetDiscs) { mix(&color, squared(at, lamp), disc) }
        pixels += [UInt8(color.0), UInt8(color.1), UInt8(color.2)]
      }
    }
    return try RGBImage(width: size, height: size, pixels: pixels)
  }

  typealias Position = (x: Int, y: Int)

  private static func units(_ point: ArmTask.Point) -> Position {
    (
      base.x + Int((point.x * unitsPerMetre + 0.5).rounded(.down)),
      base.y - Int((point.y * unitsPerMetre + 0.5).rounded(.down))
    )
  }

  /// The squared distance from a point.
  private static func squared(_ at: Position, _ centre: Position) -> Int {
    let (x, y) = (at.x - centre.x, at.y - centre.y)
    return x * x + y * y
  }

  /// The squared distance from a line of some length, rounded down.
  private static func squared(_ at: Position, from start: Position, to end: Position) -> Int {
    let (ux, uy) = (end.x - start.x, end.y - start.y)
    let (px, py) = (at.x - start.x, at.y - start.y)
    let (along, length) = (px * ux + py * uy, max(ux * ux + uy * uy, 1))
    if along <= 0 { return squared(at, start) }
    if along >= length { return squared(at, end) }
    let beside = px * uy - py * ux
    return beside * beside / length
  }

  /// Mixes a color in where the squared distance is less than that of a soft edge.
  private static func mix(_ under: inout Color, _ squared: Int, _ shape: (radius: Int, Color)) {
    let (inner, outer) = (shape.radius - edge, shape.radius + edge)
    let width = outer * outer - inner * inner
    let share = min(max(outer * outer - squared, 0), width) * 256 / width
    let over = shape.1
    under = (
      (under.0 * (256 - share) + over.0 * share) >> 8,
      (under.1 * (256 - share) + over.1 * share) >> 8,
      (under.2 * (256 - share) + over.2 * share) >> 8
    )
  }
}

extension SplitMix64 {
  fileprivate mutating func uniform(in range: Range<Double>) -> Double {
    range.lowerBound + (range.upperBound - range.lowerBound) * uniform()
  }
}
