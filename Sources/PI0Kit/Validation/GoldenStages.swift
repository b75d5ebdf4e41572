/// One golden set: computes the stage that a key names and pairs it with PyTorch's tensor. The
/// stages are listed at ``Validation``.
final class GoldenStages {
  struct Result {
    let actual: [Float]
    let expected: [Float]
    let actualShape: [Int]
    /// Nil: for information only.
    let tolerance: Tolerance?
    let note: String
  }

  private let io: SafetensorsFile
  private let checkpoint: Checkpoint
  private let device: Device
  private let cameras: [String]
  /// Nil where the weights are those of a suffix alone.
  private let policy: Policy?
  private let suffixEmbedder: SuffixEmbedder
  /// Results that several stages need.
  private var memo: [String: Any] = [:]

  init(_ set: Validation.GoldenSet, on device: Device) throws(PI0Error) {
    io = try SafetensorsFile(path: set.io)
    self.device = device
    let present = io.entries.keys.filter { $0.hasPrefix(Self.imagePrefix) }
      .map { String($0.dropFirst(Self.imagePrefix.count)) }
    let known = PolicyConfiguration.openpiCameras.filter(present.contains)
    cameras = known + present.filter { !known.contains($0) }.sorted()

    var checkpoint = try Checkpoint(path: set.weights)
    if checkpoint.shape(of: Self.visionKey) != nil {
      var configuration = try Self.configuration(checkpoint, io)
      configuration.cameras = cameras
      if let steps = io.metadata["num_steps"].flatMap(Int.init) {
        configuration.denoisingSteps = steps
      }
      checkpoint = try Checkpoint(path: set.weights, configuration: configuration)
      let policy = try Policy(checkpoint: checkpoint, on: device)
      self.policy = policy
      suffixEmbedder = policy.suffixEmbedder
    } else {
      policy = nil
      suffixEmbedder = try SuffixEmbedder(checkpoint: checkpoint, on: device)
    }
    self.checkpoint = checkpoint
  }

  private static let imagePrefix = "in.image."
  private static let visionKey =
    "paligemma_with_expert.paligemma.model.vision_tower.vision_model.embeddings.patch_embedding.bias"

  /// The weights' configuration, or the one beside the inputs.
  private static func configuration(
    _ checkpoint: Checkpoint, _ io: SafetensorsFile
  ) throws(PI0Error) -> PolicyConfiguration {
    if checkpoint.configurationSource == .shapes, let json = io.metadata["config"] {
      return try PolicyConfiguration(json: .init(json.utf8), from: "\(io.path), \"config\"")
    }
    return try checkpoint.requiredConfiguration()
  }

  /// Every key but those of inputs, in the order in which the policy computes them.
  var names: [String] {
    let order = [
      "resize", "sin", "siglip", "prefix", "vlm", "kv", "state_emb", "action_emb", "suffix",
      "expert", "denoise", "traj", "out",
    ]
    return io.entries.keys.filter { !$0.hasPrefix("in.") && !Self.inputs.contains($0) }
      .map { key in
        (rank: order.firstIndex { key == $0 || key.hasPrefix($0 + ".") } ?? order.count, key: key)
      }
      .sorted { ($0.rank, $0.key) < ($1.rank, $1.key) }.map(\.key)
  }

  private static let inputs: Set = ["sin.t", "resize.in_u8"]

  func shape(of stage: String) -> [Int] { io.entries[stage]?.shape ?? [] }

  /// PyTorch's tensor and ours; nil for a key that names no stage.
  func evaluate(_ key: String) throws(PI0Error) -> Result? {
    if let pixels = try resized(key) { return pixels }
    let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
    guard let group = parts.first else { return nil }
    let stage = parts.count > 1 ? parts[1] : ""
    guard let actual = try compute(group, stage)?.onHost() else { return nil }
    let expected = try io.tensor(key)

    // Padded rows of the language model reach no action; which rubbish they hold is no matter.
    var rows: [Bool]?
    if group == "vlm" || group == "kv" { rows = try prefix().padding.bools() }
    let axis = group == "kv" ? 2 : 1
    let fits = actual.shape == expected.shape
    return Result(
      actual: fits ? numbers(actual, rows: rows, axis: axis) : [],
      expected: numbers(expected, rows: fits ? rows : nil, axis: axis),
      actualShape: actual.shape,
      tolerance: tolerance(key, actual),
      note: Self.isBFloat16Run(key) ? "PyTorch's bfloat16 run; this one is float32" : "")
  }

  private func tolerance(_ key: String, _ actual: Tensor) -> Tolerance? {
    if Self.isBFloat16Run(key) { return nil }
    if !actual.elementType.isFloat || key.hasSuffix(".bias4d") { return .exact }
    if key.hasPrefix("sin.") { return .rounding }
    let isOfPolicy = ["vlm", "kv", "expert", "denoise", "traj", "out"].contains {
      key.hasPrefix($0 + ".")
    }
    return isOfPolicy ? device.backend.policyTolerance : device.backend.embedderTolerance
  }

  private static func isBFloat16Run(_ key: String) -> Bool { key.hasSuffix("_bf16model") }

  /// All elements, or those of the rows along `axis` that are true in `rows` `[batch, row]`.
  private func numbers(_ x: Tensor, rows: [Bool]?, axis: Int) -> [Float] {
    let numbers = x.numbers()
    guard let rows else { return numbers }
    let inner = x.shape[(axis + 1)...].reduce(1, *)
    let perBatch = x.shape[1...].reduce(1, *)
    return numbers.enumerated().filter { index, _ in
      let row = index / inner % x.shape[axis]
      return rows[index / perBatch * x.shape[axis] + row]
    }.map(\.element)
  }

  // MARK: - Stages

  private func compute(_ group: String, _ stage: String) throws(PI0Error) -> Tensor? {
    switch group {
    case "sin" where stage.hasPrefix("emb"):
      let width = shape(of: "sin.\(stage)").last ?? 0
      return try SinusoidalTimeEmbedding(width: width)(
        input(io.entries["sin.t"] != nil ? "sin.t" : "in.timestep"))
    case "siglip": return try siglip(stage)
    case "prefix": return try prefixStage(stage)
    case "vlm": return try language(stage)
    case "kv": return try keyOrValue(stage)
    case "suffix": return try suffixStage(stage)
    case "expert": return try expert(stage)
    case "denoise":
      guard stage.hasPrefix("v_t"), let time = Float(stage.dropFirst(3)) else { return nil }
      return try velocity(input("in.noise"), time: time)
    case "traj": return try trajectory(stage)
    case "state_emb":
      guard case .pi0(let stateProjection, _, _) = suffixEmbedder.head else { return nil }
      return try stateProjection(input("in.state"))
    case "action_emb": return try suffixEmbedder.actionIn(input("in.noisy_actions"))
    case "out": return try output(stage)
    default: return nil
    }
  }

  private func siglip(_ stage: String) throws(PI0Error) -> Tensor? {
    let embedder = try required().prefixEmbedder
    let tower = embedder.vision
    let image = try input(Self.imagePrefix + (cameras.first ?? ""))
    switch stage {
    case "embeddings": return try tower.embed(image)
    case "post_layernorm": return try tower(image)
    case "projected": return try embedder.embed(image: image)
    default: break
    }
    guard let (index, part) = Self.layer(stage, of: tower.layers.count) else { return nil }
    var x = try tower.embed(image)
    for layer in tower.layers[..<index] { x = try layer(x) }
    let layer = tower.layers[index]
    let normalized = try layer.layerNorm1(x)
    if part == "ln1" { return normalized }
    let attended = try layer.selfAttention(normalized)
    if part == "attn" { return attended }
    x = try x + attended
    switch part {
    case "ln2": return try layer.layerNorm2(x)
    case "mlp": return try layer.mlp(layer.layerNorm2(x))
    case "": return try x + layer.mlp(layer.layerNorm2(x))
    default: return nil
    }
  }

  private func prefixStage(_ stage: String) throws(PI0Error) -> Tensor? {
    let prefix = try prefix()
    switch stage {
    case "embs": return prefix.embeddings
    case "pad_masks": return prefix.padding
    case "att_masks": return prefix.marks
    case "att_2d":
      return try AttentionMask.allowed(padding: prefix.padding, marks: prefix.marks)
    case "bias4d": return try prefixBias().matrix()
    case "position_ids": return try AttentionMask.positions(padding: prefix.padding)
    default: return nil
    }
  }

  private func language(_ stage: String) throws(PI0Error) -> Tensor? {
    let model = try required().languageModel
    let prefix = try prefix()
    let positions = try AttentionMask.positions(padding: prefix.padding.moved(to: device))
    let context = GemmaContext(
      model: model, input: try prefix.embeddings.moved(to: device),
      rotary: try required().rotary(positions),
      mask: try prefixBias(), cache: nil,
      modulation: try model.modulation(condition: nil))
    return try context.stage(stage == "last_hidden" ? "norm" : stage)
  }

  private func keyOrValue(_ stage: String) throws(PI0Error) -> Tensor? {
    let parts = stage.split(separator: ".")
    let cache = try cache()
    guard parts.count == 2, let index = Int(parts[0]), cache.layers.indices.contains(index) else {
      return nil
    }
    switch parts[1] {
    case "key": return cache.layers[index].key
    case "value": return cache.layers[index].value
    default: return nil
    }
  }

  private func suffixStage(_ stage: String) throws(PI0Error) -> Tensor? {
    if stage.hasPrefix("t"), let dot = stage.lastIndex(of: "."),
      let time = Float(stage[stage.index(after: stage.startIndex)..<dot])
    {
      let suffix = try suffix(time: time)
      return try part(String(stage[stage.index(after: dot)...]), of: suffix)
    }
    let suffix = try suffix()
    switch stage {
    case "att_2d":
      return try AttentionMask.allowed(padding: suffix.padding, marks: suffix.marks)
    case "full_att_2d":
      return try AttentionMask.suffixAllowed(
        prefixPadding: prefix().padding, padding: suffix.padding, marks: suffix.marks)
    case "position_ids":
      return try AttentionMask.positions(padding: suffix.padding, after: prefix().padding)
    default: return try part(stage, of: suffix)
    }
  }

  private func part(_ name: String, of suffix: TokenEmbedding) throws(PI0Error) -> Tensor? {
    switch name {
    case "embs": suffix.embeddings
    case "pad_masks": suffix.padding
    case "att_masks": suffix.marks
    case "adarms_cond": suffix.condition
    default: nil
    }
  }

  private func expert(_ stage: String) throws(PI0Error) -> Tensor? {
    let policy = try required()
    let suffix = try suffix(time: 1)
    let prefixPadding = try prefix().padding.moved(to: device)
    let padding = try suffix.padding.moved(to: device)
    let mask = try AttentionMask.bias(
      prefixPadding: prefixPadding, padding: padding, marks: suffix.marks.moved(to: device))
    let context = GemmaContext(
      model: policy.expert, input: try suffix.embeddings.moved(to: device),
      rotary: try policy.rotary(
        AttentionMask.positions(padding: padding, after: prefixPadding)),
      mask: mask, cache: try cache(),
      modulation: try policy.expert.modulation(condition: suffix.condition?.moved(to: device)))
    return try context.stage(stage)
  }

  /// The original algorithm, step by step, with nothing left out.
  private func trajectory(_ stage: String) throws(PI0Error) -> Tensor? {
    let policy = try required()
    let schedule = try policy.schedule(steps: policy.configuration.denoisingSteps)
    if stage == "t" {
      return try Tensor(schedule.times, shape: [schedule.times.count], device: device)
    }
    guard stage == "x" || stage == "v" else { return nil }
    let (points, velocities) = try remembered("trajectory") {
      () throws(PI0Error) -> ([Tensor], [Tensor]) in
      var x = try input("in.noise")
      var (points, velocities): ([Tensor], [Tensor]) = ([], [])
      for time in schedule.times {
        let velocity = try velocity(x, time: time)
        points.append(try x.reshaped([1] + x.shape))
        velocities.append(try velocity.reshaped([1] + x.shape))
        x = try Policy.eulerStep(x, velocity: velocity, timeStep: schedule.timeStep)
      }
      return (points, velocities)
    }
    return try .concat(stage == "x" ? points : velocities, axis: 0)
  }

  private func output(_ stage: String) throws(PI0Error) -> Tensor? {
    switch stage {
    case "actions", "actions_bf16model":
      return try remembered("actions") { () throws(PI0Error) -> Tensor in
        try required().sampleActions(inputs(), noise: input("in.noise"))
      }
    case "velocity":
      let weights = try Weights(checkpoint, on: device)
      let size = try checkpoint.suffixSize()
      let actionOut = Linear(
        weights.at("action_out_proj"), inputs: size.width, outputs: size.actionDimension)
      try weights.finish(wholeCheckpoint: false)
      return try actionOut(input("in.expert_output"))
    default: return nil
    }
  }

  // MARK: - Shared results

  private func required() throws(PI0Error) -> Policy {
    guard let policy else {
      throw .input("the weights are those of a suffix alone; this stage needs a whole policy")
    }
    return policy
  }

  private func input(_ key: String) throws(PI0Error) -> Tensor {
    try io.tensor(key, on: device)
  }

  private func inputs() throws(PI0Error) -> PolicyInputs {
    var (images, masks): ([Tensor], [Tensor]) = ([], [])
    for camera in cameras {
      images.append(try input(Self.imagePrefix + camera))
      masks.append(try input("in.image_mask." + camera))
    }
    return PolicyInputs(
      images: images, imageMasks: masks, tokens: try input("in.tokens"),
      tokenMask: try input("in.token_mask"), state: try input("in.state"))
  }

  private func prefix() throws(PI0Error) -> TokenEmbedding {
    try remembered("prefix") { () throws(PI0Error) in
      let inputs = try inputs()
      return try required().prefixEmbedder(
        images: inputs.images, imageMasks: inputs.imageMasks, tokens: inputs.tokens,
        tokenMask: inputs.tokenMask)
    }
  }

  private func prefixBias() throws(PI0Error) -> AttentionBias {
    let prefix = try prefix()
    return try AttentionMask.bias(
      padding: prefix.padding.moved(to: device), marks: prefix.marks.moved(to: device))
  }

  private func cache() throws(PI0Error) -> KeyValueCache {
    try remembered("cache") { () throws(PI0Error) in try required().keyValueCache(prefix()) }
  }

  /// The suffix of the given inputs; of the noise at time 1 in a set of a whole policy.
  private func suffix() throws(PI0Error) -> TokenEmbedding {
    if io.entries["in.noisy_actions"] == nil { return try suffix(time: 1) }
    return try remembered("suffix") { () throws(PI0Error) in
      try suffixEmbedder(
        state: input("in.state"), noisyActions: input("in.noisy_actions"),
        timestep: input("in.timestep"))
    }
  }

  /// The suffix of the noise at a time.
  private func suffix(time: Float) throws(PI0Error) -> TokenEmbedding {
    try remembered("suffix \(time)") { () throws(PI0Error) in
      let x = try input("in.noise")
      return try suffixEmbedder(
        state: input("in.state"), noisyActions: x, timestep: times(time, x))
    }
  }

  private func velocity(_ x: Tensor, time: Float) throws(PI0Error) -> Tensor {
    try required().denoiseStep(
      state: input("in.state"), prefixPadding: prefix().padding, cache: cache(), noisyActions: x,
      timestep: times(time, x))
  }

  private func times(_ time: Float, _ x: Tensor) throws(PI0Error) -> Tensor {
    try .full([x.shape.first ?? 0], time, device: device)
  }

  private func remembered<Value>(
    _ key: String, _ make: () throws(PI0Error) -> Value
  ) throws(PI0Error) -> Value {
    if let value = memo[key] as? Value { return value }
    let value = try make()
    memo[key] = value
    return value
  }

  /// `layer{i}` or `layer{i}.part`.
  static func layer(_ stage: String, of count: Int) -> (index: Int, part: String)? {
    guard stage.hasPrefix("layer") else { return nil }
    let parts = stage.dropFirst("layer".count).split(separator: ".", maxSplits: 1)
    guard let index = parts.first.flatMap({ Int($0) }), (0..<count).contains(index) else {
      return nil
    }
    return (index, parts.count > 1 ? String(parts[1]) : "")
  }

  // MARK: - Resizing

  private func resized(_ key: String) throws(PI0Error) -> Result? {
    guard key == "resize.out_u8" || key == "resize.out_f32" else { return nil }
    let (from, to) = (shape(of: "resize.in_u8"), shape(of: key))
    guard io.entries["resize.in_u8"]?.type == .uint8 else { return nil }
    guard from.count == 4, from[3] == 3, to.count == 4, to[0] == from[0] else { return nil }
    let bytes = try io.bytes("resize.in_u8")
    let size = from[1] * from[2] * 3
    var actual: [Float] = []
    for picture in 0..<from[0] {
      let pixels = Array(bytes[picture * size..<(picture + 1) * size])
      if key == "resize.out_u8" {
        let image = try RGBImage(width: from[2], height: from[1], pixels: pixels)
        actual += try image.resizedWithPadding(width: to[2], height: to[1]).pixels.map(Float.init)
      } else {
        let floats = pixels.map { Float($0) / 255 * 2 - 1 }
        let image = try Tensor(floats, shape: Array(from[1...]), device: device)
        actual += try image.resizedWithPadding(width: to[2], height: to[1]).floats()
      }
    }
    let exact = key == "resize.out_u8"
    return Result(
      actual: actual,
      expected: exact ? try io.bytes(key).map(Float.init) : try io.tensor(key).floats(),
      actualShape: to, tolerance: exact ? .exact : .rounding, note: "")
  }
}

/// A Gemma transformer at work, to look at one layer or part of it.
private struct GemmaContext {
  let model: Gemma
  let input: Tensor
  let rotary: RotaryEmbedding.Table
  let mask: AttentionBias
  let cache: KeyValueCache?
  let modulation: Gemma.Modulation

  /// `layer{i}`, `layer{i}.part` or `norm`.
  func stage(_ stage: String) throws(PI0Error) -> Tensor? {
    let layers = model.layers
    if stage == "norm" {
      return try model.norm(output(of: layers.count), modulation: modulation.norm).normalized
    }
    guard let (index, part) = GoldenStages.layer(stage, of: layers.count) else { return nil }
    let layer = layers[index]
    if part.isEmpty { return try output(of: index + 1) }
    let x = try output(of: index)
    let (normalized, gate) = try layer.inputLayerNorm(
      x, modulation: modulation.layers[index].input)
    switch part {
    case "input_layernorm": return normalized
    case "q_proj": return try layer.selfAttention.query(normalized)
    case "k_proj": return try layer.selfAttention.key(normalized)
    case "v_proj": return try layer.selfAttention.value(normalized)
    default: break
    }
    let own = try layer.selfAttention.keyAndValue(normalized, rotary: rotary)
    let attended = try layer.selfAttention(
      normalized, rotary: rotary,
      keysAndValues: (cache.map { [$0.layers[index]] } ?? []) + [own], mask: mask)
    if part == "attn" { return attended }
    let (again, _) = try layer.postAttentionLayerNorm(
      x + (gate.map { (gate) throws(PI0Error) in try attended * gate } ?? attended),
      modulation: modulation.layers[index].postAttention)
    switch part {
    case "post_attention_layernorm": return again
    case "mlp": return try layer.mlp(again)
    default: return nil
    }
  }

  /// The hidden state after the first `count` layers.
  private func output(of count: Int) throws(PI0Error) -> Tensor {
    var x = input
    for index in 0..<count {
      x = try model.layers[index](
        x, rotary: rotary, mask: mask, after: cache?.layers[index],
        modulation: modulation.layers[index])
    }
    return x
  }
}
