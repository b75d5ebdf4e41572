internal import CTTDevice

/// The processors of this machine and what they are near to, as hwloc sees them.
struct MachineTopology: ~Copyable {
  private let topology: OpaquePointer

  /// Reads the machine, some milliseconds; nil where hwloc cannot.
  init?() {
    var opened: OpaquePointer?
    guard tt_topology_open(&opened) == 0, let opened else { return nil }
    topology = opened
  }

  deinit { tt_topology_close(topology) }

  /// The kernel's CPU numbers nearest to a PCI device; where hwloc does not know it, those of the
  /// NUMA node; where that is unknown too, all that this process may use.
  func cores(nearest address: PCIAddress?, node: Int?) -> [Int] {
    if let address {
      let cores = list {
        tt_cpus_near_pci_device(
          topology, address.domain, UInt32(address.bus), UInt32(address.device),
          UInt32(address.function), $0, $1)
      }
      if !cores.isEmpty { return cores }
    }
    if let node = node.flatMap({ UInt32(exactly: $0) }) {
      let cores = list { tt_cpus_of_node(topology, node, $0, $1) }
      if !cores.isEmpty { return cores }
    }
    return list { tt_all_cpus(topology, $0, $1) }
  }

  /// One processor a core that the calling thread may run on, of the fast cores where there are
  /// several kinds.
  var performanceCores: [Int] { list { tt_performance_cpus(topology, $0, $1) } }

  /// Binds the calling thread to `cores`; 0 or `-errno`.
  func bindThread(to cores: [Int]) -> Int32 {
    let cores = cores.compactMap { UInt32(exactly: $0) }
    return tt_bind_thread(topology, cores, UInt32(cores.count))
  }

  /// The cores that the calling thread is bound to.
  var coresOfThread: [Int] { list { tt_bound_cpus(topology, $0, $1) } }

  private func list(_ fill: (UnsafeMutablePointer<UInt32>, UInt32) -> Int32) -> [Int] {
    var cores = [UInt32](repeating: 0, count: 8192)  // Linux's own limit
    let count = fill(&cores, UInt32(cores.count))
    return cores.prefix(max(0, Int(count))).map { Int($0) }
  }
}

/// One processor a core that the calling thread may run on, of the fast cores where there are several
/// kinds; empty where that cannot be told.
public func performanceCores() -> [Int] { MachineTopology()?.performanceCores ?? [] }
