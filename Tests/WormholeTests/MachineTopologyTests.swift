import Foundation
import XCTest

@testable import Wormhole

/// Nearest cores against the kernel's own lists, and on machines that hwloc is told to imagine.
final class MachineTopologyTests: XCTestCase {
  private func cores(of machine: borrowing MachineTopology, _ pci: String?, node: Int?) -> [Int] {
    machine.cores(nearest: pci.flatMap(PCIAddress.init(rawValue:)), node: node)
  }

  func testPCIDevicesOfThisMachine() throws {
    guard let machine = MachineTopology() else { return XCTFail("hwloc cannot read this machine") }
    let all = cores(of: machine, nil, node: nil)
    XCTAssertFalse(all.isEmpty)
    let directory = "/sys/bus/pci/devices"
    for name in (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? [] {
      let list = try XCTUnwrap(SystemFiles.text(at: "\(directory)/\(name)/local_cpulist"))
      let local = list.split(separator: ",").flatMap { range in
        let ends = range.split(separator: "-").compactMap { Int($0) }
        return Array(ends[0]...ends[ends.count - 1])
      }
      XCTAssertEqual(cores(of: machine, name, node: nil), local.filter(all.contains), name)
    }
  }

  /// Two sockets, an accelerator on the second.
  func testAccelerator() throws {
    let file = NSTemporaryDirectory() + "MachineTopologyTests-\(UUID().uuidString).xml"
    try twoSockets.write(toFile: file, atomically: false, encoding: .utf8)
    defer { unlink(file) }
    setenv("HWLOC_XMLFILE", file, 1)
    defer { unsetenv("HWLOC_XMLFILE") }
    guard let machine = MachineTopology() else { return XCTFail("hwloc cannot read the file") }
    XCTAssertEqual(cores(of: machine, "0002:c1:00.0", node: nil), [2, 3])
    XCTAssertEqual(cores(of: machine, "0002:c1:00.0", node: 0), [2, 3], "the device decides")
    XCTAssertEqual(cores(of: machine, "0000:c1:00.0", node: 0), [0, 1], "another domain")
    XCTAssertEqual(cores(of: machine, "0002:c1:00.1", node: nil), [0, 1, 2, 3], "unknown")
  }

  func testNodes() {
    setenv("HWLOC_SYNTHETIC", "node:2 core:2 pu:2", 1)
    defer { unsetenv("HWLOC_SYNTHETIC") }
    guard let machine = MachineTopology() else { return XCTFail("hwloc cannot imagine this") }
    XCTAssertEqual(cores(of: machine, nil, node: 0), [0, 1, 2, 3])
    XCTAssertEqual(cores(of: machine, nil, node: 1), [4, 5, 6, 7])
    for node in [nil, 2, -1, Int.max] {
      XCTAssertEqual(cores(of: machine, nil, node: node), Array(0...7))
    }
  }

  func testOneProcessorACore() {
    setenv("HWLOC_SYNTHETIC", "node:2 core:2 pu:2", 1)
    defer { unsetenv("HWLOC_SYNTHETIC") }
    guard let machine = MachineTopology() else { return XCTFail("hwloc cannot imagine this") }
    XCTAssertEqual(machine.performanceCores, [0, 2, 4, 6])
  }

  func testCoresThatSavePowerAreLeftOut() throws {
    let slow = [
      #"<info name="CoreType" value="IntelAtom"/>"#,
      #"<info name="FrequencyMaxMHz" value="2000"/>"#, #"<info name="LinuxCapacity" value="400"/>"#,
    ]
    let fast = [
      #"<info name="CoreType" value="IntelCore"/>"#,
      #"<info name="FrequencyMaxMHz" value="3000"/>"#,
      #"<info name="LinuxCapacity" value="1024"/>"#,
    ]
    for (slow, fast) in zip(slow, fast) {
      let kinds = """
        <cpukind cpuset="0xc">\(slow)</cpukind><cpukind cpuset="0x3">\(fast)</cpukind></topology>
        """
      let file = NSTemporaryDirectory() + "MachineTopologyTests-\(UUID().uuidString).xml"
      try twoSockets.replacingOccurrences(of: "</topology>", with: kinds)
        .write(toFile: file, atomically: false, encoding: .utf8)
      defer { unlink(file) }
      setenv("HWLOC_XMLFILE", file, 1)
      defer { unsetenv("HWLOC_XMLFILE") }
      guard let machine = MachineTopology() else { return XCTFail("hwloc cannot read the file") }
      XCTAssertEqual(machine.performanceCores, [0, 1], slow)
    }
  }

  private let twoSockets = """
    <?xml version="1.0" encoding="UTF-8"?>
    <topology version="2.0">
      <object type="Machine" os_index="0" gp_index="1" cpuset="0xf" complete_cpuset="0xf"
        allowed_cpuset="0xf" nodeset="0x3" complete_nodeset="0x3" allowed_nodeset="0x3">
        <object type="Package" os_index="0" gp_index="2" cpuset="0x3" complete_cpuset="0x3"
          nodeset="0x1" complete_nodeset="0x1">
          <object type="NUMANode" os_index="0" gp_index="3" cpuset="0x3" complete_cpuset="0x3"
            nodeset="0x1" complete_nodeset="0x1"/>
          <object type="PU" os_index="0" gp_index="4" cpuset="0x1" complete_cpuset="0x1"
            nodeset="0x1" complete_nodeset="0x1"/>
          <object type="PU" os_index="1" gp_index="5" cpuset="0x2" complete_cpuset="0x2"
            nodeset="0x1" complete_nodeset="0x1"/>
        </object>
        <object type="Package" os_index="1" gp_index="6" cpuset="0xc" complete_cpuset="0xc"
          nodeset="0x2" complete_nodeset="0x2">
          <object type="NUMANode" os_index="1" gp_index="7" cpuset="0xc" complete_cpuset="0xc"
            nodeset="0x2" complete_nodeset="0x2"/>
          <object type="PU" os_index="2" gp_index="8" cpuset="0x4" complete_cpuset="0x4"
            nodeset="0x2" complete_nodeset="0x2"/>
          <object type="PU" os_index="3" gp_index="9" cpuset="0x8" complete_cpuset="0x8"
            nodeset="0x2" complete_nodeset="0x2"/>
          <object type="PCIDev" gp_index="10" pci_busid="0002:c1:00.0"
            pci_type="1200 [1e52:401e] [1e52:0018] 01" pci_link_speed="0"/>
        </object>
      </object>
    </topology>
    """
}
