import XCTest

@testable import PI0Kit

/// The PCC suite: every stage of the golden sets that come with the package.
final class ValidationTests: XCTestCase {
  func testEveryStageOfTheGoldenSets() throws {
    try checkEveryStage(on: .reference)
    try checkEveryStage(on: .cpu)
  }

  private func checkEveryStage(on device: Device) throws {
    let rows = try Validation(fixtures: Fixtures.path("golden"), on: device).run()
    for row in rows {
      XCTAssertNotEqual(row.verdict, .fail, describe(row))
      XCTAssertNotEqual(row.verdict, .skipped, describe(row))
    }
    XCTAssertEqual(Set(rows.map(\.set)), ["pi0", "pi05", "suffix_full"])
    // Every tensor of the files but the inputs has its row.
    for name in ["pi0", "pi05", "suffix_full"] {
      let keys = try Fixtures.safetensors("golden/\(name).io.safetensors").entries.keys
        .filter { !$0.hasPrefix("in.") && $0 != "sin.t" && $0 != "resize.in_u8" }
      XCTAssertEqual(Set(rows.filter { $0.set == name }.map(\.stage)), Set(keys))
    }
    report(rows, device)
  }

  /// A suite that cannot fail proves nothing: one weight changed, and the stages after it fall.
  func testAWrongWeightIsFound() throws {
    let folder = try TemporaryFolder(for: self)
    for half in ["weights", "io"] {
      try FileManager.default.copyItem(
        atPath: Fixtures.path("golden/pi0.\(half).safetensors"),
        toPath: folder.path("pi0.\(half).safetensors"))
    }
    let weights = folder.path("pi0.weights.safetensors")
    let key = "paligemma_with_expert.gemma_expert.model.layers.1.self_attn.o_proj.weight"
    let range = try XCTUnwrap(SafetensorsFile(path: weights).entries[key]).byteRange
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: weights))
    try handle.seek(toOffset: UInt64(range.lowerBound))
    try handle.write(contentsOf: Data(count: 64))
    try handle.close()

    let rows = try Validation(fixtures: folder.path("")).run()
    func verdict(_ stage: String) -> Validation.Row.Verdict? {
      rows.first { $0.stage == stage }?.verdict
    }
    XCTAssertEqual(verdict("expert.layer0"), .pass)
    XCTAssertEqual(verdict("expert.layer1"), .fail)
    XCTAssertEqual(verdict("out.actions"), .fail)
  }

  func testFoldersThatHoldNoPair() throws {
    let folder = try TemporaryFolder(for: self)
    XCTAssertThrowsError(try Validation(fixtures: folder.path("absent")))
    XCTAssertThrowsError(try Validation(fixtures: folder.path("")))
    try folder.write("a.io.safetensors", Data())
    XCTAssertThrowsError(try Validation(fixtures: folder.path(""))) { error in
      XCTAssertTrue("\(error)".contains("a.weights.safetensors"), "\(error)")
    }
  }

  private func describe(_ row: Validation.Row) -> String {
    let figures = row.comparison.map {
      "PCC \($0.pcc), maximum error \($0.maximumError), relative RMS \($0.relativeRMS)"
    }
    return "\(row.set) \(row.stage) \(row.shape): \(row.verdict) \(figures ?? "") \(row.note)"
  }

  private func report(_ rows: [Validation.Row], _ device: Device) {
    let judged = rows.filter { $0.verdict == .pass || $0.verdict == .fail }.compactMap(\.comparison)
    let pcc = judged.map(\.pcc).min() ?? 0
    let error = judged.map(\.maximumError).max() ?? 0
    let rms = judged.map(\.relativeRMS).max() ?? 0
    print(
      "golden sets on \(device): \(rows.count) stages, worst PCC \(pcc), error \(error), RMS \(rms)"
    )
  }
}
