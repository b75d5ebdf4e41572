/// One RV32IM core of a tile, with its private RAM and what its instruction cache has seen.
#ifndef ek_riscv_h
#define ek_riscv_h

#include "ek_memory.h"

enum {
  ek_ram_address = 0xFFB00000,
  ek_ram_bytes = 4096,
  /// Decoded instructions that a core keeps: as many as a program's 16 KiB have.
  ek_cache_entries = 4096,
  ek_watches = 4,
  /// Stores that can be on their way.
  ek_recent_stores = 8,
};

/// An instruction, decoded. A register that is not read is 0, one that is not written 32.
struct ek_decoded {
  uint32_t word;
  uint32_t pc;
  int32_t immediate;
  uint8_t operation, rd, rs1, rs2;
};

/// Why a core is not running.
enum ek_state {
  ek_running,
  /// In reset.
  ek_held,
  /// In a loop that changes nothing, until something that it reads changes.
  ek_polling,
  /// On an access that cannot be accepted or answered yet.
  ek_waiting,
};

/// Why `ek_core_run` returned.
enum ek_stop {
  ek_stop_horizon,
  ek_stop_stepped,
  ek_stop_parked,
  // Accesses that are the caller's: carry out, then call ek_core_loaded or ek_core_stored.
  ek_stop_load,
  ek_stop_store,
  ek_stop_push,
  /// A store to a counter in L1, which is done but for ek_core_stored.
  ek_stop_counted,
  // Violations. `address` and `size` say what was accessed, `reg` which register.
  ek_stop_fetch_outside,
  ek_stop_fetch_unwritten,
  ek_stop_fetch_misaligned,
  ek_stop_stale_instruction,
  ek_stop_illegal,
  ek_stop_undefined_register,
  ek_stop_undefined_store,
  ek_stop_misaligned,
  ek_stop_unwritten,
  ek_stop_unused_synchronisation,
};

struct ek_core {
  /// x[32] takes what is written to x0.
  uint32_t x[33];
  uint32_t pc;
  /// A bit a register: not to be used as it is, because it is undefined or still being loaded.
  uint64_t blocked;
  /// Of the blocked registers, those being loaded.
  uint64_t loading;
  uint64_t clock;
  uint64_t instructions;
  enum ek_state state;

  // What a stop is about.
  uint32_t address, value, size, reg;
  /// A load's destination, and the shift that extends its sign.
  uint32_t destination, sign_shift;

  // When what was issued is done.
  uint64_t arrival[33];
  uint64_t l1_loads[4];
  uint32_t l1_load;
  uint64_t l1_store;

  /// Cycles parked in polling loops, and on accesses that had to wait.
  uint64_t polled_cycles, waited_cycles;

  // The loop that the core may be polling in: where it jumps back, whether anything but loads
  // happened since, and the registers at the time.
  uint32_t loop_pc;
  bool loop_clean, loop_has_registers;
  uint64_t loop_undefined;
  uint32_t loop_registers[33];
  /// What the loop reads: words of L1, and registers outside the core.
  bool reads_registers;
  uint32_t watch_count;
  uint32_t watches[ek_watches];

  /// Set by the caller after a load whose result has to be used before the next access: the
  /// register, and the instruction's number.
  bool is_synchronising;
  uint32_t synchronising;
  uint64_t synchronised_at;

  // Stores to L1: how many, how many of them are known to have arrived, and where the last went.
  // Loading from where the last one went, and using the result, is how a program knows.
  uint64_t stores, arrived_stores;
  uint32_t recent_stores[ek_recent_stores];
  uint32_t last_store;
  /// The register of such a load; 33 where there is none.
  uint32_t confirming;
  uint64_t confirmed_stores, confirming_since;

  struct ek_l1 *l1;
  struct ek_decoded *cache;
  bool cache_used;
  uint32_t ram_bytes;
  uint8_t ram[ek_ram_bytes];
  uint8_t ram_written[ek_ram_bytes / 8];
};

/// In reset, with nothing in its RAM. `cache` has ek_cache_entries, all zero.
void ek_core_initialise(
    struct ek_core *core, struct ek_l1 *l1, struct ek_decoded *cache, uint32_t ram_bytes);
/// Leaves reset: registers undefined, instruction cache empty.
void ek_core_reset(struct ek_core *core, uint32_t pc);
/// Enters reset.
void ek_core_hold(struct ek_core *core);
void ek_core_flush(struct ek_core *core);

/// Runs until the clock reaches `horizon`, looked at where the program jumps.
enum ek_stop ek_core_run(struct ek_core *core, uint64_t horizon);
/// Runs one instruction, and says ek_stop_stepped where ek_core_run would go on.
enum ek_stop ek_core_step(struct ek_core *core, uint64_t horizon);

/// The load that stopped the core has its value. `pure` where the load had no effect, so that a loop
/// of such loads can be left out until something changes.
void ek_core_loaded(struct ek_core *core, uint32_t value, bool pure, uint32_t latency);
/// The store or push that stopped the core is done.
void ek_core_stored(struct ek_core *core);
/// The access that stopped the core is to be tried again when something changes.
void ek_core_wait(struct ek_core *core);
/// The first of these bytes of L1 that the core has stored to without knowing that it arrived; the
/// address behind them where there is none.
uint32_t ek_core_first_unconfirmed(const struct ek_core *core, uint32_t address, uint32_t count);
/// Something changed at that clock: in L1 at a watched address, or a register outside the core.
void ek_core_wake(struct ek_core *core, uint64_t clock);

#endif
