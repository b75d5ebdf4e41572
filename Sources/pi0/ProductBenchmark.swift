import CMicroKernels
import PI0Kit

/// Matrix products of the policy's largest layers on the `cpu` device, against what the processor
/// can do at most.
struct ProductBenchmark {
  /// `[rows, inputs] x [outputs, inputs]ᵀ` with bfloat16 weights.
  struct Size {
    let rows: Int
    let inputs: Int
    let outputs: Int

    var operations: Double { 2 * Double(rows) * Double(inputs) * Double(outputs) }
    var name: String { "product [\(rows), \(inputs)] x [\(inputs), \(outputs)]" }
  }

  /// The language model's MLP with three cameras, and the action expert's.
  static let sizes = [
    Size(rows: 816, inputs: 2048, outputs: 16_384), Size(rows: 51, inputs: 1024, outputs: 4096),
    Size(rows: 51, inputs: 4096, outputs: 1024),
  ]

  let size: Size
  private let x: Tensor
  private let weight: Tensor

  init(_ size: Size, on device: Device) throws {
    self.size = size
    x = try Tensor.normal([size.rows, size.inputs], seed: 1, device: device)
    // A few rows over and over: what is multiplied does not matter to the time.
    let different = 64
    weight = try Tensor.normal([different, size.inputs], seed: 2, device: device)
      .converted(to: .bfloat16).repeated([size.outputs / different, 1])
  }

  func run() throws { _ = try x.linear(weight: weight) }

  /// Floating-point operations a second of a loop that does nothing but multiply and add in
  /// registers, on one thread; the best of some runs.
  static func peak() -> Double {
    let instructions = [MK_AVX512, MK_AVX2].first { mk_supports($0) } ?? MK_PORTABLE
    let clock = ContinuousClock()
    var best = 0.0
    for _ in 0..<20 {
      let start = clock.now
      let operations = mk_multiply_add_peak(instructions, 400_000)
      best = max(best, operations / (clock.now - start).seconds)
    }
    return best
  }
}
