/// Where a policy's tensors live and its operations run.
public struct Device: Sendable {
  /// The name used on the command line.
  public let name: String
  let backend: any Backend

  /// The plainest code that equals PyTorch: float32 values, loops to check against the formula.
  public static let reference = Device(name: "reference", backend: ReferenceBackend())

  /// The processor at its limit, with as many threads as it has fast cores.
  public static let cpu = Device(name: "cpu", backend: CPUBackend())

  /// The same with a number of threads, at least one, the caller's included. Each such device has
  /// threads and packed weights of its own: make it once.
  public static func cpu(threads: Int) -> Device {
    Device(name: "cpu", backend: CPUBackend(threads: threads))
  }

  /// Every device that this machine can run a policy on.
  public static var available: [Device] { [reference, cpu] }

  /// Where transformers run of a policy on this device: here, or on the CPU.
  var forTransformers: Device { backend.runsTransformers ? self : .reference }

  private init(name: String, backend: any Backend) {
    self.name = name
    self.backend = backend
  }

  /// The device of that name.
  ///
  /// - Throws: ``PI0Error/device(_:)`` that lists the names there are.
  public init(named name: String) throws(PI0Error) {
    guard let device = Self.available.first(where: { $0.name == name }) else {
      let names = Self.available.map(\.name).joined(separator: ", ")
      throw .device("no device is called \"\(name)\"; choose one of: \(names)")
    }
    self = device
  }
}

extension Device: Equatable, CustomStringConvertible {
  /// Devices are the same where their names are.
  public static func == (left: Device, right: Device) -> Bool { left.name == right.name }

  /// The device's name.
  public var description: String { name }
}
