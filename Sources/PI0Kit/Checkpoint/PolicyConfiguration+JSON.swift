import FoundationEssentials

extension PolicyConfiguration {
  /// The configuration in a `config.json` of lerobot or openpi, or in the metadata of a checkpoint
  /// that names every size.
  ///
  /// - Parameters:
  ///   - json: the text.
  ///   - source: where it is from, for errors.
  /// - Throws: ``PI0Error/configuration(_:)`` where it is none of these.
  public init(json: Data, from source: String) throws(PI0Error) {
    try self.init(json: json, from: source, shapes: TensorShapes([:]))
  }

  init(
    json: Data, from source: String, shapes: TensorShapes, steps: Int? = nil
  ) throws(PI0Error) {
    do {
      let decoder = JSONDecoder()
      let form = try decoder.decode(Form.self, from: json)
      if form.vlm != nil {
        self.init(try decoder.decode(ExplicitForm.self, from: json))
      } else {
        try self.init(decoder.decode(VariantForm.self, from: json), json: json, shapes: shapes)
      }
    } catch let error as PI0Error {
      throw .configuration("\(source): \(error)")
    } catch let error as DecodingError {
      throw .configuration("\(source): \(Self.describe(error))")
    } catch {
      throw .configuration("\(source): \(error)")
    }
    if let steps { denoisingSteps = steps }
    try validate()
  }

  /// Tells the two forms apart.
  private struct Form: Decodable {
    struct Anything: Decodable {}
    let vlm: Anything?
  }

  /// Every size by its name: `{"vlm": {"width": …}, "expert": {…}, "vis_width": …}`.
  private struct ExplicitForm: Decodable {
    struct Tower: Decodable {
      let width, depth, mlp_dim, num_heads, num_kv_heads, head_dim: Int

      var size: Gemma {
        Gemma(
          width: width, depth: depth, mlpWidth: mlp_dim, heads: num_heads,
          kvHeads: num_kv_heads, headWidth: head_dim)
      }
    }
    let vlm, expert: Tower
    let vocab, vis_width, vis_depth, vis_heads, vis_mlp, patch, image: Int
    let action_dim, action_horizon, max_token_len: Int
    let pi05: Bool
    let cameras: [String]?
  }

  private init(_ form: ExplicitForm) {
    self.init(
      variant: form.pi05 ? .pi05 : .pi0,
      vision: Vision(
        width: form.vis_width, depth: form.vis_depth, mlpWidth: form.vis_mlp,
        heads: form.vis_heads, patchSize: form.patch, imageSize: form.image),
      language: form.vlm.size, expert: form.expert.size, vocabularySize: form.vocab,
      cameras: form.cameras ?? Self.openpiCameras, actionDimension: form.action_dim,
      actionHorizon: form.action_horizon, promptLength: form.max_token_len)
  }

  /// What lerobot and openpi write: published towers by name.
  private struct VariantForm: Decodable {
    let type: String?
    let paligemma_variant, action_expert_variant: String
    let action_dim, action_horizon: Int?  // openpi
    let max_action_dim, chunk_size, num_inference_steps, tokenizer_max_length: Int?  // lerobot
    let image_resolution: [Int]?
    let min_period, max_period: Double?
    let input_features: [String: LerobotFeature]?
  }

  private init(_ form: VariantForm, json: Data, shapes: TensorShapes) throws(PI0Error) {
    let variant: Variant
    switch form.type {
    case "pi0": variant = .pi0
    case "pi05": variant = .pi05
    case nil: variant = shapes.variant
    case .some(let other):
      throw .configuration("\"type\" is \"\(other)\"; PI0Kit runs \"pi0\" and \"pi05\"")
    }
    self = variant == .pi0 ? .pi0 : .pi05
    language = try Self.tower(form.paligemma_variant)
    expert = try Self.tower(form.action_expert_variant)
    actionDimension = form.max_action_dim ?? form.action_dim ?? actionDimension
    actionHorizon = form.chunk_size ?? form.action_horizon ?? actionHorizon
    denoisingSteps = form.num_inference_steps ?? denoisingSteps
    if form.type != nil { times = .exact }  // only lerobot names a type
    promptLength = form.tokenizer_max_length ?? promptLength
    if let resolution = form.image_resolution, resolution != [vision.imageSize, vision.imageSize] {
      throw .configuration(
        "\"image_resolution\" is \(resolution); the vision tower takes "
          + "[\(vision.imageSize), \(vision.imageSize)]")
    }
    guard form.min_period ?? 4e-3 == 4e-3, form.max_period ?? 4 == 4 else {
      throw .configuration("\"min_period\" and \"max_period\" must be 0.004 and 4")
    }
    let cameras = Self.cameras(form.input_features ?? [:], json: json)
    if !cameras.isEmpty { self.cameras = cameras }
  }

  private static func tower(_ name: String) throws(PI0Error) -> Gemma {
    switch name {
    case "gemma_2b", "gemma_2b_lora": return .gemma2B
    case "gemma_300m", "gemma_300m_lora": return .gemma300M
    case "dummy": return .dummy
    default:
      throw .configuration(
        "there is no tower called \"\(name)\"; known are gemma_2b, gemma_300m and dummy")
    }
  }

  /// The visual features, `observation.images.NAME`, in the order of the file: a policy sees its
  /// cameras in that order, which a decoded dictionary has lost.
  static func cameras(_ features: [String: LerobotFeature], json: Data) -> [String] {
    let text = String(decoding: json, as: UTF8.self)
    let found = features.compactMap { name, feature -> (position: String.Index, camera: String)? in
      guard feature.type == "VISUAL", let position = text.firstRange(of: "\"\(name)\"") else {
        return nil
      }
      let camera = name.split(separator: ".").last.map(String.init) ?? name
      return (position.lowerBound, camera)
    }
    return found.sorted { $0.position < $1.position }.map(\.camera)
  }

  static func describe(_ error: DecodingError) -> String {
    switch error {
    case .keyNotFound(let key, _): return "\"\(key.stringValue)\" is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return "\"\(path)\" is not what it should be: \(context.debugDescription)"
    case .dataCorrupted(let context): return "no valid JSON: \(context.debugDescription)"
    @unknown default: return "\(error)"
    }
  }
}
