import XCTest

@testable import TensixISA
@testable import Wormhole

/// What whole lists leave in L1 and DRAM. As with every device test, whatever is read here is compared
/// between the emulator and the official simulator.
final class SameBytesTests: DeviceTestCase {
  /// A list with commands of all kinds, and then all buffers of every fourth tile.
  func testAllMemoryAfterAList() throws {
    try withCard { card in
      let buffers = UInt64(Buffer.right)..<UInt64(Image.pack)
      // What no command writes must be the same, too.
      try card.transport.multicast(
        [UInt32](repeating: 0x3F80_3F80, count: buffers.count / 4), at: buffers.lowerBound)
      var values = Values(seed: 41)
      func matrix(_ rows: Int, _ columns: Int, _ format: TileFormat = .bfloat16) throws -> Matrix {
        try card.matrix(values.array(rows * columns), rows: rows, columns: columns, format)
      }
      let x = try matrix(51, 96), y = try matrix(51, 96), row = try matrix(1, 96)
      let w = try matrix(96, 320), w8 = try matrix(96, 320, .bfp8), wide = try matrix(96, 4096)
      let tall = try matrix(4096, 64), f = try matrix(51, 96, .float32)
      let bias = try matrix(1, 320), residual = try matrix(51, 320)
      let many = try matrix(400, 96), wideMany = try matrix(400, 256)
      var outs: [Matrix] = []
      func out(_ rows: Int, _ columns: Int, _ format: TileFormat = .bfloat16) throws -> Matrix {
        outs.append(try card.allocate(rows: rows, columns: columns, format: format))
        return outs[outs.count - 1]
      }
      let hidden = try out(51, 4096)
      let pictures = try card.allocatePictures(count: 2, height: 30, width: 45)
      let pixels = (0..<pictures.byteCount).map { UInt8(truncatingIfNeeded: $0 * 11) }
      try pixels.withUnsafeBytes { try card.upload($0, to: pictures) }
      try card.run { builder in
        try builder.linear(
          x, w, bias: bias, residual: residual, activation: .gelu, into: out(51, 320))
        try builder.linear(x, w8, activation: .silu, into: out(51, 320))
        try builder.linear(f, w, into: out(51, 320, .float32))
        try builder.linear(many, w8, bias: bias, activation: .gelu, into: out(400, 320))
        try builder.linear(x, wide, into: hidden)
        try builder.linear(hidden, tall, into: out(51, 64))
        try builder.binary(.add, x, y, into: out(51, 96))
        try builder.binary(.multiply, x, row, into: out(51, 96))
        try builder.unary(f, activation: .gelu, scale: -2, into: out(51, 96, .float32))
        try builder.copy(x, into: out(51, 96))
        try builder.gather(
          x, row: 3, rowStep: 2, column: 5, rows: 20, columns: 70, into: out(20, 70))
        try builder.reshape(x, into: out(96, 51))
        try builder.patches(7, of: pictures, into: out(48, 147))
        try builder.normalize(x, centred: true, weight: row, epsilon: 1e-6, into: out(51, 96))
        try builder.normalize(
          wideMany, centred: true, weight: nil, epsilon: 1e-6, into: out(400, 256))
      }
      for matrix in outs { _ = try card.download(matrix) }
      for tile in card.tiles.enumerated().filter({ $0.offset % 4 == 0 }).map(\.element) {
        _ = try card.transport.readWords(buffers.count / 4, from: tile, at: buffers.lowerBound)
      }
    }
  }
}
