import FoundationEssentials
import Glibc

/// Writes what a policy saw, started from and did into one safetensors file, inference by inference.
///
///     let recorder = try RunRecorder(path: "run.safetensors")
///     let controlled = try ControlledPolicy(policy, recorder: recorder)
///     …
///     try recorder.finish()
///
/// Tensors are called `N.PART`, where `N` counts inferences: `image.CAMERA` U8 [height, width, 3],
/// `state` F64, `tokens` I32 or `text` U8 (UTF-8), `noise` F32, `actions` F64 [horizon, dimension],
/// and `seconds` F64 [5]: waiting, vision, language, denoising, computing. A camera that is masked
/// out although it has a frame has an `N.masked.CAMERA` of no elements.
///
/// The data goes to `PATH.part` during the run; ``finish()`` makes the file of it. An error of the
/// disk does not disturb the run: ``finish()`` throws it.
public final class RunRecorder: Sendable {
  /// The file.
  public let path: String
  private let run: Monitor<Run>

  fileprivate struct Run {
    var stream: StreamedFile?
    var metadata: [String: String]
    var header: [String] = []
    var offset = 0
    var count = 0
    var problem: PI0Error?
  }

  /// Begins a file.
  ///
  /// - Parameters:
  ///   - path: of the file.
  ///   - metadata: kept in the file.
  /// - Throws: ``PI0Error/file(path:reason:)`` where it cannot be written.
  public init(path: String, metadata: [String: String] = [:]) throws(PI0Error) {
    self.path = path
    let stream = try StreamedFile(path: path + ".part", mode: "w+")
    run = Monitor(
      Run(stream: stream, metadata: metadata.merging(["format": Self.format]) { _, new in new }))
  }

  static let format = "PI0Kit run 1"

  /// Adds an inference.
  public func append(_ observation: RobotObservation, _ inference: Inference) {
    run.withLock { run in
      guard run.stream != nil, run.problem == nil else { return }
      do throws(PI0Error) {
        try run.append(observation, inference)
      } catch {
        run.problem = error
      }
    }
  }

  /// Completes the file. Further inferences are not recorded.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where it, or something before, could not be written.
  public func finish() throws(PI0Error) {
    let result = run.withLock { run -> Result<Void, PI0Error> in
      guard let stream = run.stream else { return .success(()) }
      run.stream = nil
      return Result { () throws(PI0Error) in
        if let problem = run.problem { throw problem }
        let file = try StreamedFile(path: path, mode: "w")
        try file.write(try run.fileHeader(path))
        try stream.copy(to: file)
        try file.close()
        remove(path + ".part")
      }
    }
    try result.get()
  }
}

extension RunRecorder.Run {
  fileprivate mutating func append(
    _ observation: RobotObservation, _ inference: Inference
  ) throws(PI0Error) {
    for (camera, image) in observation.images.sorted(by: { $0.key < $1.key }) {
      try add("image.\(camera)", .uint8, [image.height, image.width, 3], image.pixels)
    }
    for camera in observation.maskedCameras.sorted() {
      try add("masked.\(camera)", .uint8, [0], [UInt8]())
    }
    try add("state", .float64, [observation.state.count], observation.state)
    switch observation.prompt {
    case .text(let text): try add("text", .uint8, [text.utf8.count], Array(text.utf8))
    case .tokens(let tokens): try add("tokens", .int32, [tokens.count], tokens)
    case nil: break
    }
    let (chunk, timings) = (inference.chunk, inference.timings)
    try add("noise", .float32, inference.noise.shape, inference.noise.floats())
    try add("actions", .float64, [chunk.horizon, chunk.dimension], chunk.values)
    let seconds = [
      timings.waiting, timings.vision, timings.language, timings.denoising, timings.computing,
    ].map { $0 / .seconds(1) }
    try add("seconds", .float64, [seconds.count], seconds)
    count += 1
  }

  private mutating func add<Element: BitwiseCopyable>(
    _ part: String, _ type: SafetensorsType, _ shape: [Int], _ elements: [Element]
  ) throws(PI0Error) {
    let bytes = elements.withUnsafeBytes { Array($0) }
    try stream?.write(bytes)
    let end = offset + bytes.count
    header.append(
      "\(try json("\(count).\(part)")):{\"dtype\":\"\(type.rawValue)\",\"shape\":\(shape),"
        + "\"data_offsets\":[\(offset),\(end)]}")
    offset = end
  }

  /// The header's length, the header, and spaces up to a multiple of eight.
  fileprivate func fileHeader(_ path: String) throws(PI0Error) -> [UInt8] {
    var pairs: [String] = []
    for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
      pairs.append("\(try json(key)):\(try json(value))")
    }
    let fields = ["\"__metadata__\":{\(pairs.joined(separator: ","))}"] + header
    var text = Array("{\(fields.joined(separator: ","))}".utf8)
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
  }

  private func json(_ text: String) throws(PI0Error) -> String {
    do {
      return String(decoding: try JSONEncoder().encode(text), as: UTF8.self)
    } catch {
      throw .input("\(text.quoted) cannot be written as JSON: \(error)")
    }
  }
}

/// A file of the C library, closed when nobody has it any more.
private final class StreamedFile: @unchecked Sendable {
  // Unchecked: it is used under the recorder's lock only.
  private let path: String
  private var file: UnsafeMutablePointer<FILE>?

  init(path: String, mode: String) throws(PI0Error) {
    self.path = path
    file = fopen(path, mode)
    if file == nil { throw failure() }
  }

  deinit {
    if let file { fclose(file) }
  }

  func write(_ bytes: [UInt8]) throws(PI0Error) {
    guard let file, fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw failure() }
  }

  /// Copies everything from the first byte on.
  func copy(to other: StreamedFile) throws(PI0Error) {
    guard let file else { return }
    rewind(file)
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      if count == 0 { break }
      try other.write(Array(buffer[..<count]))
    }
    if ferror(file) != 0 { throw failure() }
  }

  func close() throws(PI0Error) {
    guard let file else { return }
    self.file = nil
    if fclose(file) != 0 { throw failure() }
  }

  private func failure() -> PI0Error {
    .file(path: path, reason: "cannot be written: \(String(cString: strerror(errno)))")
  }
}

extension ControlledPolicy {
  /// Starts the thread of a policy whose inferences are recorded.
  ///
  /// - Throws: ``PI0Error/device(_:)`` where the system has no thread to give.
  public convenience init(
    _ policy: any ChunkPolicy, recorder: RunRecorder?
  ) throws(PI0Error) {
    try self.init(policy, onInference: recorder.map { $0.append })
  }
}
