/// Where a policy's tensors live and its operations run.
public struct Device: Sendable {
  /// The name used on the command line.
  public let name: String
  let backend: any Backend

  /// The plainest code that equals PyTorch: float32 values, loops to check against the formula.
  public static let reference = Device(name: "reference", backend: ReferenceBackend())

  /// The processor at its limit, with as many threads as it has fast cores.
  public static let cpu = Device(name: "cpu", backend: CPUBackend())

  /// The same with a number of threads, 1 to 512, the caller's included; the nearest of these where
  /// it is another. Each such device has threads and packed weights of its own: make it once.
  public static func cpu(threads: Int) -> Device {
    Device(name: "cpu", backend: CPUBackend(threads: threads))
  }

  init(name: String, backend: any Backend) {
    self.name = name
    self.backend = backend
  }

  /// The names that ``init(named:weights:)`` knows.
  public static let names = ["reference", "cpu", "wormhole", "simulator", "emulator"]

  /// The device of that name.
  ///
  /// - Parameters:
  ///   - name: one of ``names``.
  ///   - weights: how weights are kept, where the device is a card.
  /// - Throws: ``PI0Error/device(_:)`` where the device cannot be had, or that lists the names
  ///   there are.
  public init(
    named name: String, weights: CardWeightFormat = .bfp8
  ) throws(PI0Error) {
    switch name {
    case "reference": self = .reference
    case "cpu": self = .cpu
    case "wormhole": self = try .wormhole(weights: weights)
    case "simulator": self = try .simulator(weights: weights)
    case "emulator": self = try .emulator(weights: weights)
    default:
      throw .device(
        "no device is called \"\(name)\"; choose one of: \(Self.names.joined(separator: ", "))")
    }
  }
}

extension Device: Equatable, CustomStringConvertible {
  /// Devices are the same where their names are.
  public static func == (left: Device, right: Device) -> Bool { left.name == right.name }

  /// The device's name.
  public var description: String { name }
}
