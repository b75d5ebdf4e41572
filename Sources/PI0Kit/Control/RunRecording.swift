/// A run that a ``RunRecorder`` has written.
public struct RunRecording: Sendable {
  /// Inferences.
  public let count: Int
  /// What was kept with the run.
  public var metadata: [String: String] { file.metadata }
  private let file: SafetensorsFile
  /// What each inference has, without its number.
  private let parts: [[String]]

  /// Opens a recording.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` for a file that is none.
  public init(path: String) throws(PI0Error) {
    let file = try SafetensorsFile(path: path)
    guard file.metadata["format"] == RunRecorder.format else {
      throw .file(path: path, reason: "is no recording of a run: see RunRecorder")
    }
    var parts: [Int: [String]] = [:]
    for name in file.entries.keys {
      guard let dot = name.firstIndex(of: "."), let number = Int(name[..<dot]) else {
        throw .file(path: path, reason: "holds \(name.quoted), which no recording does")
      }
      parts[number, default: []].append(String(name[name.index(after: dot)...]))
    }
    guard parts.keys.allSatisfy({ (0..<parts.count).contains($0) }) else {
      throw .file(path: path, reason: "its inferences are not numbered from 0 on")
    }
    self.file = file
    self.parts = (0..<parts.count).map { parts[$0] ?? [] }
    count = parts.count
  }

  /// What was seen in an inference, and what it gave.
  ///
  /// - Throws: ``PI0Error/input(_:)`` where there is no such inference;
  ///   ``PI0Error/file(path:reason:)`` where it is incomplete.
  public func inference(
    _ index: Int
  ) throws(PI0Error) -> (observation: RobotObservation, inference: Inference) {
    guard parts.indices.contains(index) else {
      throw .input("there is no inference \(index) in \(file.path), which has \(count)")
    }
    var observation = RobotObservation(images: [:], state: try doubles(index, "state"))
    for part in parts[index] {
      let name = "\(index).\(part)"
      if let camera = part.suffix(after: "image.") {
        let shape = file.entries[name]?.shape ?? []
        guard shape.count == 3, shape[2] == 3 else { throw malformed(name) }
        observation.images[camera] = try RGBImage(
          width: shape[1], height: shape[0], pixels: try file.bytes(name))
      } else if let camera = part.suffix(after: "masked.") {
        observation.maskedCameras.insert(camera)
      } else if part == "tokens" {
        observation.prompt = .tokens(try file.tensor(name).int32s())
      } else if part == "text" {
        observation.prompt = .text(String(decoding: try file.bytes(name), as: UTF8.self))
      }
    }
    let shape = file.entries["\(index).actions"]?.shape ?? []
    let seconds = try doubles(index, "seconds")
    guard shape.count == 2, seconds.count == 5, seconds.allSatisfy({ abs($0) < 1e9 }) else {
      throw malformed("\(index).actions or seconds")
    }
    var timings = InferenceTimings()
    timings.waiting = .seconds(seconds[0])
    timings.vision = .seconds(seconds[1])
    timings.language = .seconds(seconds[2])
    timings.denoising = .seconds(seconds[3])
    timings.computing = .seconds(seconds[4])
    let chunk = try ActionChunk(
      horizon: shape[0], dimension: shape[1], values: doubles(index, "actions"))
    return (
      observation,
      Inference(chunk: chunk, noise: try file.tensor("\(index).noise"), timings: timings)
    )
  }

  private func doubles(_ index: Int, _ part: String) throws(PI0Error) -> [Double] {
    let name = "\(index).\(part)"
    let bytes = try file.bytes(name)
    guard file.entries[name]?.type == .float64 else { throw malformed(name) }
    return bytes.withUnsafeBytes { bytes in
      (0..<bytes.count / 8).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }

  private func malformed(_ name: String) -> PI0Error {
    .file(path: file.path, reason: "\(name) is not what a recording has there")
  }
}

extension String {
  fileprivate func suffix(after prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }
}
