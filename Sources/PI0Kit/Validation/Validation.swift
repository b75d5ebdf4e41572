import FoundationEssentials

/// Compares every stage of a policy with PyTorch's tensors for it.
///
/// A set is a pair of files, `NAME.weights.safetensors` and `NAME.io.safetensors`: weights under
/// checkpoint keys, and inputs (`in.…`) and results by stage:
///
/// | key | stage |
/// |---|---|
/// | `sin.emb…` | sinusoidal time embedding of `sin.t` |
/// | `siglip.embeddings`, `.layer{i}[.part]`, `.post_layernorm`, `.projected` | vision, first camera |
/// | `prefix.embs`, `.{pad,att}_masks`, `.att_2d`, `.bias4d`, `.position_ids` | prefix embedding |
/// | `vlm.layer{i}[.part]`, `vlm.last_hidden`, `kv.{i}.{key,value}` | language model, valid rows |
/// | `suffix.t{time}.embs`, `.{pad,att}_masks`, `.adarms_cond` | suffix embedding of the noise |
/// | `suffix.att_2d`, `.full_att_2d`, `.position_ids` | its masks and positions |
/// | `expert.layer{i}[.part]`, `expert.norm`, `denoise.v_t{time}` | action expert, velocity |
/// | `traj.x`, `traj.v`, `traj.t`, `out.actions` | denoising |
/// | `state_emb`, `action_emb`, `suffix.embs`, `out.velocity` | the suffix alone |
/// | `resize.out_u8`, `resize.out_f32` | resizing with padding |
public struct Validation: Sendable {
  /// The outcome for one stage.
  public struct Row: Sendable, Equatable, Codable {
    /// What became of a stage.
    public enum Verdict: String, Sendable, Codable {
      /// Within the tolerance.
      case pass
      /// Outside the tolerance, or it threw.
      case fail
      /// Compared for information; no tolerance applies.
      case information
      /// Not compared.
      case skipped
    }

    /// The set's name.
    public let set: String
    /// The stage, which is the key of PyTorch's tensor.
    public let stage: String
    /// The shape of PyTorch's tensor.
    public let shape: [Int]
    /// The figures; nil where nothing was compared.
    public let comparison: Comparison?
    /// What became of it.
    public let verdict: Verdict
    /// Why it failed, was skipped or is for information; empty otherwise.
    public let note: String
  }

  /// A pair of files.
  struct GoldenSet: Sendable {
    let name: String
    let weights: String
    let io: String
  }

  private let sets: [GoldenSet]
  private let device: Device

  /// Finds the sets in a folder.
  ///
  /// - Throws: ``PI0Error/file(path:reason:)`` where there is none, or one has no other half.
  public init(fixtures folder: String, on device: Device = .reference) throws(PI0Error) {
    self.device = device
    let names: [String]
    do {
      names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    } catch {
      throw .file(path: folder, reason: "cannot be listed; give a folder with golden sets")
    }
    let weights = ".weights.safetensors"
    let io = ".io.safetensors"
    let stems = Set(
      names.compactMap { name in
        [weights, io].first { name.hasSuffix($0) }.map { String(name.dropLast($0.count)) }
      })
    guard !stems.isEmpty else {
      throw .file(path: folder, reason: "holds no NAME\(weights) with NAME\(io)")
    }
    var sets: [GoldenSet] = []
    for stem in stems.sorted() {
      for file in [stem + weights, stem + io] where !names.contains(file) {
        throw .file(path: folder, reason: "holds no \(file) to go with the other half of \(stem)")
      }
      sets.append(
        GoldenSet(
          name: stem, weights: "\(folder)/\(stem)\(weights)", io: "\(folder)/\(stem)\(io)"))
    }
    self.sets = sets
  }

  /// Compares all stages of all sets.
  ///
  /// - Parameter onRow: called with each row as soon as there is one.
  /// - Returns: all rows.
  /// - Throws: ``PI0Error`` where a set cannot be loaded. A stage that throws is a failed row.
  public func run(onRow: (Row) -> Void = { _ in }) throws(PI0Error) -> [Row] {
    var rows: [Row] = []
    for set in sets {
      let stages = try GoldenStages(set, on: device)
      for stage in stages.names {
        let row = self.row(set.name, stage, stages)
        rows.append(row)
        onRow(row)
      }
    }
    return rows
  }

  private func row(_ set: String, _ stage: String, _ stages: GoldenStages) -> Row {
    func row(_ comparison: Comparison?, _ verdict: Row.Verdict, _ note: String) -> Row {
      Row(
        set: set, stage: stage, shape: stages.shape(of: stage), comparison: comparison,
        verdict: verdict, note: note)
    }
    do throws(PI0Error) {
      guard let result = try stages.evaluate(stage) else {
        return row(nil, .skipped, "no stage of the policy has this name")
      }
      guard result.actualShape == stages.shape(of: stage) else {
        return row(nil, .fail, "the shape is \(result.actualShape)")
      }
      let comparison = try Comparison(actual: result.actual, expected: result.expected)
      switch result.tolerance {
      case .none:
        return row(comparison, .information, result.note)
      case .some(let tolerance):
        return row(comparison, tolerance.admits(comparison) ? .pass : .fail, result.note)
      }
    } catch {
      return row(nil, .fail, "\(error)")
    }
  }
}
