/// The Tensix tiles of a card: rows may be switched off, columns not. Tiles are numbered row by row.
package enum TileGrid {
  package static var columns: UInt32 { 8 }
}

/// Where the five programs lie in a tile's L1: four one behind the other, and one at its end.
package enum Image {
  package static var sequencer: UInt32 { 0 }
  package static var unpack: UInt32 { 0x2E00 }
  package static var math: UInt32 { 0x8E00 }
  package static var reader: UInt32 { 0x11800 }
  package static var end: UInt32 { 0x1A800 }
  package static var pack: UInt32 { 0x16A000 }
  package static var packEnd: UInt32 { 0x16E000 }
}

/// Control words of a tile, in L1. What the NoC writes stands on a 16-byte line of its own.
package enum Control {
  package static var start: UInt32 { 0x1A800 }
  package static var byteCount: UInt32 { 0x200 }
  /// Where the lines end by which tiles tell one another what they have sent.
  package static var end: UInt32 { 0x1B800 }

  /// Multicast by the master: the sequence number of the command that may run.
  package static var release: UInt32 { 0x1A800 }
  /// Multicast by the master: the sequence number of the newest command that is here.
  package static var announced: UInt32 { 0x1A810 }

  // Written by the host at boot.
  package static var tileIndex: UInt32 { 0x1A820 }
  /// Tiles that take part.
  package static var tileCount: UInt32 { 0x1A824 }
  /// Tiles that a multicast reaches, whether or not they take part.
  package static var receiverCount: UInt32 { 0x1A828 }
  /// x | y << 6 of the master.
  package static var master: UInt32 { 0x1A82C }

  // How far each core is: the sequence number of the last command it has finished.
  package static var doneReader: UInt32 { 0x1A830 }
  package static var doneUnpack: UInt32 { 0x1A834 }
  package static var doneMath: UInt32 { 0x1A838 }
  package static var donePack: UInt32 { 0x1A83C }
  package static var doneWriter: UInt32 { 0x1A840 }
  /// The last command that all five cores have finished.
  package static var finished: UInt32 { 0x1A848 }
  /// The math program has initialised the semaphores.
  package static var mathReady: UInt32 { 0x1A844 }
  /// Partial sums that have come to this tile (``Buffer/plane(_:)``), by atomic increments of other tiles, and that it
  /// has added.
  package static var planesCome: UInt32 { 0x1A890 }
  package static var planesUsed: UInt32 { 0x1A84C }

  // Tiles in flight between the cores.
  package static var leftPushed: UInt32 { 0x1A850 }
  package static var leftPopped: UInt32 { 0x1A854 }
  package static var rightPushed: UInt32 { 0x1A858 }
  package static var rightPopped: UInt32 { 0x1A85C }
  package static var outputPushed: UInt32 { 0x1A860 }
  package static var outputPopped: UInt32 { 0x1A864 }
  /// Probabilities of ``Operation/attention``, sums of ``Operation/normalize`` that are in the tile's scratch; it
  /// only grows.
  package static var probabilities: UInt32 { 0x1A868 }
  /// The last command whose own part of sums (``Buffer/ownPart``) the tile has packed.
  package static var partPacked: UInt32 { 0x1A86C }
  /// Pairs of columns that ``Operation/thinAttention`` has turned on this tile; it only grows.
  package static var turned: UInt32 { 0x1A870 }

  package static var atomicReturn: UInt32 { 0x1A880 }
  /// What a tile tells others of its part of ``Operation/thinAttention``.
  package static var partSource: UInt32 { 0x1A8C0 }
  /// What is multicast to the lines of ``sent(_:)`` that a command writes twice: first, then.
  package static var firstTold: UInt32 { 0x1A8A0 }
  package static var thenTold: UInt32 { 0x1A8B0 }

  // The master's alone.
  /// One line from the host: address of the list, commands in it, 0, run.
  package static var doorbell: UInt32 { 0x1A900 }
  package static var doorbellRun: UInt32 { 0x1A90C }
  /// Read by the host: the run that is finished.
  package static var completion: UInt32 { 0x1A910 }
  /// Low half of the address in host memory where the completion goes, too.
  package static var hostCompletion: UInt32 { 0x1A920 }
  /// Not 0 as long as the host's memory behind the PCIe tile is the card's to write, and its lists are
  /// to be run. Two words, so that one 64-bit write clears it.
  package static var hostValid: UInt32 { 0x1A930 }
  /// What the multicasts send: of two commands that are released at a time, each its own.
  package static var announcedSource: UInt32 { 0x1A940 }
  @inline(__always) package static func releaseSource(_ sequence: UInt32) -> UInt32 {
    0x1A970 + (sequence & 1) * 16
  }
  /// Atomic increments by all tiles, commands with even and with odd numbers apart: of two commands
  /// that run at a time, each has its count.
  @inline(__always) package static func arrivals(_ sequence: UInt32) -> UInt32 {
    0x1A950 + (sequence & 1) * 16
  }

  /// Where the tile `member` of those that share a thin product's activations says to the others that they have
  /// what it sends: the command's number. A line of its own for each.
  @inline(__always) package static func sent(_ member: UInt32) -> UInt32 { 0x1B000 + 16 * member }

  // Where tiles say to others what they have sent of ``Operation/thinAttention``.
  /// All of a part, to the tiles that combine it: the command's number.
  @inline(__always) package static func partSent(_ part: UInt32) -> UInt32 { 0x1AA00 + 16 * part }
  /// The queries of a tile, by its column: the command's number.
  @inline(__always) package static func queriesSent(_ x: UInt32) -> UInt32 { 0x1AA80 + 16 * x }
  /// Keys and values by a tile of their part: four times the command's number, and 1 when the first segment's
  /// keys, and masks, are sent, 2 when its values, 3 when the second segment's.
  @inline(__always) package static func keysSent(_ sharer: UInt32) -> UInt32 {
    0x1B500 + 16 * sharer
  }
  /// Turned keys by a tile of their part: the command's number.
  @inline(__always) package static func turnedSent(_ sharer: UInt32) -> UInt32 {
    0x1B640 + 16 * sharer
  }

  /// The sequencer's: tiles to be told of planes, as many as there are slots of results.
  package static var planePlaces: UInt32 { 0x1A990 }

  /// Stands for no address: the driver hands out none above 0xFFFE0000, but the first is 0.
  package static var nowhere: UInt32 { 0xFFFF_FFFF }
}

/// The rest of a tile's L1.
package enum Buffer {
  /// Commands take turns in these places: one or two run, those that follow are announced.
  package static var commandPlaces: UInt32 { 8 }
  @inline(__always) package static func command(_ sequence: UInt32) -> UInt32 {
    0x1B800 + (sequence & (commandPlaces - 1)) * CommandLayout.byteCount
  }
  /// How many commands are announced behind the one that all have come to: the command before that may still be
  /// looked at.
  package static var commandsAhead: UInt32 { 6 }

  /// Code that a core (2 is T1, 3 T2) writes for itself.
  @inline(__always) package static func routines(of core: UInt32) -> UInt32 {
    0x1B600 + core * 0x400
  }

  /// x | y << 6 of every tile that takes part.
  package static var tiles: UInt32 { 0x1BA00 }
  /// The master's alone: of a list a command from DRAM, on its way to all tiles, and the next one.
  @inline(__always) package static func fetchedCommand(_ index: UInt32) -> UInt32 {
    0x1BC00 + (index & 1) * CommandLayout.byteCount
  }

  /// A tile whose column 0 is 1.0: times a tile with a bias in row 0, it adds that to every row.
  package static var ones: UInt32 { 0x1C800 }
  /// The identity: times a tile, it adds that exactly.
  package static var identity: UInt32 { 0x1D000 }
  /// 1.0 everywhere: a tile times it has its row's sum in every column.
  package static var allOnes: UInt32 { 0x1D800 }

  /// Weights, or second operands; slots of a tile in bfp8, of which a bfloat16 tile takes two and a float32 tile
  /// four.
  package static var right: UInt32 { 0x1E000 }
  package static var rightDepth: UInt32 { 128 }
  package static var rightSlotBytes: UInt32 { 1088 }
  /// Activations, or first operands; slots of 2048 bytes.
  package static var left: UInt32 { 0x40000 }
  package static var leftDepth: UInt32 { 512 }
  /// Results; slots of 4096 bytes.
  package static var output: UInt32 { 0x140000 }
  package static var outputDepth: UInt32 { 16 }

  /// For what one command alone knows: what moving needs, or partial sums on their way from `linear` to
  /// `reduce`.
  package static var scratch: UInt32 { 0x150000 }
  package static var scratchBytes: UInt32 { 0x1A000 }

  /// A row of probabilities of ``Operation/attention``, tile by tile in bfloat16.
  @inline(__always) package static func probabilities(_ number: UInt32) -> UInt32 {
    scratch + number * 2048
  }
  package static var probabilityCount: UInt32 { scratchBytes / 2048 }

  /// Partial sums in fp32 that fit.
  package static var planeCount: UInt32 { scratchBytes / 4096 }
  @inline(__always) package static func plane(_ number: UInt32) -> UInt32 {
    scratch + number * 4096
  }

  /// Sums of squares that tiles tell one another in ``Operation/thinNormalize``: four rows of 16 values in fp32 for each
  /// tile that shares the row, two tiles of the matrix for all. Other tiles may have partial sums of the command before.
  package static var partBytes: UInt32 { 256 }
  package static var partCount: UInt32 { 32 }
  package static var planesBeforeParts: UInt32 { 16 }
  @inline(__always) package static func part(_ row: UInt32, _ member: UInt32) -> UInt32 {
    plane(planesBeforeParts) + (row * partCount + member) * partBytes
  }
  /// Where a tile packs its own, in the first bytes of a tile in fp32.
  package static var ownPart: UInt32 { part(ThinProductCommand.maximumRows, 0) }
}
