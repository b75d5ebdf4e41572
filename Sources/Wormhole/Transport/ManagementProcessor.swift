/// A card's registers in BAR 0, apart from the windows.
protocol CardRegisters: AnyObject {
  var name: String { get }
  func readRegister(at offset: UInt32) throws(CardError) -> UInt32
  func writeRegister(_ value: UInt32, at offset: UInt32) throws(CardError)
  /// Lets time pass between two looks.
  func pause() throws(CardError)
}

/// The card's own processor (ARC), asked through its scratch registers.
struct ManagementProcessor {
  let registers: any CardRegisters

  /// What the firmware can be asked.
  enum Message: UInt32 {
    case aiClock = 0x34
    case goBusy = 0x52
    case goLongIdle = 0x54
    case harvesting = 0x57
  }

  private enum Register {
    static let bootCode: UInt32 = 0x1FF3_0060
    static let argument: UInt32 = 0x1FF3_006C
    static let secondResult: UInt32 = 0x1FF3_0070
    static let message: UInt32 = 0x1FF3_0074
    static let control: UInt32 = 0x1FF3_0100
  }
  private static let interrupt: UInt32 = 1 << 16

  /// What the firmware says of its start: `0xC0DE` in the upper half once it runs.
  func bootCode() throws(CardError) -> UInt32 {
    try registers.readRegister(at: Register.bootCode)
  }

  /// Throws where no card answers `call`: then everything is read as ones, which the boot code never is.
  func checkPresence(_ call: String) throws(CardError) {
    if try bootCode() == .max { throw .lost(registers.name, call: call) }
  }

  /// Sends a message and waits for its answer.
  func ask(_ message: Message, argument: UInt32 = 0) throws(CardError) -> UInt32 {
    let boot = try bootCode()
    if boot == .max { throw .lost(registers.name, call: "read of the ARC") }
    guard boot >> 16 == 0xC0DE else { throw error("boot code 0x\(hexadecimal(boot, digits: 8))") }
    try registers.writeRegister(argument, at: Register.argument)
    try registers.writeRegister(0xAA00 | message.rawValue, at: Register.message)
    try wait("an earlier message is not taken") { () throws(CardError) in
      try read(Register.control) & Self.interrupt == 0
    }
    let control = try read(Register.control)
    try registers.writeRegister(control | Self.interrupt, at: Register.control)
    var answer: UInt32 = 0
    try wait("message 0x\(hexadecimal(message.rawValue, digits: 2)) is not answered") {
      () throws(CardError) in
      answer = try registers.readRegister(at: Register.message)
      return answer & 0xFFFF == message.rawValue || answer == .max
    }
    guard answer >> 16 == 0 else {
      if try bootCode() == .max { throw .lost(registers.name, call: "read of the ARC") }
      throw error(
        "message 0x\(hexadecimal(message.rawValue, digits: 2)) answers "
          + "0x\(hexadecimal(answer, digits: 8))")
    }
    return try read(Register.argument)
  }

  /// Rows of NoC 0 whose Tensix tiles are off.
  func harvestedRows() throws(CardError) -> [Int] {
    // Bit i of the answer stands for the i-th row from the edges of the chip inwards.
    let rows = [11, 1, 10, 2, 9, 3, 8, 4, 7, 5]
    let bits = try ask(.harvesting)
    return rows.indices.filter { bits >> $0 & 1 == 1 }.map { rows[$0] }.sorted()
  }

  private func read(_ offset: UInt32) throws(CardError) -> UInt32 {
    let value = try registers.readRegister(at: offset)
    guard value != .max else { throw .lost(registers.name, call: "read of the ARC") }
    return value
  }

  /// A second is a thousand times what a message takes.
  private func wait(
    _ complaint: String, until done: () throws(CardError) -> Bool
  ) throws(CardError) {
    let deadline = ContinuousClock.now + .seconds(1)
    while try !done() {
      if ContinuousClock.now > deadline { throw error("\(complaint) after 1 s") }
      try registers.pause()
    }
  }

  private func error(_ seen: String) -> CardError {
    CardError(
      card: registers.name, call: "ARC message", seen: seen,
      remedy: "the card's firmware does not run: reset it with tt-smi -r")
  }
}
