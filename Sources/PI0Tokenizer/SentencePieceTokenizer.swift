import CSentencePiece
import PI0Kit

/// Tokenises prompts by a SentencePiece model, such as PaliGemma's `tokenizer.model`, which pi0 was
/// trained with.
///
///     let tokenizer = try SentencePieceTokenizer(path: "paligemma_tokenizer.model")
///     let policy = try RobotPolicy(folder, tokenizer: tokenizer)
///
/// The file is read by Google's SentencePiece library, which is not hardened against files that
/// were made to attack it: take models from where you trust them.
public struct SentencePieceTokenizer: PromptTokenizer {
  /// The id that begins every prompt (BOS).
  public let beginningID: Int32
  /// Ids, from 0 up to but without this.
  public let vocabularySize: Int
  private let model: Model

  /// Owns the library's tokenizer.
  private final class Model: @unchecked Sendable {
    // Unchecked only for the pointer: encoding changes nothing behind it.
    let pointer: OpaquePointer

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { sp_close(pointer) }
  }

  /// Reads a model file.
  ///
  /// - Throws: `PI0Error.file` where it cannot be read, is no SentencePiece
  ///   model, or has no id to begin a text with.
  public init(path: String) throws(PI0Error) {
    let file = try MappedFile(path: path)
    var message = [CChar](repeating: 0, count: Int(SP_MESSAGE_SIZE))
    guard let pointer = sp_open(file.bytes.baseAddress, file.bytes.count, &message) else {
      throw .file(
        path: path, reason: "is no SentencePiece model: \(Self.text(message)); download it again")
    }
    model = Model(pointer)
    vocabularySize = Int(sp_size(pointer))
    beginningID = sp_beginning(pointer)
    guard beginningID >= 0 else {
      throw .file(
        path: path,
        reason: "has no id to begin a text with (BOS), which every prompt needs: check which model "
          + "it is")
    }
  }

  /// The ids of `text`, without the one that begins a prompt.
  ///
  /// - Throws: `PI0Error.input` for a text that cannot be tokenised.
  public func encode(_ text: String) throws(PI0Error) -> [Int32] {
    var text = text
    var ids: UnsafeMutablePointer<Int32>?
    var message = [CChar](repeating: 0, count: Int(SP_MESSAGE_SIZE))
    let count = text.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { characters in
        sp_encode(model.pointer, characters.baseAddress, characters.count, &ids, &message)
      }
    }
    defer { sp_free(ids) }
    guard count >= 0 else {
      throw .input("the prompt cannot be tokenised: \(Self.text(message))")
    }
    return Array(UnsafeBufferPointer(start: ids, count: Int(count)))
  }

  private static func text(_ message: [CChar]) -> String {
    String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}
