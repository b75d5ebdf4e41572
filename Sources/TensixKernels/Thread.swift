/// This core's own Tensix thread.
enum Thread {
  @inline(__always) static func push(_ instruction: UInt32) { Memory[0xFFE4_0000] = instruction }

  /// Blocks until the thread's queue is empty. Silicon needs all three: a store behind the pushes, a
  /// load, and a use of what was loaded (a load into nothing compiles to `lw zero`, which a core does
  /// not wait for).
  @inline(__always) static func drain() {
    Memory[0xFFE8_0004] = 0
    Memory[0xFFB0_0000] = Memory[0xFFE8_0004]
  }

  /// What a MOP instruction carries out from now on: `start`, `count` times `body`, `end`. None is queued.
  @inline(never) static func program(
    start: UInt32 = Tensix.nop, _ body: UInt32, count: UInt32, end: UInt32 = Tensix.nop
  ) {
    drain()
    let mop: UInt32 = 0xFFB8_0000
    Memory[mop] = 1  // outer count
    Memory[mop + 4] = count  // inner count
    Memory[mop + 8] = start
    Memory[mop + 12] = end
    Memory[mop + 16] = Tensix.nop
    Memory[mop + 20] = body
    Memory[mop + 24] = Tensix.nop
    Memory[mop + 28] = body
    Memory[mop + 32] = body
  }

  /// Loads a general-purpose register; it is there when the scalar unit (THCON) is idle.
  @inline(__always) static func setRegister(_ register: UInt32, _ value: UInt32) {
    push(Tensix.setdmareg(half: 2 * register, value))
    push(Tensix.setdmareg(half: 2 * register + 1, value >> 16))
  }

  /// Waits until the thread has done everything, and the semaphore has that value.
  @inline(__always) static func await(_ semaphore: UInt32, is value: UInt32) {
    drain()
    while Memory[0xFFE8_0020 + 4 * semaphore] != value {}
  }

  /// Waits until the thread has posted the semaphore, and takes it.
  @inline(__always) static func take(_ semaphore: UInt32) {
    let address = 0xFFE8_0020 + 4 * semaphore
    while Memory[address] == 0 {}
    Memory[address] = 1
  }
}
