/// What openpi's training configurations do between a robot and the model: names of cameras and
/// keys, units, and which actions are relative.
///
/// An openpi checkpoint does not say which of them it was trained with.
public struct RobotPreset: Sendable {
  /// Its name on the command line.
  public var name: String
  /// From the robot on, up to normalisation.
  public var transforms: [any Transform]
  /// Whether the state is part of the prompt; nil where the variant decides: it is in pi0.5.
  public var statesInPrompt: Bool?
  /// Where the parts of an observation are in what openpi's clients send.
  public var keys: ObservationKeys

  /// A preset of the caller's.
  public init(
    name: String, transforms: [any Transform], statesInPrompt: Bool? = nil,
    keys: ObservationKeys = ObservationKeys()
  ) {
    self.name = name
    self.transforms = transforms
    self.statesInPrompt = statesInPrompt
    self.keys = keys
  }

  /// The model's own camera names, any state, all actions.
  public static let plain = RobotPreset(name: "plain", transforms: [])

  /// Two arms of six joints with grippers.
  ///
  /// Source: `LeRobotAlohaDataConfig`, `aloha_policy.py` in openpi.
  ///
  /// - Parameters:
  ///   - adaptsToPi: joints and grippers are converted to the space of the pretraining.
  ///   - deltaJoints: the model's actions are relative to the state, but for the grippers.
  public static func aloha(adaptsToPi: Bool = true, deltaJoints: Bool = true) -> RobotPreset {
    var transforms: [any Transform] = [
      ExpectState(14),
      RenameCameras(
        [
          "cam_high": "base_0_rgb", "cam_left_wrist": "left_wrist_0_rgb",
          "cam_right_wrist": "right_wrist_0_rgb",
        ], required: ["cam_high"], ignored: ["cam_low"]),
    ]
    if adaptsToPi { transforms += [FlipJoints([1, 2, 8, 9]), AlohaGrippers()] }
    transforms.append(KeepActions(14))
    if deltaJoints { transforms.append(DeltaActions(runs: 6, -1, 6, -1)) }
    return RobotPreset(
      name: "aloha", transforms: transforms,
      keys: ObservationKeys(
        images: Dictionary(
          uniqueKeysWithValues: ["cam_high", "cam_low", "cam_left_wrist", "cam_right_wrist"]
            .map { ("images/\($0)", $0) }),
        imagesAreChannelsFirst: true))
  }

  /// A Franka arm with seven joints and a gripper.
  ///
  /// Source: `DroidInputs`, `DroidOutputs` in openpi's `droid_policy.py`.
  ///
  /// - Parameter deltaJoints: the model's actions are joint positions relative to the state; the
  ///   published checkpoints act on velocities.
  public static func droid(deltaJoints: Bool = false) -> RobotPreset {
    RobotPreset(
      name: "droid",
      transforms: [
        ExpectState(8),
        RenameCameras(
          ["exterior_image_1_left": "base_0_rgb", "wrist_image_left": "left_wrist_0_rgb"],
          required: ["exterior_image_1_left", "wrist_image_left"]),
        KeepActions(8), DeltaActions(mask: deltaJoints ? DeltaActions(runs: 7, -1).mask : []),
      ],
      keys: ObservationKeys(
        images: [
          "observation/exterior_image_1_left": "exterior_image_1_left",
          "observation/wrist_image_left": "wrist_image_left",
        ], state: ["observation/joint_position", "observation/gripper_position"]))
  }

  /// The LIBERO simulation: end effector and gripper.
  ///
  /// Source: `LeRobotLiberoDataConfig`, `libero_policy.py` in openpi.
  ///
  /// - Parameters:
  ///   - extraDelta: the model's actions are relative to the state once more, as in openpi's
  ///     `pi0_libero`; not in `pi05_libero`.
  ///   - statesInPrompt: false as in openpi's `pi05_libero`.
  public static func libero(extraDelta: Bool, statesInPrompt: Bool = false) -> RobotPreset {
    RobotPreset(
      name: "libero",
      transforms: [
        ExpectState(8),
        RenameCameras(
          ["image": "base_0_rgb", "wrist_image": "left_wrist_0_rgb"],
          required: ["image", "wrist_image"]),
        KeepActions(7), DeltaActions(mask: extraDelta ? DeltaActions(runs: 6, -1).mask : []),
      ], statesInPrompt: statesInPrompt,
      keys: ObservationKeys(
        images: ["observation/image": "image", "observation/wrist_image": "wrist_image"],
        state: ["observation/state"]))
  }

  /// Names of ``named(_:variant:)``.
  public static let names = ["aloha", "droid", "libero", "plain"]

  /// The preset of that name, as openpi's own configuration of the variant has it.
  ///
  /// - Throws: ``PI0Error/input(_:)`` for a name that is none of ``names``.
  public static func named(
    _ name: String, variant: PolicyConfiguration.Variant
  ) throws(PI0Error) -> RobotPreset {
    switch name {
    case "aloha": return aloha()
    case "droid": return droid()
    case "libero": return libero(extraDelta: variant == .pi0)
    case "plain": return plain
    default:
      throw .input(
        "there is no preset \(name.quoted); there are \(names.joined(separator: ", "))")
    }
  }
}

/// Where the parts of an observation are in what a client sends. Keys within keys are joined by
/// `/`.
public struct ObservationKeys: Sendable, Equatable {
  /// The robot's camera name by its frame's key. Where there are none, every key that begins with
  /// `images/` is a frame, its rest the camera's name.
  public var images: [String: String]
  /// Keys of vectors that make up the state, end to end.
  public var state: [String]
  /// The key of the sentence.
  public var prompt: String
  /// Frames are `[3, height, width]` instead of `[height, width, 3]`.
  public var imagesAreChannelsFirst: Bool

  /// Keys of the given names.
  public init(
    images: [String: String] = [:], state: [String] = ["state"], prompt: String = "prompt",
    imagesAreChannelsFirst: Bool = false
  ) {
    self.images = images
    self.state = state
    self.prompt = prompt
    self.imagesAreChannelsFirst = imagesAreChannelsFirst
  }
}
