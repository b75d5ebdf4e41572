/// A sentence for observations that have none.
public struct DefaultPrompt: Transform, Equatable {
  /// The sentence.
  public var text: String

  /// `text` where an observation has no prompt.
  public init(_ text: String) { self.text = text }

  /// The observation with a prompt.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    var result = observation
    result.prompt = observation.prompt ?? .text(text)
    return result
  }
}

/// Takes white space off both ends of a sentence, and puts spaces for `_` and line feeds.
///
/// Source: `PaligemmaTokenizer` in openpi's `tokenizer.py`.
public struct CleanPrompt: Transform, Equatable {
  /// The cleaning.
  public init() {}

  /// The observation with its sentence cleaned.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    observation.mapText(Self.clean)
  }

  static func clean(_ text: String) -> String {
    // By scalars: a carriage return and a line feed are one Character.
    var scalars = Substring(text).unicodeScalars
    while let first = scalars.first, isSpace(first) { scalars.removeFirst() }
    while let last = scalars.last, isSpace(last) { scalars.removeLast() }
    var cleaned = String.UnicodeScalarView()
    for scalar in scalars { cleaned.append(scalar == "_" || scalar == "\n" ? " " : scalar) }
    return String(cleaned)
  }

  /// What Python's `str.strip` takes off: Unicode's white space and the four separators of ASCII.
  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
  }
}

/// Ends a sentence with a line feed, unless it does.
///
/// Source: lerobot's `Pi0NewLineProcessor`.
public struct EndPromptWithLineFeed: Transform, Equatable {
  /// The ending.
  public init() {}

  /// The observation with its sentence ended.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    observation.mapText { $0.unicodeScalars.last == "\n" ? $0 : $0 + "\n" }
  }
}

/// pi0.5's prompt: the cleaned sentence, and the state in 256 steps from -1 to 1.
///
/// `Task: SENTENCE, State: 127 3 …;\nAction: `, where each number is how many of -1, -1 + 1/128, …
/// are at most the state's value, less one: -1 for what lies below -1, 255 for what lies above.
///
/// The state must be normalised at this place. A prompt of token ids is left as it is.
///
/// Source: `PaligemmaTokenizer` in openpi's `tokenizer.py`; lerobot's
/// `Pi05PrepareStateTokenizerProcessorStep`.
public struct StateInPrompt: Transform, Equatable {
  /// The form.
  public init() {}

  /// The observation with its sentence in that form.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    let state = observation.state.map { String(Self.step($0)) }.joined(separator: " ")
    return observation.mapText { "Task: \(CleanPrompt.clean($0)), State: \(state);\nAction: " }
  }

  /// The steps' edges are exact in float64, so that comparing with one tells where a value lies.
  static func step(_ value: Double) -> Int {
    if value.isNaN { return 255 }  // beyond every edge, as in NumPy
    func edge(_ step: Int) -> Double { Double(step) / 128 - 1 }
    var step = Int(min(max(((value + 1) * 128).rounded(.down), -1), 255))
    if step < 255, edge(step + 1) <= value { step += 1 }  // the sum was rounded
    if step >= 0, edge(step) > value { step -= 1 }
    return step
  }
}

/// Turns a sentence into token ids: BOS, the sentence, and an ending by itself. Token ids are left
/// as they are.
///
/// Source: `PaligemmaTokenizer` in openpi's `tokenizer.py`; lerobot's `TokenizerProcessorStep`.
public struct TokenizePrompt: Transform {
  /// What makes the ids.
  public var tokenizer: any PromptTokenizer
  /// Text that is tokenised by itself after the sentence; openpi's pi0 has a line feed.
  public var ending: String
  /// The most ids a prompt may have.
  public var maximumLength: Int
  /// Cuts longer prompts, as openpi and lerobot do, instead of throwing. What is cut, the policy
  /// does not know: with pi0.5 that is the state.
  public var truncates: Bool

  /// Tokenises with `tokenizer`.
  public init(
    _ tokenizer: any PromptTokenizer, ending: String = "", maximumLength: Int,
    truncates: Bool = false
  ) {
    self.tokenizer = tokenizer
    self.ending = ending
    self.maximumLength = maximumLength
    self.truncates = truncates
  }

  /// The observation with token ids for a prompt.
  ///
  /// - Throws: ``PI0Error/input(_:)`` for a prompt that is too long, or cannot be tokenised.
  public func forward(_ observation: RobotObservation) throws(PI0Error) -> RobotObservation {
    guard case .text(let text) = observation.prompt else { return observation }
    var tokens = [tokenizer.beginningID]
    tokens += try tokenizer.encode(text)
    if !ending.isEmpty { tokens += try tokenizer.encode(ending) }
    if tokens.count > maximumLength {
      guard truncates else {
        throw .input(
          "the prompt has \(tokens.count) tokens, the policy takes \(maximumLength): shorten "
            + "\(text.quoted), or have longer ones cut, which takes away their end")
      }
      tokens.removeLast(tokens.count - max(maximumLength, 0))
    }
    var result = observation
    result.prompt = .tokens(tokens)
    return result
  }
}

extension RobotObservation {
  /// The same with its sentence changed by `change`. Token ids are left as they are.
  fileprivate func mapText(_ change: (String) -> String) -> RobotObservation {
    guard case .text(let text) = prompt else { return self }
    var result = self
    result.prompt = .text(change(text))
    return result
  }
}
