/// How far a tensor is from the expected one. Three figures, because each alone is blind to
/// something: correlation to scale and offset, maximum error to what is usual, RMS to outliers.
public struct Comparison: Sendable, Equatable, Codable {
  /// Pearson's correlation of all elements: 1 where all are equal, 0 where only one side varies.
  public let pcc: Double
  /// The largest absolute difference. Infinite where only one side is NaN, or infinities differ.
  public let maximumError: Double
  /// `|actual - expected| / |expected|` in the 2-norm; infinite where only the denominator is 0.
  public let relativeRMS: Double
  /// Elements compared.
  public let count: Int

  /// Compares element by element. Pairs of NaN and pairs of the same infinity are equal.
  ///
  /// - Throws: ``PI0Error/operation(_:reason:operands:)`` where the counts differ.
  public init(actual: [Float], expected: [Float]) throws(PI0Error) {
    guard actual.count == expected.count else {
      throw .operation(
        "comparison", reason: "unlike numbers of elements",
        operands: ["actual: \(actual.count)", "expected: \(expected.count)"])
    }
    var (maximum, squaredError, squaredExpected) = (0.0, 0.0, 0.0)
    var pairs: [(Double, Double)] = []
    for (a, e) in zip(actual, expected) where a != e && !(a.isNaN && e.isNaN) {
      let difference = abs(Double(a) - Double(e))
      maximum = max(maximum, difference.isNaN ? .infinity : difference)
    }
    for (a, e) in zip(actual, expected) where a.isFinite && e.isFinite {
      pairs.append((Double(a), Double(e)))
      squaredError += (Double(a) - Double(e)) * (Double(a) - Double(e))
      squaredExpected += Double(e) * Double(e)
    }
    pcc = squaredError == 0 ? 1 : Self.correlation(pairs)
    maximumError = maximum
    relativeRMS = squaredError == 0 ? 0 : (squaredError / squaredExpected).squareRoot()
    count = actual.count
  }

  private static func correlation(_ pairs: [(Double, Double)]) -> Double {
    let n = Double(max(pairs.count, 1))
    let meanA = pairs.reduce(0) { $0 + $1.0 } / n
    let meanE = pairs.reduce(0) { $0 + $1.1 } / n
    var (covariance, varianceA, varianceE) = (0.0, 0.0, 0.0)
    for (a, e) in pairs {
      covariance += (a - meanA) * (e - meanE)
      varianceA += (a - meanA) * (a - meanA)
      varianceE += (e - meanE) * (e - meanE)
    }
    if varianceA == 0 || varianceE == 0 { return varianceA == varianceE ? 1 : 0 }
    return covariance / (varianceA.squareRoot() * varianceE.squareRoot())
  }
}

/// What a comparison must reach.
public struct Tolerance: Sendable, Equatable {
  /// The least correlation.
  public let pcc: Double
  /// The largest absolute error.
  public let maximumError: Double
  /// The largest relative RMS.
  public let relativeRMS: Double

  /// A tolerance of the given limits.
  public init(pcc: Double, maximumError: Double, relativeRMS: Double) {
    self.pcc = pcc
    self.maximumError = maximumError
    self.relativeRMS = relativeRMS
  }

  /// Every element equal: masks, positions, pixels.
  public static let exact = Tolerance(pcc: 1, maximumError: 0, relativeRMS: 0)
  /// float32 against float32 over a whole model.
  public static let float32 = Tolerance(pcc: 0.999999, maximumError: 2e-5, relativeRMS: 1e-5)
  /// float32 against an embedder on a device that rounds to bfloat16 between operations.
  public static let bfloat16 = Tolerance(pcc: 0.9999, maximumError: 0.1, relativeRMS: 0.01)
  /// The same with weights of 8 bits.
  public static let bfp8 = Tolerance(pcc: 0.9995, maximumError: 0.1, relativeRMS: 0.03)
  /// float32 against a whole policy that rounds to bfloat16 between operations. Values are about 1; the maximum
  /// is eight times what the RMS may be.
  public static let bfloat16Policy = Tolerance(pcc: 0.999, maximumError: 0.24, relativeRMS: 0.03)
  /// The same with weights of 8 bits.
  public static let bfp8Policy = Tolerance(pcc: 0.995, maximumError: 0.5, relativeRMS: 0.1)
  /// float32 against float32 where there is one rounding.
  public static let rounding = Tolerance(pcc: 0.999999, maximumError: 1e-6, relativeRMS: 1e-6)

  /// Whether a comparison is within all three limits. NaN is not.
  public func admits(_ comparison: Comparison) -> Bool {
    comparison.pcc >= pcc && comparison.maximumError <= maximumError
      && comparison.relativeRMS <= relativeRMS
  }
}
