/// Where a device sits on the PCI bus. Its text, as Linux writes it, is `dddd:bb:dd.f`.
public struct PCIAddress: RawRepresentable, Hashable, Sendable, Codable, CustomStringConvertible {
  /// The PCI domain (segment), 0 on most machines.
  public var domain: UInt32

  /// The bus.
  public var bus: UInt8

  /// The device on its bus, 0 to 31.
  public var device: UInt8

  /// The function of its device, 0 to 7.
  public var function: UInt8

  /// The address from a domain and `bus << 8 | device << 3 | function`.
  public init(domain: UInt16, busDeviceFunction: UInt16) {
    self.domain = UInt32(domain)
    bus = UInt8(truncatingIfNeeded: busDeviceFunction >> 8)
    device = UInt8(truncatingIfNeeded: busDeviceFunction >> 3) & 0x1F
    function = UInt8(truncatingIfNeeded: busDeviceFunction) & 0x7
  }

  /// The address that `rawValue` spells, such as `0000:01:00.0`; nil where it spells none.
  public init?(rawValue: String) {
    let parts = rawValue.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 3 else { return nil }
    let last = parts[2].split(separator: ".", omittingEmptySubsequences: false)
    guard last.count == 2,
      let domain = UInt32(parts[0], radix: 16), let bus = UInt8(parts[1], radix: 16),
      let device = UInt8(last[0], radix: 16), let function = UInt8(last[1], radix: 16),
      device < 32, function < 8
    else { return nil }
    self.domain = domain
    self.bus = bus
    self.device = device
    self.function = function
  }

  /// `dddd:bb:dd.f`, hexadecimal.
  public var rawValue: String {
    "\(hexadecimal(domain, digits: 4)):\(hexadecimal(bus, digits: 2)):"
      + "\(hexadecimal(device, digits: 2)).\(hexadecimal(function, digits: 1))"
  }

  /// The same as ``rawValue``.
  public var description: String { rawValue }
}

/// `value` in hexadecimal, with zeros in front up to `digits`.
func hexadecimal(_ value: some FixedWidthInteger, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
