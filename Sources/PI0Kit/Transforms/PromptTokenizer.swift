/// Turns text into token ids. The product PI0Tokenizer has one for SentencePiece models.
public protocol PromptTokenizer: Sendable {
  /// The id that begins every prompt (BOS).
  var beginningID: Int32 { get }

  /// Ids, from 0 up to but without this.
  var vocabularySize: Int { get }

  /// The ids of `text`, without the one that begins a prompt.
  ///
  /// - Throws: ``PI0Error/input(_:)`` for a text that cannot be tokenised.
  func encode(_ text: String) throws(PI0Error) -> [Int32]
}
