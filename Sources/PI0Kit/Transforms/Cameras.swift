/// Gives the robot's cameras the model's names.
///
/// A camera that neither side knows is an error, as is one that must be there and is not. Of a name
/// with dots, such as lerobot's `observation.images.top`, the last part will do.
public struct RenameCameras: Transform, Equatable {
  /// The model's name by the robot's. Several of the robot's may stand for one camera, of which one
  /// is given at a time.
  public var names: [String: String]
  /// Cameras of the robot's that must have a frame.
  public var required: Set<String>
  /// Cameras of the robot's that are taken and dropped.
  public var ignored: Set<String>

  /// A renaming of the given cameras.
  public init(_ names: [String: String], required: Set<String> = [], ignored: Set<String> = []) {
    self.names = names
    self.required = required
    self.ignored = ignored
  }

  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    func renamed(_ camera: String) throws(PI0Error) -> String? {
      if ignored.contains(camera) { return nil }
      let lastPart = camera.split(separator: ".").last.map(String.init) ?? camera
      guard let name = names[camera] ?? names[lastPart] else {
        throw .input(
          "the policy has no camera \(camera.quoted); it knows "
            + ignored.union(names.keys).sorted().joined(separator: ", "))
      }
      return name
    }
    for camera in required.sorted() where observation.images[camera] == nil {
      throw .input(
        "camera \(camera.quoted) has no frame; the policy was trained with it always there")
    }
    var result = observation
    result.images = [:]
    for (camera, image) in observation.images {
      guard let name = try renamed(camera) else { continue }
      guard result.images.updateValue(image, forKey: name) == nil else {
        throw .input("two cameras have frames for the model's \(name.quoted); give one of them")
      }
    }
    result.maskedCameras = []
    for camera in observation.maskedCameras {
      if let name = try renamed(camera) { result.maskedCameras.insert(name) }
    }
    return result
  }

  public func robotSide(of modelSide: RobotInterface) -> RobotInterface {
    var result = modelSide
    result.cameras = modelSide.cameras.flatMap { camera in
      names.filter { $0.value == camera }.keys.sorted()
    }
    return result
  }
}

/// Masks cameras out, whether they have a frame or not.
public struct MaskCameras: Transform, Equatable {
  /// The cameras, by the name that they have at this place.
  public var cameras: Set<String>

  /// A mask of the given cameras.
  public init(_ cameras: Set<String>) { self.cameras = cameras }

  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    var result = observation
    result.maskedCameras.formUnion(cameras)
    return result
  }
}
