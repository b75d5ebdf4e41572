/// What a card says of its state. Each value is nil where it cannot be read.
public struct CardTelemetry: Hashable, Sendable, Codable, CustomStringConvertible {
  /// The version of the firmware bundle, such as `19.4.0.0`.
  public var firmware: String?

  /// The clock of the tiles in MHz; it falls when they are idle.
  public var aiClock: Int?

  /// The temperature of the chip in °C.
  public var temperature: Double?

  /// The power that the chip draws, in W.
  public var power: Double?

  init() {}

  /// From the driver's sysfs directory of a card, `/sys/class/tenstorrent/tenstorrent!N`.
  init(attributes: String) {
    firmware = SystemFiles.text(at: "\(attributes)/tt_fw_bundle_ver")
    aiClock = SystemFiles.text(at: "\(attributes)/tt_aiclk").flatMap { Int($0) }
    let monitors = "\(attributes)/device/hwmon"
    for name in ((try? SystemFiles.names(in: monitors)) ?? []).sorted()
    where name.hasPrefix("hwmon") {
      // In thousandths of a degree, and in millionths of a watt.
      let temperature = SystemFiles.text(at: "\(monitors)/\(name)/temp1_input")
      let power = SystemFiles.text(at: "\(monitors)/\(name)/power1_input")
      self.temperature =
        self.temperature ?? temperature.flatMap { Int($0) }.map { Double($0) / 1e3 }
      self.power = self.power ?? power.flatMap { Int($0) }.map { Double($0) / 1e6 }
    }
  }

  /// `firmware 19.4.0.0, 1000 MHz, 45 °C, 22 W`, of that what is known.
  public var description: String {
    var parts: [String] = []
    if let firmware { parts.append("firmware \(firmware)") }
    if let aiClock { parts.append("\(aiClock) MHz") }
    if let temperature { parts.append("\(Self.rounded(temperature)) °C") }
    if let power { parts.append("\(Self.rounded(power)) W") }
    return parts.joined(separator: ", ")
  }

  /// Without a decimal point. A value far out of range stays as it is.
  private static func rounded(_ value: Double) -> String {
    Int(exactly: value.rounded()).map { "\($0)" } ?? "\(value)"
  }
}
