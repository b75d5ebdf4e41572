import Foundation
import PI0Kit

/// An observation on disk: `{"images": {camera: picture file}, "state": […], "tokens": […]}`, and
/// optionally `"image_masks": {camera: false}` for frames that must not be seen. Pictures are PNG
/// or JPEG files, named relative to the JSON file.
struct ObservationFile: Decodable {
  let images: [String: String]
  let image_masks: [String: Bool]?
  let state: [Float]
  let tokens: [Int32]

  static func read(_ path: String) throws(PI0Error) -> Observation {
    let contents = try readFile(path)
    let file: ObservationFile
    do {
      file = try JSONDecoder().decode(ObservationFile.self, from: contents)
    } catch {
      throw .file(path: path, reason: reason(error))
    }
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent()
    var images: [String: RGBImage] = [:]
    for (camera, picture) in file.images {
      images[camera] = try ImageFile.read(URL(fileURLWithPath: picture, relativeTo: folder).path)
    }
    let masked = (file.image_masks ?? [:]).filter { !$0.value }.keys
    return Observation(
      images: images, maskedCameras: Set(masked), state: file.state, tokens: file.tokens)
  }

  private static func reason(_ error: any Error) -> String {
    let form = #"expected {"images": {camera: file}, "state": [numbers], "tokens": [integers]}"#
    switch error {
    case DecodingError.keyNotFound(let key, _):
      return "\"\(key.stringValue)\" is missing; \(form)"
    case DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context):
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return "\"\(path)\" is of the wrong type; \(form)"
    default:
      return "is no valid JSON; \(form)"
    }
  }
}
