/// The L1 of a tile: which bytes were written, and which words parked cores watch.
#ifndef ek_memory_h
#define ek_memory_h

#include <stdbool.h>
#include <stdint.h>

enum { ek_l1_bytes = 0x16E000, ek_tile_cores = 5 };

struct ek_core;

struct ek_l1 {
  uint8_t *memory;
  /// A bit for each byte.
  uint8_t *written;
  /// Words that counters of circular buffers may be in: a core's store there is the caller's to check.
  uint32_t counters, counter_bytes;
  /// Bounds of these and of the words that parked cores watch; low is above high where there are none.
  uint32_t watch_low, watch_high;
  struct ek_core *cores[ek_tile_cores];
};

/// Sets the bounds anew.
void ek_l1_update_watches(struct ek_l1 *l1);
/// Whether all of these bytes, which lie in the L1, were written.
bool ek_l1_was_written(const struct ek_l1 *l1, uint32_t address, uint32_t count);
/// The first of these bytes that was never written; the address behind them where there is none.
uint32_t ek_l1_first_unwritten(const struct ek_l1 *l1, uint32_t address, uint32_t count);
/// Marks bytes that lie in the L1 as written and wakes the cores that watch them. Whether it woke any.
bool ek_l1_wrote(struct ek_l1 *l1, uint32_t address, uint32_t count, uint64_t clock);

#endif
