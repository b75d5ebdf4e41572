import CMicroKernels
import Glibc

/// The processors that this process may run on.
enum Processors {
  /// One processor a core, of the cores that run about as fast as the fastest; never empty.
  static func cores() -> [Int] {
    let processors = (0..<mk_processor_limit()).filter { mk_may_run_on($0) }
    var seen: Set<String> = []
    let cores = processors.filter { processor in
      let siblings = file(processor, "topology/thread_siblings_list") ?? "\(processor)"
      return seen.insert(siblings).inserted
    }
    // In kHz, where the system tells.
    let speeds = cores.map { Int(file($0, "cpufreq/cpuinfo_max_freq") ?? "") ?? 0 }
    let fastest = speeds.max() ?? 0
    let fast = zip(cores, speeds).filter { $0.1 >= fastest / 4 * 3 }.map(\.0)
    return fast.isEmpty ? [0] : fast
  }

  /// The first line of what the system tells about a processor.
  private static func file(_ processor: Int, _ name: String) -> String? {
    let path = "/sys/devices/system/cpu/cpu\(processor)/\(name)"
    guard let stream = fopen(path, "re") else { return nil }
    defer { fclose(stream) }
    var line = [CChar](repeating: 0, count: 128)
    guard fgets(&line, Int32(line.count), stream) != nil else { return nil }
    let text = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
    return String(decoding: text, as: UTF8.self)
  }
}
