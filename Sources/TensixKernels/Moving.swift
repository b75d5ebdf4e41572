// What gather, reshape and patches have in common. The reader puts output tiles together in slots of the output
// buffer, the writer brings them to DRAM; the Tensix threads have no part in it.
//
// A segment is a face's row: sixteen elements, contiguous, and aligned as reads of DRAM ask for it. Where
// elements keep their place in a segment, the NoC reads them from DRAM to where they belong. Where they
// do not, segments come to a staging buffer and the core moves their elements.
//
// An output tile belongs to one tile of the card. If a command names only a part of it, the page is read
// first: the rest stays as it is.
import _Volatile

extension GatherCommand {
  @inline(__always) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }
}

extension ReshapeCommand {
  @inline(__always) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }
}

extension PatchesCommand {
  @inline(__always) init(_ sequence: UInt32) {
    let base = Buffer.command(sequence)
    self.init(reading: { Memory[base + 4 * $0] })
  }
}

// MARK: - Reading

/// Reads of elements, awaited together: responses of different banks come in any order.
struct ElementReader {
  let base: UInt32
  let stride: UInt32
  let shift: UInt32
  private(set) var awaited = NoC.reading.readsDone
  /// The page read last: the next one is mostly the same.
  private var page: UInt32 = 0
  private var location: DRAMLocation

  /// Of a matrix whose elements take `1 << shift` bytes.
  init(base: UInt32, stride: UInt32, shift: UInt32) {
    self.base = base
    self.stride = stride
    self.shift = shift
    location = DRAMLocation(base: base, page: 0, pageBytes: 1024 &<< shift)
  }

  /// Elements that are contiguous in a face, from `row` and `column` on.
  @inline(never) mutating func read(
    row: UInt32, column: UInt32, count: UInt32, to address: UInt32
  ) {
    let page = row >> 5 &* stride &+ column >> 5
    if page != self.page {
      self.page = page
      location = DRAMLocation(base: base, page: page, pageBytes: 1024 &<< shift)
    }
    var place = location
    place.address &+= elementOffset(row, column & 31) &<< shift
    read(place, bytes: count &<< shift, to: address)
  }

  @inline(__always) mutating func read(_ place: DRAMLocation, bytes: UInt32, to address: UInt32) {
    NoC.reading.read(place, to: address, bytes: bytes)
    awaited &+= 1
  }

  @inline(__always) func finish() { NoC.reading.awaitReads(awaited) }
}

/// Where an element stands in tiles side by side, one page after the other.
@inline(__always) func elementOffset(_ row: UInt32, _ column: UInt32) -> UInt32 {
  (column >> 5) << 10 | (row & 16) << 5 | (row & 15) << 4 | (column & 16) << 4 | column & 15
}

// MARK: - Moving elements in L1

/// Sixteen bits of L1.
enum HalfWord {
  @inline(__always) static subscript(_ address: UInt32) -> UInt32 {
    get {
      UInt32(VolatileMappedRegister<UInt16>(unsafeBitPattern: UInt(address)).load())
    }
    set {
      VolatileMappedRegister<UInt16>(unsafeBitPattern: UInt(address))
        .store(UInt16(truncatingIfNeeded: newValue))
    }
  }
}

/// Copies `bytes`, an even count. A store costs five cycles, so words are stored wherever they can be.
@inline(never) func copyElements(from: UInt32, to: UInt32, bytes: UInt32) {
  var from = from, to = to
  let end = to &+ bytes
  if to & 2 != 0 {
    HalfWord[to] = HalfWord[from]
    from &+= 2
    to &+= 2
  }
  if from & 2 == 0 {
    while to &+ 4 <= end {
      Memory[to] = Memory[from]
      from &+= 4
      to &+= 4
    }
  } else {
    var word = Memory[from &- 2]
    while to &+ 4 <= end {
      let next = Memory[from &+ 2]
      Memory[to] = word >> 16 | next << 16
      word = next
      from &+= 4
      to &+= 4
    }
  }
  if to < end { HalfWord[to] = HalfWord[from] }
}

/// Fills `bytes`, an even count, with one element; one of two bytes stands in both halves of `word`.
@inline(never) func fillElements(_ word: UInt32, to: UInt32, bytes: UInt32) {
  var to = to
  let end = to &+ bytes
  if to & 2 != 0 {
    HalfWord[to] = word
    to &+= 2
  }
  while to &+ 4 <= end {
    Memory[to] = word
    to &+= 4
  }
  if to < end { HalfWord[to] = word }
}

// MARK: - Slots of the output buffer

/// The reader's slots: several tiles' reads are under way before the first is handed to the writer.
struct OutputSlots {
  private var pending: UInt32 = 0

  /// A slot for page `page` of the output.
  @inline(never) mutating func next(page: UInt32) -> UInt32 {
    let buffer = CircularBuffer.output
    let number = buffer.reserve(pending + 1) &+ pending
    Memory[MovingScratch.page(number)] = page
    pending += 1
    return buffer.slot(number)
  }

  /// Everything asked for is here.
  @inline(__always) mutating func push() {
    CircularBuffer.output.push(pending)
    pending = 0
  }

  @inline(__always) var isHalfFull: Bool { pending == Buffer.outputDepth / 2 }

  /// Says that there are no more.
  @inline(__always) mutating func end() {
    _ = next(page: MovingScratch.end)
    push()
  }
}

/// The writer's part of these commands: returns when DRAM has acknowledged all of it.
func writeMoved(out: UInt32, format: UInt32) {
  let noc = NoC.writing, buffer = CircularBuffer.output
  let bytes = DataFormat.tileBytes(format)
  var isEnd = false
  while !isEnd {
    let count = buffer.waitForAny(), first = buffer.first
    var awaited = noc.writesDone
    for number in first..<first + count {
      let page = Memory[MovingScratch.page(number)]
      if page == MovingScratch.end {
        isEnd = true
      } else {
        noc.write(
          buffer.slot(number), to: DRAMLocation(base: out, page: page, pageBytes: bytes),
          bytes: bytes)
        awaited &+= 1
      }
    }
    noc.awaitWrites(awaited)
    buffer.pop(count)
  }
}
