// The vector unit's arithmetic as Wormhole's official simulator carries it out. Only its multiply-add
// rounds in a way of its own; everything else is on bits.

#include "CEmulatorKernels.h"

#include <string.h>

// MARK: - Multiply-add

/// Fields of a floating-point number; a denormal counts as zero.
typedef struct {
  int32_t exponent;
  uint32_t mantissa, sign;
} number;

static inline number number_of(uint32_t bits) {
  number n = {.exponent = bits >> 23 & 0xFF, .sign = bits & 0x80000000u};
  n.mantissa = n.exponent == 0 ? 0 : (bits & 0x7FFFFF) | 0x800000;
  return n;
}

/// Bits shifted out leave a trace, unless nothing else is left.
static inline uint32_t shift_tracing(uint32_t value, int32_t count) {
  uint32_t shifted = count > 31 ? 0 : value >> (count & 31);
  bool traces = shifted != 0 && shifted << (count & 31) != value;
  return shifted | traces;
}

/// The product of two mantissas without its lowest 20 bits, which leave a trace.
static inline uint32_t product_of(uint32_t x, uint32_t y) {
  uint32_t low = (x & 0xFFF) * (y & 0xFFF);
  uint32_t middle = (x >> 12) * (y & 0xFFF) + (x & 0xFFF) * (y >> 12) + (low >> 12);
  uint32_t trace = ((middle & 0xFF) | (low & 0xFFF)) != 0;
  return (((x >> 12) * (y >> 12)) << 4) + (middle >> 8) | trace;
}

/// Where infinities and what is not a number take part: their mantissas leak into the result.
static uint32_t multiply_add_special(uint32_t x_bits, uint32_t y_bits, uint32_t z_bits) {
  number x = number_of(x_bits), y = number_of(y_bits), z = number_of(z_bits);
  uint32_t p_sign = x.sign ^ y.sign;
  uint32_t p = product_of(x.mantissa, y.mantissa);
  int32_t p_exponent = x.exponent + y.exponent - 127;
  bool x_infinite = x.exponent == 255, y_infinite = y.exponent == 255, z_infinite = z.exponent == 255;
  bool p_infinite = x_infinite || y_infinite || p_exponent >= 255;
  uint32_t nan = 0;
  if (p_infinite || z_infinite) {
    if (
      (x_infinite && (x.mantissa != 0x800000 || y.mantissa == 0)) ||
      (y_infinite && (y.mantissa != 0x800000 || x.mantissa == 0)) ||
      (z_infinite && z.mantissa == 0x800000 && p_infinite && z.sign != p_sign)) {
      nan = p_sign | 0x7F800001;
    } else if (z_infinite && z.mantissa != 0x800000) {
      nan = z.sign | 0x7F800001;
    } else if (z_infinite) {
      return z_bits;
    } else {
      return p_sign | 0x7F800000;
    }
    if (p_exponent > 255) { p_exponent = 255; }
  }
  if (p == 0 || p_exponent < 0) {
    if (nan == 0) { return z.mantissa != 0 ? z_bits : 0; }
    p = 0;
    p_exponent = 0;
  }
  uint32_t addend = z.mantissa << 3;
  int32_t exponent = p_exponent > z.exponent ? p_exponent : z.exponent;
  p = shift_tracing(p, exponent - p_exponent);
  addend = shift_tracing(addend, exponent - z.exponent);
  uint32_t sign = p >= addend ? p_sign : z.sign;
  uint32_t sum = p_sign == z.sign ? p + addend : p >= addend ? p - addend : addend - p;
  if (sum == 0) { return nan; }
  int32_t right = 5 - __builtin_clz(sum);
  exponent += right;
  if (exponent >= 255) { return nan ? nan : sign | 0x7F800000; }
  if (exponent < 0) { return nan; }
  sum = right <= 0 ? sum << -right : sum >> right | (sum & 1);
  uint32_t result = ((uint32_t)exponent << 23) + (sum >> 3 & 0x7FFFFF);
  result += (sum & 7) + (result & 1) > 4;
  if (result >> 23 == 0) { return nan; }
  return (nan ? nan : sign) | result;
}

// MARK: - Pieces of the other operations

static inline uint32_t next_random(uint32_t state) {
  uint32_t taps = (state ^ state >> 1 ^ state >> 21 ^ state >> 31) & 1;
  return (~taps << 31) | state >> 1;
}

void ek_vector_seed(ek_lanes *lanes, uint32_t seed) {
  for (int i = 0; i < ek_lane_count; i++) { seed = next_random(seed); }
  for (int i = ek_lane_count - 1; i >= 0; i--) {
    seed = next_random(next_random(seed));
    lanes->random[i] = seed;
  }
}

/// An 8-bit coefficient: sign, 3 bits of negative exponent, 4 of mantissa.
static inline uint32_t byte_coefficient(uint32_t x) {
  uint32_t bits = (x & 0x80) << 24 | (127 - (x >> 4 & 7)) << 23 | (x & 15) << 19;
  return (x & 0xFF) == 0xFF ? 0 : bits;
}

/// A 16-bit coefficient: fp16, in which the largest exponent means 0.
static inline uint32_t half_coefficient(uint32_t x) {
  uint32_t exponent = x >> 10 & 31;
  exponent = exponent == 31 ? 0 : 112 + exponent;
  return (x & 0x8000) << 16 | exponent << 23 | (x & 0x3FF) << 13;
}

static inline uint32_t shifted(uint32_t value, uint32_t count) {
  uint32_t left = value << (count & 31), right = value >> ((0u - count) & 31);
  return count >> 31 ? right : left;
}

/// Orders floating-point bit patterns as integers.
static inline int32_t order(uint32_t bits) {
  return (int32_t)(bits ^ (uint32_t)((int32_t)bits >> 31) >> 1);
}

static inline uint32_t rounded_to_bf16(uint32_t x) {
  uint32_t exponent = x >> 23 & 0xFF;
  uint32_t rounded = (x & 0xFFFF0000) + ((x & 0x8000) << 1);
  return exponent == 0 ? 0 : exponent == 255 ? x & 0xFF800000 : rounded;
}

static inline uint32_t rounded_to_integer(uint32_t x, uint32_t limit) {
  uint32_t sign = x & limit & 0x80000000u, largest = limit & 0xFFFF;
  int32_t exponent = (int32_t)(x >> 23 & 0xFF) - 127;
  if (exponent < -1) { return 0; }
  if (exponent >= 16) { return sign | largest; }
  uint64_t fixed = (x & 0x7FFFFF) | 0x800000;
  fixed = exponent >= 0 ? fixed << exponent : fixed >> 1;
  uint32_t magnitude = (uint32_t)(fixed >> 23) + ((fixed & 0x7FFFFF) >= 0x400000);
  if (magnitude > largest) { magnitude = largest; }
  return magnitude == 0 ? 0 : sign + magnitude;
}

static inline uint32_t cast_from_integer(uint32_t x) {
  uint32_t sign = x & 0x80000000u, magnitude = x & 0x7FFFFFFF;
  if (magnitude == 0) { return sign; }
  uint32_t zeros = __builtin_clz(magnitude);
  magnitude <<= zeros;
  uint32_t bits = sign | (((157 - zeros) << 23) + (magnitude >> 8));
  return bits + ((magnitude & 0x80) != 0 && (magnitude & 0x17F) != 0);
}

/// Rows of eight lanes and registers change places.
static void transpose(ek_lanes *lanes, int first, uint32_t mask) {
  for (int i = 1; i < 4; i++) {
    for (int j = 0; j < i; j++) {
      for (int column = 0; column < 8; column++) {
        uint32_t *lower = &lanes->registers[first + i][8 * j + column];
        uint32_t *upper = &lanes->registers[first + j][8 * i + column];
        uint32_t from_lower = *lower, from_upper = *upper;
        if (mask >> (8 * j + column) & 1) { *lower = from_upper; }
        if (mask >> (8 * i + column) & 1) { *upper = from_lower; }
      }
    }
  }
}

// MARK: - For each instruction set

#define EK_JOIN(name, suffix) name##_##suffix
#define EK_SUFFIXED(name, suffix) EK_JOIN(name, suffix)
#define EK(name) EK_SUFFIXED(name, EK_TARGET)

#define EK_TARGET portable
#include "vector_body.h"
#undef EK_TARGET

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define EK_TARGET avx2
#include "vector_body.h"
#undef EK_TARGET
#pragma clang attribute pop

#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,prefer-256-bit"))), \
  apply_to = function)
#define EK_TARGET avx512
#include "vector_body.h"
#undef EK_TARGET
#pragma clang attribute pop
#endif

uint32_t ek_vector(
  int instruction_set, ek_lanes *lanes, int operation, int d, int a, int b, int c, uint32_t i,
  uint32_t mask, bool swaps_indices) {
#if defined(__x86_64__)
  if (instruction_set == ek_avx512) {
    return vector_avx512(lanes, operation, d, a, b, c, i, mask, swaps_indices);
  }
  if (instruction_set == ek_avx2) {
    return vector_avx2(lanes, operation, d, a, b, c, i, mask, swaps_indices);
  }
#endif
  (void)instruction_set;
  return vector_portable(lanes, operation, d, a, b, c, i, mask, swaps_indices);
}

// MARK: - Dst

static inline uint32_t fp32_from_code(uint32_t code) {
  return (code & 0x80000000) | (code & 0xFF0000) << 7 | (code >> 8 & 0x7F0000) | (code & 0xFFFF);
}

static inline uint32_t code_from_fp32(uint32_t bits) {
  return (bits & 0x80000000) | (bits >> 7 & 0xFF0000) | (bits & 0x7F0000) << 8 | (bits & 0xFFFF);
}

static inline uint32_t without_denormals(uint32_t bits) {
  return (bits & 0x7F800000) == 0 ? bits & 0x80000000 : bits;
}

static inline uint32_t negated_magnitude(uint32_t bits) {
  return bits >> 31 ? 0x80000000 | (0u - bits) : bits;
}

void ek_lanes_load(
  uint32_t *lanes, const uint16_t *upper, const uint16_t *lower, const uint8_t *zeroed, int odd,
  int mode, uint32_t mask) {
  uint32_t loaded[ek_lane_count];
  for (int row = 0; row < 4; row++) {
    uint32_t kept = zeroed[row] ? 0 : ~0u;
    for (int i = 0; i < 8; i++) {
      uint32_t high = upper[16 * row + 2 * i + odd], low = lower[16 * row + 2 * i + odd];
      loaded[8 * row + i] = (high << 16 | low) & kept;
    }
  }
  for (int i = 0; i < ek_lane_count; i++) {
    uint32_t bits = loaded[i], half = bits >> 16, value;
    switch (mode) {
    case ek_lanes_fp16: {
      uint32_t exponent = half & 31;
      exponent += exponent ? 112 : 0;
      value = (half >> 15) << 31 | exponent << 23 | (half >> 5 & 0x3FF) << 13;
      break;
    }
    case ek_lanes_bf16: value = fp32_from_code(bits) & 0xFFFF0000; break;
    case ek_lanes_uint16: value = half; break;
    case ek_lanes_twos_complement:
      value = fp32_from_code(bits);
      value = value >> 31 ? 0u - (value & 0x7FFFFFFF) : value;
      break;
    case ek_lanes_low16: value = (lanes[i] & 0xFFFF0000) | half; break;
    case ek_lanes_high16: value = half << 16 | (lanes[i] & 0xFFFF); break;
    default: value = fp32_from_code(bits); break;
    }
    loaded[i] = value;
  }
  if (mask == ~0u) {
    memcpy(lanes, loaded, sizeof loaded);
    return;
  }
  for (int i = 0; i < ek_lane_count; i++) {
    if (mask >> i & 1) { lanes[i] = loaded[i]; }
  }
}

static inline uint32_t fp16_code(uint32_t bits) {
  uint32_t sign = bits >> 16 & 0x8000;
  int32_t exponent = (int32_t)(bits >> 23 & 0xFF) - 112;
  if (exponent <= 0) { return sign; }
  if (exponent > 31) { return sign | 0x7FFF; }
  return sign | (bits >> 13 & 0x3FF) << 5 | (uint32_t)exponent;
}

void ek_lanes_store(
  const uint32_t *lanes, uint16_t *upper, uint16_t *lower, int odd, int mode, uint32_t mask) {
  uint32_t stored[ek_lane_count];
  bool wide = false;
  for (int i = 0; i < ek_lane_count; i++) {
    uint32_t value = lanes[i];
    switch (mode) {
    case ek_lanes_fp16: stored[i] = fp16_code(value) << 16; break;
    case ek_lanes_bf16: stored[i] = code_from_fp32(without_denormals(value)); break;
    case ek_lanes_uint16:
    case ek_lanes_low16: stored[i] = value << 16; break;
    case ek_lanes_high16: stored[i] = value; break;
    case ek_lanes_fp32: stored[i] = code_from_fp32(without_denormals(value)), wide = true; break;
    case ek_lanes_raw32: stored[i] = value, wide = true; break;
    case ek_lanes_raw32_swapped: stored[i] = value << 16 | value >> 16, wide = true; break;
    case ek_lanes_twos_complement:
      stored[i] = code_from_fp32(negated_magnitude(value)), wide = true;
      break;
    default: stored[i] = code_from_fp32(value), wide = true; break;
    }
  }
  for (int i = 0; i < ek_lane_count; i++) {
    if ((mask >> i & 1) == 0) { continue; }
    int place = 16 * (i / 8) + 2 * (i & 7) + odd;
    upper[place] = (uint16_t)(stored[i] >> 16);
    if (wide) { lower[place] = (uint16_t)stored[i]; }
  }
}
