import CEmulatorKernels
import Foundation
import XCTest

@testable import WormholeEmulator

/// Random programs on a core, and by QEMU's user-mode emulator: the same registers and memory.
final class RISCVExecutionTests: XCTestCase {
  /// Ten million instructions: as many programs, each of that many rounds of its loop.
  private static let programs = 250
  private static let length = 500
  private static let rounds: UInt32 = 90

  private static var recording: URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("Fixtures/emulator/riscv.txt")
  }

  private func program(_ seed: UInt64) -> RISCVProgram {
    RISCVProgram(seed: seed, length: Self.length, rounds: Self.rounds)
  }

  /// Against what QEMU computed once: `Scripts/record-emulator-vectors riscv`.
  func testTenMillionInstructionsAsRecorded() throws {
    if ProcessInfo.processInfo.environment["PI0KIT_RECORD"] == "riscv" { try record() }
    let records = try String(contentsOf: Self.recording, encoding: .utf8)
      .split(separator: "\n").filter { !$0.hasPrefix("#") }
    XCTAssertEqual(records.count, Self.programs)
    var executed: UInt64 = 0
    for record in records {
      let fields = record.split(separator: " ")
      let seed = try XCTUnwrap(UInt64(fields[0]))
      let run = try execute(program(seed))
      executed += run.instructions
      XCTAssertEqual(hash(run.result), String(fields[1]), "program \(seed)")
    }
    XCTAssertGreaterThanOrEqual(executed, 10_000_000)
  }

  /// Against QEMU here and now, on programs that nobody has seen.
  func testFreshProgramsAsQEMURunsThem() throws {
    let qemu = try qemuPath()
    for _ in 0..<20 {
      let seed = UInt64.random(in: 0 ... .max)
      let program = program(seed)
      let expected = try run(program, by: qemu)
      XCTAssertEqual(hash(try execute(program).result), hash(expected), "program \(seed)")
    }
  }

  // MARK: -

  private func record() throws {
    let qemu = try qemuPath()
    var lines = "# Seed of a program, FNV-1a of what QEMU leaves in its memory and registers.\n"
    for seed in 1...UInt64(Self.programs) {
      lines += "\(seed) \(hash(try run(program(seed), by: qemu)))\n"
    }
    try lines.write(to: Self.recording, atomically: true, encoding: .utf8)
  }

  private func execute(_ program: RISCVProgram) throws -> (result: [UInt8], instructions: UInt64) {
    let l1 = L1()
    l1.write(program.words, at: RISCVProgram.codeAddress)
    l1.write(program.data, at: RISCVProgram.dataAddress)
    let core = RISCVCore(kind: .t0, l1: l1)
    core.reset(to: RISCVProgram.codeAddress)
    // It ends with a system call, which a core does not have.
    XCTAssertThrowsError(try core.run(until: .max, bus: NoBus())) {
      XCTAssertTrue("\($0)".contains("0x00000073"), "\($0)")
    }
    XCTAssertEqual(core.programCounter, program.end)
    let data = UnsafeRawBufferPointer(
      start: l1.memory + Int(RISCVProgram.dataAddress), count: Int(RISCVProgram.dataBytes))
    let ram = withUnsafeBytes(of: &core.core.pointee.ram) {
      Array($0.prefix(Int(RISCVProgram.privateBytes)))
    }
    return (Array(data) + ram, core.instructions)
  }

  private func qemuPath() throws -> String {
    guard
      let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map({ $0 + "/qemu-riscv32" }).first(where: FileManager.default.isExecutableFile)
    else { throw XCTSkip("compares with QEMU: install qemu-user, for qemu-riscv32") }
    return path
  }

  private func run(_ program: RISCVProgram, by qemu: String) throws -> [UInt8] {
    let file = FileManager.default.temporaryDirectory
      .appendingPathComponent("pi0-riscv-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data(program.executable).write(to: file)
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: file.path)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: qemu)
    process.arguments = [file.path]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = pipe.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    XCTAssertEqual(process.terminationStatus, 0)
    XCTAssertEqual(output.count, Int(RISCVProgram.dataBytes + RISCVProgram.privateBytes))
    return Array(output)
  }

  private func hash(_ bytes: [UInt8]) -> String {
    let hash = bytes.withUnsafeBufferPointer { bytes in
      var hash: UInt64 = 0xCBF2_9CE4_8422_2325
      for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      return hash
    }
    return String(hash, radix: 16)
  }
}

extension RISCVProgram {
  /// As a static executable: its code, its data, and private memory.
  var executable: [UInt8] {
    let code = words.flatMap(littleEndian)
    let dataBytes = data.flatMap(littleEndian)
    let headerBytes = 52 + 3 * 32
    func segment(_ offset: Int, _ address: UInt32, _ fileBytes: Int, _ bytes: Int, _ flags: UInt32)
      -> [UInt32]
    {
      [1, UInt32(offset), address, address, UInt32(fileBytes), UInt32(bytes), flags, 4096]
    }
    // File offsets equal to the addresses, modulo a page.
    let codeOffset = 4096
    let dataOffset = codeOffset + (code.count + 4095) / 4096 * 4096
    var file: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 1, 1, 1] + [UInt8](repeating: 0, count: 9)
    file += [2, 0, 243, 0]
    let fields: [UInt32] = [1, RISCVProgram.codeAddress, 52, 0, 0, 52 | 32 << 16, 3, 0]
    file += fields.flatMap(littleEndian)
    file +=
      (segment(codeOffset, RISCVProgram.codeAddress, code.count, code.count, 5)
      + segment(dataOffset, RISCVProgram.dataAddress, dataBytes.count, dataBytes.count, 6)
      + segment(dataOffset, RISCVProgram.privateAddress, 0, 4096, 6)).flatMap(littleEndian)
    file += [UInt8](repeating: 0, count: codeOffset - headerBytes) + code
    return file + [UInt8](repeating: 0, count: dataOffset - file.count) + dataBytes
  }

  private func littleEndian(_ word: UInt32) -> [UInt8] {
    withUnsafeBytes(of: word.littleEndian, Array.init)
  }
}

extension L1 {
  func write(_ words: [UInt32], at address: UInt32) {
    for (index, word) in words.enumerated() {
      memory.storeBytes(of: word, toByteOffset: Int(address) + 4 * index, as: UInt32.self)
    }
    didWrite(address, UInt32(4 * words.count), clock: 0)
  }
}

/// Where there is nothing but L1 and private memory.
final class NoBus: CoreBus {
  func load(_ address: UInt32, size: Int, core: RISCVCore) throws(Violation) -> BusLoad {
    throw Violation("nothing is at \(address.hexadecimal)")
  }
  func store(_ value: UInt32, _ address: UInt32, size: Int, core: RISCVCore) throws(Violation)
    -> Bool
  {
    throw Violation("nothing is at \(address.hexadecimal)")
  }
  func push(_ instruction: UInt32, core: RISCVCore) throws(Violation) -> Bool {
    throw Violation("no coprocessor for \(instruction.hexadecimal)")
  }
}
