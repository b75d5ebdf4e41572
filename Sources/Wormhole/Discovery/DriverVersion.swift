internal import CTTDevice

/// The version of the kernel driver (tt-kmd). Its text is `major.minor.patch`.
public struct DriverVersion:
  RawRepresentable, Hashable, Comparable, Sendable, Codable, CustomStringConvertible
{
  /// What the card needs: windows, pins and NoC addresses as of 2.0.
  public static let minimum = DriverVersion(major: 2, minor: 0, patch: 0)

  /// What to install. Over the minimum it has the write that stops the card when a process dies
  /// (2.2) and power states (2.6).
  public static let recommended = DriverVersion(major: 2, minor: 6, patch: 0)

  /// The first number.
  public var major: Int

  /// The second number.
  public var minor: Int

  /// The third number, 0 where there is none.
  public var patch: Int

  /// The version of these three numbers.
  public init(major: Int, minor: Int, patch: Int) {
    self.major = major
    self.minor = minor
    self.patch = patch
  }

  init(_ info: tt_driver_info) {
    self.init(major: Int(info.major), minor: Int(info.minor), patch: Int(info.patch))
  }

  /// The version that `rawValue` spells, such as `1.29` or `2.10.1-pre`, whose suffix is dropped;
  /// nil where it spells none.
  public init?(rawValue: String) {
    let digits = rawValue.prefix { $0 == "." || ("0"..."9").contains($0) }
    let parts = digits.split(separator: ".", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { Int($0) }
    guard (2...3).contains(parts.count), numbers.count == parts.count else { return nil }
    self.init(major: numbers[0], minor: numbers[1], patch: numbers.count > 2 ? numbers[2] : 0)
  }

  /// Whether the card can be used with this driver: ``minimum`` or later.
  public var isSupported: Bool { self >= .minimum }

  /// Whether it is ``recommended`` or later.
  public var isRecommended: Bool { self >= .recommended }

  /// `major.minor.patch`.
  public var rawValue: String { "\(major).\(minor).\(patch)" }

  /// The same as ``rawValue``.
  public var description: String { rawValue }

  /// By major, then minor, then patch.
  public static func < (left: DriverVersion, right: DriverVersion) -> Bool {
    (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
  }
}
