import Foundation
import XCTest

@testable import Wormhole

/// Tests of the device path; a class shares a card on each device.
class DeviceTestCase: SimulatedDeviceTestCase {
  nonisolated(unsafe) private static var shared: (card: Card, device: SimulatedDevice)?

  override class func tearDown() {
    closeShared()
    super.tearDown()
  }

  static func closeShared() {
    shared?.card.close()
    shared = nil
  }

  static func openTransport() throws -> SimulatedTransport { try device.open() }

  func card() throws -> Card {
    if let (card, device) = Self.shared, device == Self.device, card.isUsable { return card }
    Self.closeShared()
    let card = try Card(transport: Self.openTransport())
    Self.shared = (card, Self.device)
    return card
  }

  /// Another card than the shared one, for `body` alone.
  func withCard(
    tiles: (([TileCoordinate]) -> [TileCoordinate])? = nil, _ body: (Card) throws -> Void
  ) throws {
    Self.closeShared()
    let transport = try Self.openTransport()
    let card = try Card(transport: transport, tiles: tiles?(transport.layout.tiles))
    defer { card.close() }
    try body(card)
  }
}

/// Seeded values that bfloat16 holds exactly.
struct Values {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> Float {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Float(state >> 40) / Float(1 << 24) - 0.5
  }
  /// Uniform in -scale ... scale.
  mutating func array(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in TileCodec.float(TileCodec.bfloat16(next() * 2 * scale)) }
  }
}

extension Card {
  func matrix(
    _ values: [Float], rows: Int, columns: Int, _ format: TileFormat = .bfloat16
  ) throws -> Matrix {
    let matrix = try allocate(rows: rows, columns: columns, format: format)
    try upload(values, to: matrix)
    return matrix
  }

  /// Runs what `record` records, and frees the list.
  @discardableResult
  func run(_ record: (inout CommandBuilder) throws -> Void) throws -> RunReport {
    var builder = CommandBuilder(for: self)
    try record(&builder)
    let list = try load(builder)
    defer { free(list) }
    return try run(list, deadline: .seconds(120))
  }
}

/// a [rows, inner] times b [inner, columns], summed in float64.
func product(_ a: [Float], _ b: [Float], rows: Int, inner: Int, columns: Int) -> [Float] {
  var out = [Float](repeating: 0, count: rows * columns)
  var sums = [Double](repeating: 0, count: columns)
  a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      for row in 0..<rows {
        for column in 0..<columns { sums[column] = 0 }
        for k in 0..<inner {
          let value = Double(a[row * inner + k])
          for column in 0..<columns { sums[column] += value * Double(b[k * columns + column]) }
        }
        for column in 0..<columns { out[row * columns + column] = Float(sums[column]) }
      }
    }
  }
  return out
}

func silu(_ x: Float) -> Float { x / (1 + exp(-x)) }
func gelu(_ x: Float) -> Float {
  let x = Double(x)
  return Float(0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))))
}

/// Relative RMS and correlation, each against its limit.
func assertClose(
  _ got: [Float], _ want: [Float], rms limit: Double, pcc least: Double = 0.99999,
  _ what: String = "", file: StaticString = #filePath, line: UInt = #line
) {
  guard got.count == want.count, !want.isEmpty else {
    XCTFail("\(what): \(got.count) values, not \(want.count)", file: file, line: line)
    return
  }
  let n = Double(want.count)
  var error = 0.0, power = 0.0
  var sumG = 0.0, sumW = 0.0, sumGG = 0.0, sumWW = 0.0, sumGW = 0.0
  for (g, w) in zip(got, want) {
    let g = Double(g), w = Double(w)
    error += (g - w) * (g - w)
    power += w * w
    sumG += g
    sumW += w
    sumGG += g * g
    sumWW += w * w
    sumGW += g * w
  }
  let rms = (error / power).squareRoot()
  let pcc =
    (sumGW - sumG * sumW / n)
    / ((sumGG - sumG * sumG / n) * (sumWW - sumW * sumW / n)).squareRoot()
  let firsts = zip(got, want).prefix(4).map { "\($0) for \($1)" }.joined(separator: ", ")
  XCTAssertLessThanOrEqual(rms, limit, "\(what): relative RMS; \(firsts)", file: file, line: line)
  if want.count > 1 {
    XCTAssertGreaterThanOrEqual(pcc, least, "\(what): PCC; \(firsts)", file: file, line: line)
  }
}
