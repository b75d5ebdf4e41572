/// Actions that the model knows relative to the state: `action += state` on the way out, where the
/// mask says so. One state serves the whole chunk.
///
/// Source: `DeltaActions`, `AbsoluteActions` in openpi's `transforms.py`; lerobot's
/// `RelativeActionsProcessorStep`.
public struct DeltaActions: Transform, Equatable {
  /// Which values are relative. What lies beyond the mask is not.
  public var mask: [Bool]

  /// Actions that are relative where `mask` is true.
  public init(mask: [Bool]) { self.mask = mask }

  /// A mask of runs: 6 stands for six that are relative, -1 for one that is not.
  ///
  /// Source: `make_bool_mask` in openpi's `transforms.py`.
  public init(runs: Int...) {
    mask = runs.flatMap { [Bool](repeating: $0 > 0, count: Int(min($0.magnitude, 1 << 24))) }
  }

  public func inverse(
    _ actions: ActionChunk, for observation: RobotObservation
  ) throws(PI0Error) -> ActionChunk {
    let state = observation.state
    guard mask.count <= state.count, mask.count <= actions.dimension else {
      throw .input(
        "\(mask.count) values of the actions are relative or not to the state's; the state has "
          + "\(state.count), an action \(actions.dimension)")
    }
    return try actions.mapActions { action in
      zip(action, action.indices).map { value, index in
        let place = index - action.startIndex
        return place < mask.count && mask[place] ? value + state[place] : value
      }
    }
  }
}
