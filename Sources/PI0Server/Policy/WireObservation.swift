import PI0Kit

/// An observation as clients send it, by the keys of its policy.
///
/// A dictionary within a dictionary is the same as its keys joined by `/`. Besides what
/// `ObservationKeys` names there are:
///
/// | key | what |
/// |---|---|
/// | `image_mask/CAMERA` | bool; false masks the camera out |
/// | `tokenized_prompt`, `tokenized_prompt_mask` | token ids instead of a sentence |
/// | `noise` | floats `[horizon, dimension]` to start from, for comparisons |
///
/// and where no key of a frame is named, lerobot's `observation.images.CAMERA`, `observation.state`
/// and `task`. Frames are bytes, or floats from 0 to 1. Any other key is an error.
struct WireObservation {
  /// In the robot's names and units.
  let observation: RobotObservation
  /// Noise that the client wants denoised.
  let noise: Tensor?

  /// The observation of a message.
  ///
  /// - Throws: ``ServerError/message(_:)`` that names the key and what was seen there.
  init(_ message: MessagePackValue, keys: ObservationKeys) throws(ServerError) {
    guard case .map(let entries) = message else {
      throw .message("an observation is a dictionary, not \(message.kind)")
    }
    var images: [String: RGBImage] = [:]
    var masked: Set<String> = []
    var states: [String: [Double]] = [:]
    var prompt: String?
    var (tokens, tokenMask): (MessagePackValue?, MessagePackValue?)
    var noise: Tensor?
    for (key, value) in try Self.flattened(entries) {
      switch Self.role(of: key, keys) {
      case .image(let camera):
        let image = try Self.picture(value, key, channelsFirst: keys.imagesAreChannelsFirst)
        guard images.updateValue(image, forKey: camera) == nil else {
          throw .message("camera \(shown(camera)) has two frames")
        }
      case .imageMask(let camera):
        if try !Self.bool(value, key) { masked.insert(camera) }
      case .state(let part):
        guard states.updateValue(try Self.numbers(value, key), forKey: part) == nil else {
          throw .message("the state is there twice")
        }
      case .prompt:
        guard prompt == nil else { throw .message("the prompt is there twice") }
        prompt = try Self.string(value, key)
      case .tokens: tokens = value
      case .tokenMask: tokenMask = value
      case .noise: noise = try Self.noise(value)
      case nil:
        throw .message("the observation has \(shown(key)); \(Self.expected(keys))")
      }
    }
    var state: [Double] = []
    for part in keys.state {
      guard let values = states[part] else {
        throw .message("the observation has no \(part); \(Self.expected(keys))")
      }
      state += values
    }
    observation = RobotObservation(
      images: images, maskedCameras: masked, state: state,
      prompt: try Self.prompt(prompt, tokens, tokenMask))
    self.noise = noise
  }

  // MARK: - Keys

  /// What a key holds.
  private enum Role {
    case image(camera: String)
    case imageMask(camera: String)
    case state(part: String)
    case prompt
    case tokens
    case tokenMask
    case noise
  }

  private static func role(of key: String, _ keys: ObservationKeys) -> Role? {
    func rest(after prefixes: String...) -> String? {
      prefixes.first { key.hasPrefix($0) && key != $0 }.map { String(key.dropFirst($0.count)) }
    }
    if let camera = keys.images[key] { return .image(camera: camera) }
    if keys.state.contains(key) { return .state(part: key) }
    if key == keys.prompt { return .prompt }
    switch key {
    case "tokenized_prompt": return .tokens
    case "tokenized_prompt_mask": return .tokenMask
    case "noise": return .noise
    default: break
    }
    if let camera = rest(after: "image_mask/") { return .imageMask(camera: camera) }
    guard keys.images.isEmpty else { return nil }
    if let camera = rest(after: "images/", "image/", "observation.images.") {
      return .image(camera: camera)
    }
    switch key {
    case "observation.state": return keys.state.first.map { .state(part: $0) }
    case "task": return .prompt
    default: return nil
    }
  }

  private static func expected(_ keys: ObservationKeys) -> String {
    let images = keys.images.isEmpty ? ["images/CAMERA"] : keys.images.keys.sorted()
    let names =
      images + keys.state + [keys.prompt, "image_mask/CAMERA", "tokenized_prompt"]
      + ["tokenized_prompt_mask", "noise"]
    return "its keys are \(names.joined(separator: ", "))"
  }

  /// All entries, those of dictionaries within under joined keys. No dictionary lies deeper than the
  /// decoder lets it.
  private static func flattened(
    _ entries: [String: MessagePackValue], under prefix: String = ""
  ) throws(ServerError) -> [String: MessagePackValue] {
    var result: [String: MessagePackValue] = [:]
    func add(_ value: MessagePackValue, _ key: String) throws(ServerError) {
      guard result.updateValue(value, forKey: key) == nil else {
        throw .message("the observation has \(shown(key)) twice")
      }
    }
    for (key, value) in entries {
      if case .map(let inner) = value {
        for (key, value) in try flattened(inner, under: prefix + key + "/") { try add(value, key) }
      } else {
        try add(value, prefix + key)
      }
    }
    return result
  }

  private static func prompt(
    _ text: String?, _ tokens: MessagePackValue?, _ mask: MessagePackValue?
  ) throws(ServerError) -> RobotObservation.Prompt? {
    guard let tokens else {
      guard mask == nil else {
        throw .message("tokenized_prompt_mask is there without tokenized_prompt")
      }
      return text.map { .text($0) }
    }
    guard text == nil else {
      throw .message("the prompt is there twice: as sentence and as token ids")
    }
    return .tokens(try Self.tokens(tokens, mask: mask))
  }

  // MARK: - Values

  private static func string(_ value: MessagePackValue, _ key: String) throws(ServerError) -> String
  {
    guard case .string(let text) = value else {
      throw .message("\(shown(key)) is \(value.kind); it must be a string")
    }
    return text
  }

  private static func bool(_ value: MessagePackValue, _ key: String) throws(ServerError) -> Bool {
    switch value {
    case .bool(let value): return value
    case .array(let array) where array.elementType == .bool && array.count == 1:
      return array.numbers.first != 0
    default: throw .message("\(shown(key)) is \(value.kind); it must be a bool")
    }
  }

  /// The elements of a number, of a list of numbers or of an array of one dimension at most.
  private static func numbers(
    _ value: MessagePackValue, _ key: String
  ) throws(ServerError) -> [Double] {
    switch value {
    case .number(let number): return [number]
    case .integer(let number): return [Double(number)]
    case .list(let elements):
      var numbers: [Double] = []
      for element in elements {
        switch element {
        case .number(let number): numbers.append(number)
        case .integer(let number): numbers.append(Double(number))
        default: throw .message("\(shown(key))[\(numbers.count)] is \(element.kind), no number")
        }
      }
      return numbers
    case .array(let array) where array.shape.count <= 1 && array.elementType != .bool:
      return array.numbers
    default:
      throw .message("\(shown(key)) is \(value.kind); it must be numbers of one dimension")
    }
  }

  private static func tokens(
    _ value: MessagePackValue, mask: MessagePackValue?
  ) throws(ServerError) -> [Int32] {
    var tokens: [Int32] = []
    for (index, number) in try numbers(value, "tokenized_prompt").enumerated() {
      guard let token = Int32(exactly: number) else {
        throw .message("tokenized_prompt[\(index)] is \(number), no token id")
      }
      tokens.append(token)
    }
    guard let mask else { return tokens }
    guard case .array(let array) = mask, array.elementType == .bool, array.shape == [tokens.count]
    else {
      throw .message(
        "tokenized_prompt_mask is \(mask.kind); it must be an array of \(tokens.count) bools")
    }
    return zip(tokens, array.numbers).compactMap { $1 == 0 ? nil : $0 }
  }

  private static func noise(_ value: MessagePackValue) throws(ServerError) -> Tensor {
    guard case .array(let array) = value, array.isFloat else {
      throw .message("noise is \(value.kind); it must be an array of floats")
    }
    do {
      return try Tensor(array.numbers.map { Float($0) }, shape: array.shape)
    } catch {
      throw .message("noise: \(error)")
    }
  }

  // MARK: - Pictures

  /// A frame whose channels are first or last: where the shape allows both, as the policy has them.
  private static func picture(
    _ value: MessagePackValue, _ key: String, channelsFirst: Bool
  ) throws(ServerError) -> RGBImage {
    let key = shown(key)
    guard case .array(let array) = value, array.shape.count == 3,
      [.uint8, .float32, .float64].contains(array.elementType)
    else {
      throw .message(
        "\(key) is \(value.kind); a frame is an array [height, width, 3] or [3, height, width] of "
          + "bytes, or of floats from 0 to 1")
    }
    let (first, last) = (array.shape[0] == 3, array.shape[2] == 3)
    guard first || last else {
      throw .message("\(key) is \(value.kind); a frame has three channels, first or last")
    }
    let isInterleaved = last && !(first && channelsFirst)
    let (height, width) =
      isInterleaved ? (array.shape[0], array.shape[1]) : (array.shape[1], array.shape[2])
    var pixels = try bytes(array, key)
    if !isInterleaved { pixels = interleaved(pixels, plane: height * width) }
    do {
      return try RGBImage(width: width, height: height, pixels: pixels)
    } catch {
      throw .message("\(key): \(error)")
    }
  }

  /// Bytes as they are; floats times 255, cut off, as openpi's policies do.
  private static func bytes(_ array: NumpyArray, _ key: String) throws(ServerError) -> [UInt8] {
    if array.elementType == .uint8 { return Array(array.bytes) }
    var pixels: [UInt8] = []
    pixels.reserveCapacity(array.count)
    for number in array.numbers {
      guard (0...1).contains(number) else {
        throw .message("\(key) has a \(number); a picture of floats has values from 0 to 1")
      }
      // In the array's own precision.
      pixels.append(
        array.elementType == .float32 ? UInt8(Float(number) * 255) : UInt8(number * 255))
    }
    return pixels
  }

  private static func interleaved(_ planes: [UInt8], plane: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: planes.count) { target, count in
      planes.withUnsafeBufferPointer { source in
        for pixel in 0..<plane {
          for channel in 0..<3 {
            target[3 * pixel + channel] = source[channel * plane + pixel]
          }
        }
      }
      count = planes.count
    }
  }
}
