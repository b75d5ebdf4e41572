/// Checks the number of values of the state on the way in.
public struct ExpectState: Transform, Equatable {
  /// Values that the state must have.
  public var count: Int

  /// A check for `count` values.
  public init(_ count: Int) { self.count = count }

  /// The observation unchanged.
  ///
  /// - Throws: ``PI0Error/input(_:)`` for a state of another length.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    guard observation.state.count == count else {
      throw .input(
        "the state has \(observation.state.count) values; the policy was trained with \(count)")
    }
    return observation
  }

  /// The robot gives as many values as are expected.
  public func robotSide(of modelSide: RobotInterface) -> RobotInterface {
    var result = modelSide
    result.stateDimension = count
    return result
  }
}

/// Pads the state with zeros on the way in. The model's own padding is at the end anyway; this one
/// is for what stands between, such as a prompt that holds the padded state.
///
/// Source: `PadStatesAndActions` in openpi's `transforms.py`.
public struct PadState: Transform, Equatable {
  /// Values that the state has at least, after.
  public var count: Int

  /// Padding to `count` values.
  public init(_ count: Int) { self.count = count }

  /// The observation with its state padded.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    var result = observation
    let missing = count - result.state.count
    if missing > 0 { result.state += [Double](repeating: 0, count: missing) }
    return result
  }

  /// The robot may give any number of values up to the padded one.
  public func robotSide(of modelSide: RobotInterface) -> RobotInterface {
    var result = modelSide
    result.stateDimension = nil
    return result
  }
}

/// Takes the padding off the actions on the way out: the first values of each remain.
public struct KeepActions: Transform, Equatable {
  /// Values of an action that remain.
  public var count: Int

  /// Keeps `count` values.
  public init(_ count: Int) { self.count = count }

  /// The first values of each action.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where an action has fewer.
  public func inverse(
    _ actions: ActionChunk, for observation: RobotObservation
  ) throws(PI0Error) -> ActionChunk {
    guard count >= 0, count <= actions.dimension else {
      throw .input("actions have \(actions.dimension) values, of which \(count) are to be kept")
    }
    return try actions.mapActions(dimension: count) { Array($0.prefix(count)) }
  }

  /// The robot gets the values that are kept.
  public func robotSide(of modelSide: RobotInterface) -> RobotInterface {
    var result = modelSide
    result.actionDimension = min(max(count, 0), modelSide.actionDimension)
    return result
  }
}
