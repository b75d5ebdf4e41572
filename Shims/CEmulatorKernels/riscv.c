#include "ek_riscv.h"

#include <string.h>

enum { no_register = 32, nothing_confirms = 33 };

// MARK: - Instructions

/// Name, and what it needs.
#define EK_OPERATIONS(each) \
  each(illegal) each(lui) each(auipc) each(jal) each(jalr) \
  each(beq) each(bne) each(blt) each(bge) each(bltu) each(bgeu) \
  each(lb) each(lh) each(lw) each(lbu) each(lhu) each(sb) each(sh) each(sw) \
  each(move) each(addi) each(slti) each(sltiu) each(xori) each(ori) each(andi) \
  each(slli) each(srli) each(srai) \
  each(add) each(sub) each(sll) each(slt) each(sltu) each(xor) each(srl) each(sra) each(or) each(and) \
  each(mul) each(mulh) each(mulhsu) each(mulhu) each(div) each(divu) each(rem) each(remu) \
  each(push)

enum operation {
#define EK_ENUMERATE(name) op_##name,
  EK_OPERATIONS(EK_ENUMERATE)
};

static const uint8_t branches[8] = {
  op_beq, op_bne, op_illegal, op_illegal, op_blt, op_bge, op_bltu, op_bgeu};
static const uint8_t loads[8] = {
  op_lb, op_lh, op_lw, op_illegal, op_lbu, op_lhu, op_illegal, op_illegal};
static const uint8_t stores[8] = {
  op_sb, op_sh, op_sw, op_illegal, op_illegal, op_illegal, op_illegal, op_illegal};
static const uint8_t immediates[8] = {
  op_addi, op_slli, op_slti, op_sltiu, op_xori, op_srli, op_ori, op_andi};
static const uint8_t registers[8] = {
  op_add, op_sll, op_slt, op_sltu, op_xor, op_srl, op_or, op_and};
static const uint8_t multiplications[8] = {
  op_mul, op_mulh, op_mulhsu, op_mulhu, op_div, op_divu, op_rem, op_remu};

static struct ek_decoded decode(uint32_t word, uint32_t pc) {
  uint32_t function = word >> 12 & 7, top = word >> 25;
  uint8_t rd = word >> 7 & 31, rs1 = word >> 15 & 31, rs2 = word >> 20 & 31;
  if (rd == 0) rd = no_register;
  int32_t i = (int32_t)word >> 20;
  struct ek_decoded d = {.word = word, .pc = pc, .operation = op_illegal, .rd = no_register};

  // An instruction for the coprocessor, two bits to the left.
  if ((word & 3) != 3) {
    d.operation = op_push;
    d.immediate = (int32_t)(word >> 2 | word << 30);
    return d;
  }
  switch (word & 0x7F) {
  case 0x37:
    d.operation = op_lui, d.rd = rd, d.immediate = (int32_t)(word & 0xFFFFF000);
    break;
  case 0x17:
    d.operation = op_auipc, d.rd = rd, d.immediate = (int32_t)((word & 0xFFFFF000) + pc);
    break;
  case 0x6F:
    d.operation = op_jal, d.rd = rd;
    d.immediate = (int32_t)(pc + (((int32_t)word >> 31 & ~0xFFFFF) | (word & 0xFF000) |
        (word >> 9 & 0x800) | (word >> 20 & 0x7FE)));
    break;
  case 0x67:
    if (function == 0) d.operation = op_jalr, d.rd = rd, d.rs1 = rs1, d.immediate = i;
    break;
  case 0x63:
    d.operation = branches[function], d.rs1 = rs1, d.rs2 = rs2;
    d.immediate = (int32_t)(pc + (((int32_t)word >> 31 & ~0xFFF) | (word << 4 & 0x800) |
        (word >> 20 & 0x7E0) | (word >> 7 & 0x1E)));
    break;
  case 0x03:
    d.operation = loads[function], d.rd = rd, d.rs1 = rs1, d.immediate = i;
    break;
  case 0x23:
    d.operation = stores[function], d.rs1 = rs1, d.rs2 = rs2;
    d.immediate = ((int32_t)word >> 25 << 5) | (word >> 7 & 31);
    break;
  case 0x13:
    d.operation = immediates[function], d.rd = rd, d.rs1 = rs1, d.immediate = i;
    if (function == 0 && i == 0) d.operation = op_move;
    if (function == 1 || function == 5) {
      d.immediate = rs2;
      if (function == 5 && top == 0x20) d.operation = op_srai;
      else if (top != 0) d.operation = op_illegal;
    }
    break;
  case 0x33:
    d.rd = rd, d.rs1 = rs1, d.rs2 = rs2;
    if (top == 0) d.operation = registers[function];
    else if (top == 1) d.operation = multiplications[function];
    else if (top == 0x20 && function == 0) d.operation = op_sub;
    else if (top == 0x20 && function == 5) d.operation = op_sra;
    break;
  }
  return d;
}

/// Cycles of a division: few where it is decided at once, otherwise by the size of the dividend.
static uint32_t division_cycles(uint32_t dividend, uint32_t divisor, bool is_signed) {
  if (divisor <= 1 || (is_signed && dividend == 0x80000000 && divisor == 0xFFFFFFFF)) return 2;
  if (is_signed && (int32_t)dividend < 0) dividend = -dividend;
  uint32_t width = dividend ? 32 - (uint32_t)__builtin_clz(dividend) : 0;
  return width + 1 < 6 ? 6 : width + 1;
}

// MARK: - State

void ek_core_initialise(
    struct ek_core *core, struct ek_l1 *l1, struct ek_decoded *cache, uint32_t ram_bytes) {
  memset(core, 0, sizeof *core);
  core->state = ek_held;
  core->l1 = l1;
  core->cache = cache;
  cache[0].pc = 1;
  core->ram_bytes = ram_bytes;
}

void ek_core_flush(struct ek_core *core) {
  if (!core->cache_used) return;
  // No instruction lies at 1.
  for (uint32_t i = 0; i < ek_cache_entries; i++) core->cache[i].pc = 1;
  core->cache_used = false;
}

static void leave_loop(struct ek_core *core) {
  core->loop_clean = false;
  core->loop_has_registers = false;
  core->loop_pc = 1;
}

void ek_core_reset(struct ek_core *core, uint32_t pc) {
  bool polled = core->state == ek_polling;
  ek_core_flush(core);
  core->state = ek_running;
  core->pc = pc;
  core->x[0] = 0;
  core->blocked = 0xFFFFFFFE;
  core->loading = 0;
  core->is_synchronising = false;
  core->arrived_stores = core->stores;
  core->last_store = 1;
  core->confirming = nothing_confirms;
  leave_loop(core);
  if (polled) ek_l1_update_watches(core->l1);
}

void ek_core_hold(struct ek_core *core) {
  bool polled = core->state == ek_polling;
  core->state = ek_held;
  if (polled) ek_l1_update_watches(core->l1);
}

void ek_core_wake(struct ek_core *core, uint64_t clock) {
  if (core->state != ek_polling && core->state != ek_waiting) return;
  bool polled = core->state == ek_polling;
  core->state = ek_running;
  if (clock > core->clock) {
    *(polled ? &core->polled_cycles : &core->waited_cycles) += clock - core->clock;
    core->clock = clock;
  }
  // It stands where the loop begins, and comes back here after one round.
  core->watch_count = 0;
  core->reads_registers = false;
  if (polled) ek_l1_update_watches(core->l1);
}

void ek_core_wait(struct ek_core *core) {
  core->state = ek_waiting;
  leave_loop(core);
}

/// The program jumps back from `pc`. Whether nothing can have changed since it last did.
static bool is_polling(struct ek_core *core, uint32_t pc, uint64_t blocked) {
  bool came_back = core->loop_pc == pc && core->loop_clean;
  if (came_back) {
    uint64_t undefined = blocked & ~core->loading;
    if (core->loop_has_registers && undefined == core->loop_undefined &&
        memcmp(core->loop_registers, core->x, 32 * 4) == 0) {
      core->state = ek_polling;
      ek_l1_update_watches(core->l1);
      return true;
    }
    memcpy(core->loop_registers, core->x, 32 * 4);
    core->loop_undefined = undefined;
  }
  core->loop_pc = pc;
  core->loop_has_registers = came_back;
  core->loop_clean = true;
  core->reads_registers = false;
  core->watch_count = 0;
  return false;
}

static void watch(struct ek_core *core, uint32_t address) {
  address &= ~3u;
  for (uint32_t n = 0; n < core->watch_count; n++)
    if (core->watches[n] == address) return;
  if (core->watch_count == ek_watches) {
    core->loop_clean = false;
    return;
  }
  core->watches[core->watch_count++] = address;
}

/// Decodes the instruction at `pc`, which its entry does not hold.
static enum ek_stop fill(struct ek_core *core, struct ek_decoded *entry, uint32_t pc) {
  core->address = pc;
  if (pc & 3) return ek_stop_fetch_misaligned;
  if (pc > ek_l1_bytes - 4) return ek_stop_fetch_outside;
  if (entry->pc == pc) return ek_stop_stale_instruction;
  if (!ek_l1_was_written(core->l1, pc, 4)) return ek_stop_fetch_unwritten;
  uint32_t word;
  memcpy(&word, core->l1->memory + pc, 4);
  *entry = decode(word, pc);
  core->cache_used = true;
  return ek_stop_horizon;
}

static inline bool ram_is_written(const struct ek_core *core, uint32_t offset, uint32_t size) {
  uint32_t mask = ((1u << size) - 1) << (offset & 7);
  return (core->ram_written[offset / 8] & mask) == mask;
}

void ek_core_loaded(struct ek_core *core, uint32_t value, bool pure, uint32_t latency) {
  uint32_t rd = core->destination;
  uint64_t bit = UINT64_C(1) << rd;
  if (core->size < 4) value &= (1u << 8 * core->size) - 1;
  core->x[rd] = (uint32_t)((int32_t)(value << core->sign_shift) >> core->sign_shift);
  core->clock += 1;
  core->arrival[rd] = core->clock + latency - 1;
  core->blocked |= bit;
  core->loading |= bit;
  core->pc += 4;
  core->instructions++;
  if (pure) core->reads_registers = true;
  else core->loop_clean = false;
}

void ek_core_stored(struct ek_core *core) {
  core->clock += 1;
  core->pc += 4;
  core->instructions++;
  core->loop_clean = false;
}

uint32_t ek_core_first_unconfirmed(const struct ek_core *core, uint32_t address, uint32_t count) {
  uint64_t arrived = core->arrived_stores;
  // What was loaded is there for the seventh instruction after the load, used or not.
  if (core->confirming != nothing_confirms && core->instructions - core->confirming_since >= 7)
    arrived = core->confirmed_stores;
  if (core->stores - arrived > ek_recent_stores) arrived = core->stores - ek_recent_stores;
  for (; arrived < core->stores; arrived++) {
    uint32_t store = core->recent_stores[arrived & (ek_recent_stores - 1)] & ~3u;
    if (store + 4 > address && store < address + count) return store;
  }
  return address + count;
}

// MARK: - Running

static inline __attribute__((always_inline)) enum ek_stop run(
    struct ek_core *core, uint64_t horizon, const bool single) {
  static const void *const labels[] = {
#define EK_LABEL(name) &&do_##name,
    EK_OPERATIONS(EK_LABEL)
  };
  if (core->state != ek_running) return ek_stop_parked;

  uint8_t *const memory = core->l1->memory;
  struct ek_decoded *const cache = core->cache;
  uint32_t *const x = core->x;
  uint32_t pc = core->pc;
  uint64_t blocked = core->blocked, clock = core->clock, instructions = core->instructions;
  const struct ek_decoded *e;
  enum ek_stop stop;
  uint32_t address, size, rd, from;

#define DISPATCH goto *labels[e->operation]
#define FETCH                                                                   \
  do {                                                                          \
    e = &cache[pc >> 2 & (ek_cache_entries - 1)];                               \
    uint32_t word_;                                                             \
    if (__builtin_expect(e->pc != pc, 0)) goto refill;                          \
    memcpy(&word_, memory + pc, 4);                                             \
    if (__builtin_expect(e->word != word_, 0)) goto refill;                     \
    DISPATCH;                                                                   \
  } while (0)
  // The instruction took `cycles`; on with the next.
#define NEXT(cycles)                                \
  do {                                              \
    clock += (cycles);                              \
    instructions++;                                 \
    pc += 4;                                        \
    if (single) { stop = ek_stop_stepped; goto leave; } \
    FETCH;                                          \
  } while (0)
#define JUMP(target)                                \
  do {                                              \
    clock += 1;                                     \
    instructions++;                                 \
    from = pc;                                      \
    pc = (target);                                  \
    if (pc <= from) goto jumped_back;               \
    if (clock >= horizon) {                         \
      core->loop_clean = false;                     \
      stop = ek_stop_horizon;                       \
      goto leave;                                   \
    }                                               \
    if (single) { stop = ek_stop_stepped; goto leave; } \
    FETCH;                                          \
  } while (0)
#define BIT(reg) (UINT64_C(1) << (reg))
#define NEED1 \
  if (__builtin_expect(blocked >> e->rs1 & 1, 0)) goto resolve
#define NEED2 \
  if (__builtin_expect((blocked >> e->rs1 | blocked >> e->rs2) & 1, 0)) goto resolve
#define A x[e->rs1]
#define B x[e->rs2]
#define SA ((int32_t)x[e->rs1])
#define SB ((int32_t)x[e->rs2])
#define I ((uint32_t)e->immediate)
#define RESULT(value, cycles)                       \
  do {                                              \
    uint32_t value_ = (value);                      \
    x[e->rd] = value_;                              \
    blocked &= ~BIT(e->rd);                         \
    NEXT(cycles);                                   \
  } while (0)

  FETCH;

do_lui: RESULT(I, 1);
do_auipc: RESULT(I, 1);
do_move:
  if (__builtin_expect(blocked >> e->rs1 & 1, 0)) {
    if (core->loading >> e->rs1 & 1) goto resolve;
    // Undefined stays undefined.
    x[e->rd] = x[e->rs1];
    blocked |= BIT(e->rd);
    core->loading &= ~BIT(e->rd);
    NEXT(1);
  }
  RESULT(A, 1);
do_addi: NEED1; RESULT(A + I, 1);
do_slti: NEED1; RESULT(SA < e->immediate, 1);
do_sltiu: NEED1; RESULT(A < I, 1);
do_xori: NEED1; RESULT(A ^ I, 1);
do_ori: NEED1; RESULT(A | I, 1);
do_andi: NEED1; RESULT(A & I, 1);
do_slli: NEED1; RESULT(A << I, 1);
do_srli: NEED1; RESULT(A >> I, 1);
do_srai: NEED1; RESULT((uint32_t)(SA >> I), 1);
do_add: NEED2; RESULT(A + B, 1);
do_sub: NEED2; RESULT(A - B, 1);
do_sll: NEED2; RESULT(A << (B & 31), 1);
do_slt: NEED2; RESULT(SA < SB, 1);
do_sltu: NEED2; RESULT(A < B, 1);
do_xor: NEED2; RESULT(A ^ B, 1);
do_srl: NEED2; RESULT(A >> (B & 31), 1);
do_sra: NEED2; RESULT((uint32_t)(SA >> (B & 31)), 1);
do_or: NEED2; RESULT(A | B, 1);
do_and: NEED2; RESULT(A & B, 1);
do_mul: NEED2; RESULT(A * B, 2);
do_mulh: NEED2; RESULT((uint32_t)((uint64_t)((int64_t)SA * SB) >> 32), 2);
do_mulhsu: NEED2; RESULT((uint32_t)((uint64_t)((int64_t)SA * (int64_t)(uint64_t)B) >> 32), 2);
do_mulhu: NEED2; RESULT((uint32_t)((uint64_t)A * B >> 32), 2);
do_div: {
    NEED2;
    uint32_t a = A, b = B;
    uint32_t quotient = b == 0 ? ~0u : b == ~0u ? -a : (uint32_t)((int32_t)a / (int32_t)b);
    RESULT(quotient, division_cycles(a, b, true));
  }
do_divu: {
    NEED2;
    uint32_t a = A, b = B;
    RESULT(b == 0 ? ~0u : a / b, division_cycles(a, b, false));
  }
do_rem: {
    NEED2;
    uint32_t a = A, b = B;
    uint32_t rest = b == 0 ? a : b == ~0u ? 0 : (uint32_t)((int32_t)a % (int32_t)b);
    RESULT(rest, division_cycles(a, b, true));
  }
do_remu: {
    NEED2;
    uint32_t a = A, b = B;
    RESULT(b == 0 ? a : a % b, division_cycles(a, b, false));
  }

do_jal:
  x[e->rd] = pc + 4;
  blocked &= ~BIT(e->rd);
  JUMP(I);
do_jalr: {
    NEED1;
    uint32_t target = (A + I) & ~1u;
    x[e->rd] = pc + 4;
    blocked &= ~BIT(e->rd);
    JUMP(target);
  }
do_beq: NEED2; if (A == B) JUMP(I); NEXT(1);
do_bne: NEED2; if (A != B) JUMP(I); NEXT(1);
do_blt: NEED2; if (SA < SB) JUMP(I); NEXT(1);
do_bge: NEED2; if (SA >= SB) JUMP(I); NEXT(1);
do_bltu: NEED2; if (A < B) JUMP(I); NEXT(1);
do_bgeu: NEED2; if (A >= B) JUMP(I); NEXT(1);

  // The loop may be one that waits; and here is where others get their turn.
jumped_back:
  if (is_polling(core, from, blocked)) {
    stop = ek_stop_parked;
    goto leave;
  }
  if (single || clock >= horizon) {
    stop = clock >= horizon ? ek_stop_horizon : ek_stop_stepped;
    goto leave;
  }
  FETCH;

  // A load has its address. What was never written is undefined in private RAM, and an error in L1,
  // which others share. A word may be written in part: programs take halves of it.
#define LOAD(bytes, type, shift)                                                        \
  do {                                                                                  \
    NEED1;                                                                              \
    address = A + I;                                                                    \
    size = (bytes);                                                                     \
    if (__builtin_expect(address & (size - 1), 0)) goto misaligned;                     \
    if (__builtin_expect(core->is_synchronising, 0) &&                                  \
        address - ek_ram_address >= core->ram_bytes)                                    \
      goto synchronise;                                                                 \
    rd = e->rd;                                                                         \
    type loaded_;                                                                       \
    if (address < ek_l1_bytes) {                                                        \
      uint32_t mask_ = ((1u << size) - 1) << (address & 7);                             \
      uint32_t marks_ = core->l1->written[address / 8] & mask_;                         \
      if (__builtin_expect(size == 4 ? marks_ == 0 : marks_ != mask_, 0))               \
        goto unwritten;                                                                 \
      memcpy(&loaded_, memory + address, sizeof loaded_);                               \
      uint64_t *slot_ = &core->l1_loads[core->l1_load++ & 3];                           \
      if (clock < *slot_) clock = *slot_;                                               \
      *slot_ = clock + 7;                                                               \
      core->arrival[rd] = clock + 8;                                                    \
      if (address == core->last_store) {                                                \
        core->confirming = rd;                                                          \
        core->confirmed_stores = core->stores;                                          \
        core->confirming_since = instructions + 1;                                      \
      }                                                                                 \
      if (core->loop_clean) watch(core, address);                                       \
    } else if (address - ek_ram_address < core->ram_bytes) {                            \
      uint32_t offset_ = address - ek_ram_address;                                      \
      memcpy(&loaded_, core->ram + offset_, sizeof loaded_);                            \
      if (__builtin_expect(!ram_is_written(core, offset_, size), 0)) {                  \
        blocked |= BIT(rd);                                                             \
        core->loading &= ~BIT(rd);                                                      \
        x[rd] = (uint32_t)(int32_t)loaded_;                                             \
        NEXT(1);                                                                        \
      }                                                                                 \
      core->arrival[rd] = clock + 2;                                                    \
    } else {                                                                            \
      core->destination = rd;                                                           \
      core->sign_shift = (shift);                                                       \
      stop = ek_stop_load;                                                              \
      goto leave_with_access;                                                           \
    }                                                                                   \
    x[rd] = (uint32_t)(int32_t)loaded_;                                                 \
    blocked |= BIT(rd);                                                                 \
    core->loading |= BIT(rd);                                                           \
    NEXT(1);                                                                            \
  } while (0)
do_lb: LOAD(1, int8_t, 24);
do_lh: LOAD(2, int16_t, 16);
do_lw: LOAD(4, uint32_t, 0);
do_lbu: LOAD(1, uint8_t, 0);
do_lhu: LOAD(2, uint16_t, 0);

#define STORE(bytes, type)                                                              \
  do {                                                                                  \
    if (__builtin_expect((blocked >> e->rs1 | blocked >> e->rs2) & 1, 0)) {             \
      uint64_t needed_ = BIT(e->rs1) | (BIT(e->rs2) & core->loading);                   \
      if (blocked & needed_) goto resolve_store;                                        \
    }                                                                                   \
    address = A + I;                                                                    \
    size = (bytes);                                                                     \
    if (__builtin_expect(address & (size - 1), 0)) goto misaligned;                     \
    if (__builtin_expect(core->is_synchronising, 0) &&                                  \
        address - ek_ram_address >= core->ram_bytes)                                    \
      goto synchronise;                                                                 \
    type stored_ = (type)B;                                                             \
    if (address - ek_ram_address < core->ram_bytes) {                                   \
      uint32_t offset_ = address - ek_ram_address;                                      \
      uint8_t *to_ = core->ram + offset_, *marks_ = &core->ram_written[offset_ / 8];    \
      uint8_t bits_ = (uint8_t)(((1u << size) - 1) << (offset_ & 7));                   \
      uint8_t defined_ = blocked >> e->rs2 & 1 ? *marks_ & ~bits_ : *marks_ | bits_;    \
      if (defined_ != *marks_ || memcmp(to_, &stored_, sizeof stored_))                 \
        core->loop_clean = false;                                                       \
      *marks_ = defined_;                                                               \
      memcpy(to_, &stored_, sizeof stored_);                                            \
      NEXT(1);                                                                          \
    }                                                                                   \
    if (__builtin_expect(blocked >> e->rs2 & 1, 0)) goto undefined_store;               \
    if (address < ek_l1_bytes) {                                                        \
      memcpy(memory + address, &stored_, sizeof stored_);                               \
      core->l1->written[address / 8] |= ((1u << size) - 1) << (address & 7);            \
      core->recent_stores[core->stores++ & (ek_recent_stores - 1)] = address;           \
      core->last_store = address;                                                       \
      if (address <= core->l1->watch_high && address + size > core->l1->watch_low) {    \
        ek_l1_wrote(core->l1, address, size, clock);                                    \
        if (address - core->l1->counters < core->l1->counter_bytes) {                   \
          stop = ek_stop_counted;                                                       \
          goto leave_with_access;                                                       \
        }                                                                               \
      }                                                                                 \
      core->loop_clean = false;                                                         \
      /* One in five cycles, behind a queue of four. */                                 \
      if (core->l1_store < clock) core->l1_store = clock;                               \
      core->l1_store += 5;                                                              \
      if (core->l1_store > clock + 20) clock = core->l1_store - 20;                     \
      NEXT(1);                                                                          \
    }                                                                                   \
    core->value = stored_;                                                              \
    stop = ek_stop_store;                                                               \
    goto leave_with_access;                                                             \
  } while (0)
do_sb: STORE(1, uint8_t);
do_sh: STORE(2, uint16_t);
do_sw: STORE(4, uint32_t);

do_push:
  if (__builtin_expect(core->is_synchronising, 0)) goto synchronise;
  core->value = I;
  stop = ek_stop_push;
  goto leave;

do_illegal:
  core->value = e->word;
  stop = ek_stop_illegal;
  goto leave;

refill:
  stop = fill(core, &cache[pc >> 2 & (ek_cache_entries - 1)], pc);
  if (stop != ek_stop_horizon) goto leave;
  DISPATCH;

  // An operand is not there: it comes with a load, or it is undefined.
resolve:;
  uint64_t needed = (BIT(e->rs1) | BIT(e->rs2)) & blocked;
  goto resolve_needed;
resolve_store:
  needed = (BIT(e->rs1) | (BIT(e->rs2) & core->loading)) & blocked;
resolve_needed:
  while (needed) {
    uint32_t reg = (uint32_t)__builtin_ctzll(needed);
    if (!(core->loading >> reg & 1)) {
      core->reg = reg;
      stop = ek_stop_undefined_register;
      goto leave;
    }
    if (core->arrival[reg] > clock) clock = core->arrival[reg];
    if (reg == core->confirming) {
      core->arrived_stores = core->confirmed_stores;
      core->confirming = nothing_confirms;
    }
    core->loading &= ~BIT(reg);
    blocked &= ~BIT(reg);
    needed &= needed - 1;
  }
  DISPATCH;

  // An access after a load whose result had to be used before. Private memory, where the compiler
  // keeps what it has no registers for, concerns nobody else.
synchronise:
  // A register that was overwritten instead counts as loading still.
  if (core->loading >> core->synchronising & 1 &&
      instructions - core->synchronised_at < 7) {
    core->reg = core->synchronising;
    stop = ek_stop_unused_synchronisation;
    goto leave;
  }
  core->is_synchronising = false;
  DISPATCH;

misaligned:
  stop = ek_stop_misaligned;
  goto leave_with_access;
unwritten:
  stop = ek_stop_unwritten;
  goto leave_with_access;
undefined_store:
  core->reg = e->rs2;
  stop = ek_stop_undefined_store;
leave_with_access:
  core->address = address;
  core->size = size;
leave:
  core->pc = pc;
  core->blocked = blocked;
  core->clock = clock;
  core->instructions = instructions;
  return stop;
}

enum ek_stop ek_core_run(struct ek_core *core, uint64_t horizon) {
  return run(core, horizon, false);
}

enum ek_stop ek_core_step(struct ek_core *core, uint64_t horizon) {
  return run(core, horizon, true);
}
