/// One step between a robot and the model: forward on the way in, inverse on the way out.
///
/// Transforms are values and compose as a list. Observations go through it from first to last,
/// actions back from last to first:
///
///     robot -> t[0].forward -> t[1].forward -> model -> t[1].inverse -> t[0].inverse -> robot
///
/// Source: `DataTransformFn` in openpi's `transforms.py`, where the two directions are two lists.
public protocol Transform: Sendable {
  /// The observation as the next step takes it.
  ///
  /// - Throws: ``PI0Error/input(_:)`` for an observation that does not fit.
  func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation

  /// The actions as the step before takes them.
  ///
  /// - Parameters:
  ///   - actions: from the step after, or the model.
  ///   - observation: what ``forward(_:)`` was given.
  /// - Throws: ``PI0Error/input(_:)`` for actions that do not fit.
  func inverse(
    _ actions: ActionChunk, for observation: RobotObservation
  ) throws(PI0Error) -> ActionChunk

  /// What this step takes and gives towards the robot, when the step after takes and gives
  /// `modelSide`.
  func robotSide(of modelSide: RobotInterface) -> RobotInterface
}

extension Transform {
  /// The observation unchanged.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    observation
  }

  /// The actions unchanged.
  public func inverse(
    _ actions: ActionChunk, for observation: RobotObservation
  ) throws(PI0Error) -> ActionChunk {
    actions
  }

  /// The same on both sides.
  public func robotSide(of modelSide: RobotInterface) -> RobotInterface { modelSide }
}

/// The names and sizes that a policy, or a step before it, takes and gives.
public struct RobotInterface: Sendable, Equatable {
  /// Cameras that may have a frame.
  public var cameras: [String]
  /// Values of the state; nil where any number up to the model's action dimension will do.
  public var stateDimension: Int?
  /// Values of an action.
  public var actionDimension: Int

  /// An interface of the given names and sizes.
  public init(cameras: [String], stateDimension: Int? = nil, actionDimension: Int) {
    self.cameras = cameras
    self.stateDimension = stateDimension
    self.actionDimension = actionDimension
  }
}
