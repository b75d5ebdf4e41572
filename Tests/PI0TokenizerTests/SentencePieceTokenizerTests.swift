import PI0Kit
import PI0Tokenizer
import XCTest

final class SentencePieceTokenizerTests: XCTestCase {}
