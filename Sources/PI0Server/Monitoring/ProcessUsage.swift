import Glibc

/// What this process holds of the machine, as Linux tells in `/proc/self`.
struct ProcessUsage {
  /// Bytes in physical memory.
  let residentBytes: Int?
  /// Open file descriptors.
  let openDescriptors: Int?
  /// Seconds of processor time.
  let processorSeconds: Double

  init() {
    residentBytes = Self.residentPages().map { $0 * sysconf(Int32(_SC_PAGESIZE)) }
    openDescriptors = Self.descriptors()
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) * 1e-6 }
    processorSeconds = seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  /// The second number of `statm`.
  private static func residentPages() -> Int? {
    guard let file = fopen("/proc/self/statm", "r") else { return nil }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    guard fgets(&line, Int32(line.count), file) != nil else { return nil }
    let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    return text.split(separator: " ").dropFirst().first.flatMap { Int($0) }
  }

  private static func descriptors() -> Int? {
    guard let folder = opendir("/proc/self/fd") else { return nil }
    defer { closedir(folder) }
    var count = -3  // ".", ".." and the folder itself
    while readdir(folder) != nil { count += 1 }
    return count
  }
}
