import CEmulatorKernels

extension RISCVCore {
  /// Where it stands, in words.
  var currentInstruction: String? {
    guard programCounter & 3 == 0, programCounter <= L1.byteCount - 4 else { return nil }
    let word = l1.memory.loadUnaligned(fromByteOffset: Int(programCounter), as: UInt32.self)
    return RISCVInstruction.words(for: word, at: programCounter)
  }

  /// The function that it is in, where it runs one of our programs.
  var currentFunction: String? {
    // Code that functions share returns through t0.
    ProgramFunctions.name(at: programCounter, caller: register(5), in: l1)
  }

  /// What it waits for, where it is parked.
  var waitsOn: String {
    let place =
      "at \(programCounter.hexadecimal)" + (currentFunction.map { " in \($0)" } ?? "")
    switch core.pointee.state {
    case ek_held: return "is in reset"
    case ek_polling:
      var read = watches.map { "L1 \($0.hexadecimal)" }
      if core.pointee.reads_registers { read.append("registers of the tile") }
      return read.isEmpty
        ? "loops forever \(place)"
        : "polls \(read.joined(separator: ", ")) \(place)"
    case ek_waiting:
      let access =
        switch blockedAccess {
        case ek_stop_load: "load from \(core.pointee.address.hexadecimal)"
        case ek_stop_store: "store to \(core.pointee.address.hexadecimal)"
        default: "push of an instruction"
        }
      return "waits for its \(access) \(place)"
    default: return "runs \(place)"
    }
  }

  /// The words of L1 that the loop it is parked in reads.
  var watches: [UInt32] {
    withUnsafePointer(to: &core.pointee.watches) {
      $0.withMemoryRebound(to: UInt32.self, capacity: Int(ek_watches)) {
        Array(UnsafeBufferPointer(start: $0, count: Int(core.pointee.watch_count)))
      }
    }
  }

  /// What the interpreter stopped with.
  func violation(_ stop: ek_stop) -> Violation {
    let core = core.pointee
    let address = core.address.hexadecimal
    let register = core.reg == 32 ? "x0" : RISCVInstruction.name(ofRegister: Int(core.reg))
    switch stop {
    case ek_stop_fetch_outside:
      return Violation(
        "The program goes to \(address), which is not L1.",
        remedy: "Programs run from L1; look at the return address and the stack.")
    case ek_stop_fetch_misaligned:
      return Violation("The program goes to \(address), where no instruction can begin.")
    case ek_stop_fetch_unwritten:
      return Violation(
        "The program goes to \(address), where nothing was ever written.",
        remedy: "Write the program before its core leaves reset.")
    case ek_stop_stale_instruction:
      return Violation(
        "The instruction at \(address) has changed since this core fetched it: it may still run the"
          + " old one.",
        remedy: "Reset the core, or flush its instruction cache (configuration word 157), after"
          + " writing instructions.")
    case ek_stop_illegal:
      return Violation(
        "\(core.value.hexadecimal) is no RV32IM instruction that a core runs.",
        remedy: "Cores do not fault: they would run some other instruction.")
    case ek_stop_undefined_register:
      return Violation(
        "Register \(register) has no defined value: nothing was written to it, or to the private"
          + " memory it was loaded from, since reset.",
        remedy: "Initialise it.")
    case ek_stop_undefined_store:
      return Violation(
        "Register \(register), which has no defined value, is stored to \(address).",
        remedy: "Initialise it.")
    case ek_stop_misaligned:
      return Violation(
        "An access of \(core.size) bytes at \(address) is not aligned.",
        remedy: "A core rounds the address down.")
    case ek_stop_unwritten:
      return Violation(
        "\(core.size) bytes at L1 \(address) are read, but were never written.",
        remedy: "On a card they are what an earlier program left there: write them first.")
    case ek_stop_unused_synchronisation:
      return Violation(
        "This access follows a load that waits for the coprocessor, whose result, in \(register),"
          + " was not used yet: the core does not wait for it.",
        remedy: "Use what was loaded, as in store, load, use.")
    default:
      return Violation("The core stopped with \(stop.rawValue).")
    }
  }
}
