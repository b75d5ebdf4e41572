#include "ek_memory.h"
#include "ek_riscv.h"

#include <string.h>

/// Bits `first` to `first + count - 1` of a byte.
static uint8_t bits(uint32_t first, uint32_t count) {
  return (uint8_t)(((1u << count) - 1) << first);
}

uint32_t ek_l1_first_unwritten(const struct ek_l1 *l1, uint32_t address, uint32_t count) {
  uint32_t end = address + count;
  while (address < end) {
    if ((address & 63) == 0 && end - address >= 64) {
      uint64_t eight;
      memcpy(&eight, l1->written + address / 8, 8);
      if (eight == ~UINT64_C(0)) {
        address += 64;
        continue;
      }
    }
    if (!(l1->written[address / 8] >> (address & 7) & 1)) return address;
    address++;
  }
  return end;
}

bool ek_l1_was_written(const struct ek_l1 *l1, uint32_t address, uint32_t count) {
  if (count == 0) return true;
  uint32_t last = address + count - 1;
  const uint8_t *first_byte = l1->written + address / 8, *last_byte = l1->written + last / 8;
  if (first_byte == last_byte) {
    uint8_t mask = bits(address & 7, count);
    return (*first_byte & mask) == mask;
  }
  uint8_t head = bits(address & 7, 8 - (address & 7)), tail = bits(0, (last & 7) + 1);
  if ((*first_byte & head) != head || (*last_byte & tail) != tail) return false;
  const uint8_t *byte = first_byte + 1;
  uint64_t all = ~UINT64_C(0), eight;
  for (; last_byte - byte >= 8; byte += 8) {
    memcpy(&eight, byte, 8);
    all &= eight;
  }
  for (; byte < last_byte; byte++) all &= *byte | ~UINT64_C(0xFF);
  return all == ~UINT64_C(0);
}

void ek_l1_update_watches(struct ek_l1 *l1) {
  uint32_t low = ~0u, high = 0;
  if (l1->counter_bytes) {
    low = l1->counters;
    high = l1->counters + l1->counter_bytes - 1;
  }
  for (int i = 0; i < ek_tile_cores; i++) {
    const struct ek_core *core = l1->cores[i];
    if (!core || core->state != ek_polling) continue;
    for (uint32_t n = 0; n < core->watch_count; n++) {
      if (core->watches[n] < low) low = core->watches[n];
      if (core->watches[n] + 3 > high) high = core->watches[n] + 3;
    }
  }
  l1->watch_low = low;
  l1->watch_high = high;
}

static bool wake_watchers(struct ek_l1 *l1, uint32_t address, uint32_t count, uint64_t clock) {
  bool woke = false;
  for (int i = 0; i < ek_tile_cores; i++) {
    struct ek_core *core = l1->cores[i];
    if (!core || core->state != ek_polling) continue;
    for (uint32_t n = 0; n < core->watch_count; n++) {
      uint32_t watch = core->watches[n];
      if (watch + 4 <= address || address + count <= watch) continue;
      ek_core_wake(core, clock);
      woke = true;
      break;
    }
  }
  return woke;
}

bool ek_l1_wrote(struct ek_l1 *l1, uint32_t address, uint32_t count, uint64_t clock) {
  if (count == 0) return false;
  uint32_t last = address + count - 1;
  uint8_t *first_byte = l1->written + address / 8, *last_byte = l1->written + last / 8;
  if (first_byte == last_byte) {
    *first_byte |= bits(address & 7, count);
  } else {
    *first_byte |= bits(address & 7, 8 - (address & 7));
    *last_byte |= bits(0, (last & 7) + 1);
    memset(first_byte + 1, 0xFF, (size_t)(last_byte - first_byte - 1));
  }
  if (address > l1->watch_high || last < l1->watch_low) return false;
  return wake_watchers(l1, address, count, clock);
}
