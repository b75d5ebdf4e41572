/// Actions for some steps to come, `[horizon, dimension]`, in the robot's units and order.
public struct ActionChunk: Sendable, Equatable {
  /// Steps.
  public let horizon: Int
  /// Values of an action.
  public let dimension: Int
  /// `horizon * dimension` values, step by step.
  public private(set) var values: [Double]

  /// A chunk of the given values.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where `values` does not hold `horizon * dimension`.
  public init(horizon: Int, dimension: Int, values: [Double]) throws(PI0Error) {
    guard horizon >= 0, dimension >= 0,
      Shape.elementCount([horizon, dimension]) == values.count
    else {
      throw .input(
        "\(values.count) values are no chunk of \(horizon) actions of \(dimension) dimensions")
    }
    self.horizon = horizon
    self.dimension = dimension
    self.values = values
  }

  /// The action of a step, `dimension` values; empty where there is no such step.
  public subscript(step: Int) -> ArraySlice<Double> {
    guard (0..<horizon).contains(step) else { return [] }
    return values[step * dimension..<(step + 1) * dimension]
  }

  /// The same chunk with each action changed by `change`, which gets the values of one action and
  /// leaves as many for each.
  func mapActions(
    dimension: Int? = nil, _ change: (ArraySlice<Double>) throws(PI0Error) -> [Double]
  ) throws(PI0Error) -> ActionChunk {
    var values: [Double] = []
    let dimension = dimension ?? self.dimension
    values.reserveCapacity(horizon * dimension)
    for step in 0..<horizon { values += try change(self[step]) }
    return try ActionChunk(horizon: horizon, dimension: dimension, values: values)
  }
}
