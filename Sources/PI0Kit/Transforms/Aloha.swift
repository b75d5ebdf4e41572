import Glibc

/// Joints of an arm that turn the other way in the model: state and actions times -1.
public struct FlipJoints: Transform, Equatable {
  /// Which values are flipped.
  public var joints: Set<Int>

  /// Flips the given values.
  public init(_ joints: Set<Int>) { self.joints = joints }

  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    var result = observation
    result.state = flipped(observation.state[...])
    return result
  }

  public func inverse(
    _ actions: ActionChunk, for observation: RobotObservation
  ) throws(PI0Error) -> ActionChunk {
    try actions.mapActions(flipped)
  }

  private func flipped(_ values: ArraySlice<Double>) -> [Double] {
    values.enumerated().map { joints.contains($0.offset) ? -$0.element : $0.element }
  }
}

/// The grippers of an ALOHA robot in the space that pi0 was pretrained in.
///
/// In: ALOHA gives a gripper's linear position, 0...1 between 0.01844 m and 0.05800 m; the model
/// wants its angle, 0...1 between 0.5476 rad and 1.6296 rad. The angle follows from the linkage, an
/// arm of 36 mm on a horn of 22 mm: `asin((h² + x² - a²) / (2 h x))`.
/// Out: the model's value plus 0.5476 is the angle; the robot wants it 0...1 between -0.6213 rad
/// and 1.4910 rad.
///
/// Source: `_gripper_to_angular`, `_gripper_from_angular` in openpi's `aloha_policy.py`.
public struct AlohaGrippers: Transform, Equatable {
  /// Which values are grippers.
  public var grippers: Set<Int>

  /// Grippers at the given places; an ALOHA's are at 6 and 13.
  public init(_ grippers: Set<Int> = [6, 13]) { self.grippers = grippers }

  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    var result = observation
    for index in grippers where observation.state.indices.contains(index) {
      result.state[index] = Self.angular(observation.state[index])
    }
    return result
  }

  public func inverse(
    _ actions: ActionChunk, for observation: RobotObservation
  ) throws(PI0Error) -> ActionChunk {
    try actions.mapActions { action in
      action.enumerated().map { index, value in
        grippers.contains(index)
          ? (value + Self.angles.lowerBound - -0.6213) / (1.4910 - -0.6213) : value
      }
    }
  }

  private static let angles = 0.5476...1.6296

  private static func angular(_ value: Double) -> Double {
    let (arm, horn) = (0.036, 0.022)
    let position = value * (0.05800 - 0.01844) + 0.01844
    let sine = (horn * horn + position * position - arm * arm) / (2 * horn * position)
    let angle = asin(min(max(sine, -1), 1))
    return (angle - angles.lowerBound) / (angles.upperBound - angles.lowerBound)
  }
}
