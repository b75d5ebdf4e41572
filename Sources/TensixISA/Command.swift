/// A command is one operation over whole matrices: sixty-four bytes, the same on every tile. A tile
/// takes its share by its index and the count of tiles.
package enum CommandLayout {
  package static var wordCount: UInt32 { 16 }
  package static var byteCount: UInt32 { 64 }

  /// In the first word of any command: it may run while tiles are still at work on the command
  /// before it. On the one before that it may depend.
  package static var isIndependent: UInt32 { 1 << 27 }
}

/// The low eight bits of a command's first word. What the others mean is said by the structure in
/// parentheses.
package enum Operation {
  /// Nothing but the barrier.
  package static var nothing: UInt32 { 0 }
  /// out = activation(a b + bias + residual) (``MatrixCommand``).
  package static var linear: UInt32 { 1 }
  /// out = activation(sum of planes of a + bias + residual) (``MatrixCommand``).
  package static var reduce: UInt32 { 2 }
  /// out = activation(a + b) or of a * b, with broadcasting (``MatrixCommand``).
  package static var binary: UInt32 { 3 }
  /// Tiles as they are from one matrix to another (``MatrixCommand``).
  package static var copy: UInt32 { 4 }
  /// `copy` into host memory, by the master: `out` is the low half of an address behind the PCIe tile, and pages lie
  /// there one after the other (``MatrixCommand``).
  package static var download: UInt32 { 5 }
  /// Blocks of rows of one matrix in a part of another (``GatherCommand``).
  package static var gather: UInt32 { 6 }
  /// Row-major elements in rows of another width (``ReshapeCommand``).
  package static var reshape: UInt32 { 7 }
  /// Rows to a mean of 0 and a variance of 1, or to a mean square of 1 (``NormalizeCommand``).
  package static var normalize: UInt32 { 8 }
  /// Heads turned by the angles of their positions (``RotateCommand``).
  package static var rotate: UInt32 { 9 }
  /// softmax(q k^T scale + mask) v (``AttentionCommand``).
  package static var attention: UInt32 { 10 }
  /// `linear` by the whole grid of tiles (``GridProductCommand``).
  package static var gridProduct: UInt32 { 11 }
  /// `linear` of few rows (``ThinProductCommand``).
  package static var thinProduct: UInt32 { 12 }
  /// `normalize` of few rows (``NormalizeCommand``).
  package static var thinNormalize: UInt32 { 13 }
  /// `attention` of few rows (``ThinAttentionCommand``).
  package static var thinAttention: UInt32 { 14 }
  /// Pictures of bytes, cut into patches (``PatchesCommand``).
  package static var patches: UInt32 { 15 }
}

/// What is applied to the fp32 accumulator before a result is rounded.
package enum ActivationCode {
  package static var none: UInt32 { 0 }
  /// x / (1 + exp(-x))
  package static var silu: UInt32 { 1 }
  /// The tanh form, x / (1 + exp(-2 sqrt(2 / pi) (x + 0.044715 x^3)))
  package static var gelu: UInt32 { 2 }
}

/// How the second operand of ``Operation/binary`` is spread over the first.
package enum BroadcastCode {
  package static var none: UInt32 { 0 }
  /// b is [rows, 1].
  package static var column: UInt32 { 1 }
  /// b is [1, columns].
  package static var row: UInt32 { 2 }
  /// b is [1, 1].
  package static var scalar: UInt32 { 3 }
}
