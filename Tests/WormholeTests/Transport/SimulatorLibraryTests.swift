import Foundation
import XCTest

@testable import Wormhole

/// What is said of a library that is no simulator of a Wormhole card.
final class SimulatorLibraryTests: XCTestCase {
  func testWrongPathMissingFunctionWrongCard() throws {
    func seen(_ path: String?, line: UInt = #line) -> CardError? {
      var seen: CardError?
      XCTAssertThrowsError(try SimulatorLibrary.load(path), line: line) {
        seen = $0 as? CardError
      }
      return seen
    }
    XCTAssertEqual(seen(nil)?.remedy, "set it to the path of libttsim.so")
    XCTAssertEqual(seen("/nonexistent/libttsim.so")?.call, "dlopen")
    XCTAssertEqual(seen("/etc/passwd")?.call, "dlopen")
    XCTAssertEqual(seen("libm.so.6")?.call, "dlsym")
    XCTAssertEqual(seen("libm.so.6")?.seen, "no function libttsim_clock")

    // A library with all functions that simulates another card.
    let folder = NSTemporaryDirectory() + "SimulatorTransportTests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let source = """
      void libttsim_init() {} void libttsim_exit() {} void libttsim_clock(unsigned n) {}
      void libttsim_set_pci_dma_mem_callbacks(void *r, void *w) {}
      unsigned libttsim_pci_config_rd32(unsigned f, unsigned o) { return o ? 0 : 0xB1401E52; }
      void libttsim_pci_mem_rd_bytes(unsigned long a, void *p, unsigned n) {}
      void libttsim_pci_mem_wr_bytes(unsigned long a, const void *p, unsigned n) {}
      """
    try source.write(toFile: "\(folder)/other.c", atomically: false, encoding: .utf8)
    let compiler = Process()
    compiler.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    compiler.arguments = [
      "clang", "-shared", "-fPIC", "-o", "\(folder)/other.so", "\(folder)/other.c",
    ]
    try compiler.run()
    compiler.waitUntilExit()
    XCTAssertEqual(compiler.terminationStatus, 0)
    let error = try XCTUnwrap(seen("\(folder)/other.so"))
    XCTAssertEqual(error.call, "PCI configuration")
    XCTAssertEqual(error.seen, "0xb1401e52, the simulator of another card")
  }
}
