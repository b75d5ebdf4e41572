// The matrix unit's arithmetic as Wormhole's official simulator carries it out: products of a few
// mantissa bits a fidelity phase, sums of eight that are aligned to the largest exponent among them,
// and one rounding when such sums meet Dst.

#include "CEmulatorKernels.h"

#include <string.h>

// MARK: - Encodings of Dst

static inline uint32_t bf16_from_code(uint32_t code) {
  return (code & 0x8000) | (code & 0xFF) << 7 | (code >> 8 & 0x7F);
}

static inline uint32_t code_from_bf16(uint32_t bits) {
  return (bits & 0x8000) | (bits & 0x7F) << 8 | (bits >> 7 & 0xFF);
}

static inline uint32_t fp16_from_code(uint32_t code) {
  return (code & 0x8000) | (code & 0x1F) << 10 | (code >> 5 & 0x3FF);
}

static inline uint32_t code_from_fp16(uint32_t bits) {
  return (bits & 0x8000) | (bits & 0x3FF) << 5 | (bits >> 10 & 0x1F);
}

/// A datum of Dst with its exponent at bit 23 and its mantissa below.
static inline uint32_t load_dst(const ek_dst_rows *dst, int row, int column, bool wide, bool fp16) {
  if (dst->zeroed[row]) { return 0; }
  uint32_t code = dst->upper[16 * row + column];
  if (wide) { return bf16_from_code(code) << 16 | dst->lower[16 * row + column]; }
  if (!fp16) { return bf16_from_code(code) << 16; }
  uint32_t bits = fp16_from_code(code);
  return (bits & 0x8000) << 16 | (bits & 0x7FFF) << 13;
}

static inline void store_dst(
  const ek_dst_rows *dst, int row, int column, uint32_t bits, bool wide, bool fp16) {
  if (wide || !fp16) {
    dst->upper[16 * row + column] = code_from_bf16(bits >> 16);
    if (wide) { dst->lower[16 * row + column] = bits; }
  } else {
    dst->upper[16 * row + column] =
      code_from_fp16((bits >> 16 & 0x8000) | (bits >> 13 & 0x7FFF));
  }
}

static inline int32_t integer_from_code(uint32_t upper, uint32_t lower) {
  uint32_t bits = bf16_from_code(upper) << 16 | lower;
  int32_t magnitude = bits & 0x7FFFFFFF;
  return bits >> 31 ? -magnitude : magnitude;
}

static inline int32_t load_dst_integer(const ek_dst_rows *dst, int row, int column) {
  if (dst->zeroed[row]) { return 0; }
  return integer_from_code(dst->upper[16 * row + column], dst->lower[16 * row + column]);
}

static inline void store_dst_integer(const ek_dst_rows *dst, int row, int column, int32_t value) {
  uint32_t bits = value < 0 ? 0x80000000u | (0u - (uint32_t)value) : (uint32_t)value;
  dst->upper[16 * row + column] = code_from_bf16(bits >> 16);
  dst->lower[16 * row + column] = bits;
}

static inline int32_t add_saturating(int32_t a, int32_t b) {
  int64_t sum = (int64_t)a + b;
  return sum > INT32_MAX ? INT32_MAX : sum < -INT32_MAX ? -INT32_MAX : (int32_t)sum;
}

// MARK: - Sums meet Dst

/// How a format accumulates in a fidelity phase.
typedef struct {
  /// What the exponents of a product's factors sum up to, less this product's exponent.
  int32_t bias;
  /// Exponent that a zero takes part with.
  int32_t floor;
  bool wide, fp16;
  /// Bits of SrcA's and SrcB's mantissas that this phase multiplies.
  bool low_a, low_b;
} accumulation;

static accumulation accumulation_of(const ek_matrix_format *format, int phase) {
  accumulation how = {.wide = format->wide, .fp16 = format->short_exponent};
  how.low_a = phase & 1;
  how.low_b = phase & 2;
  how.bias = !how.fp16 ? -127 : how.wide ? 97 : -15;
  how.bias -= (how.low_a ? 5 : 0) + (how.low_b ? 7 : 0);
  how.floor = how.bias > 0 ? how.bias : 0;
  return how;
}

/// `value >> count`, halves rounded towards plus infinity.
static inline int32_t shift_rounding(int32_t value, int32_t count) {
  count = count > 30 ? 30 : count;
  return (value + (int32_t)(1u << count >> 1)) >> count;
}

/// A sum's low 13 bits are rounded away before it meets a Dst of 16 bits.
static inline int32_t drop_low_bits(int32_t value) { return (value + 0x1000) & ~0x1FFF; }

/// Two sums and a datum of Dst, added in one step: aligned to the largest exponent, normalised,
/// rounded. A sum is below 2^28; its bit 23 is worth 2 to its exponent.
static uint32_t accumulate(
  int32_t sum0, int32_t exponent0, int32_t sum1, int32_t exponent1, uint32_t dst,
  const accumulation *how) {
  int32_t exponent_dst = dst >> 23 & 0xFF;
  int32_t magnitude_dst = exponent_dst ? (int32_t)((dst & 0x7FFFFF) | 0x800000) : 0;
  int32_t exponent = exponent0 > exponent1 ? exponent0 : exponent1;
  exponent = exponent > exponent_dst ? exponent : exponent_dst;
  if (exponent <= 0) { return 0; }
  sum0 = shift_rounding(sum0, exponent - exponent0);
  sum1 = shift_rounding(sum1, exponent - exponent1);
  magnitude_dst = shift_rounding(magnitude_dst, exponent - exponent_dst);
  if (!how->wide) {
    sum0 = drop_low_bits(sum0);
    sum1 = drop_low_bits(sum1);
    magnitude_dst = drop_low_bits(magnitude_dst);
  }
  int32_t total = sum0 + sum1 + (dst >> 31 ? -magnitude_dst : magnitude_dst);
  if (total == 0) { return 0; }
  uint32_t sign = (uint32_t)total & 0x80000000u;
  uint32_t magnitude = total < 0 ? 0u - (uint32_t)total : (uint32_t)total;

  int32_t left = __builtin_clz(magnitude) - 8;
  // -1 has no leading bit to find: the unit normalises it the other way.
  if (sign && magnitude == 1) { left = -4; }
  exponent -= left;
  int32_t dropped = how->wide ? 0 : how->fp16 ? 13 : 16;
  left -= dropped;
  magnitude = left < 0 ? (magnitude + (1u << (-left - 1))) >> -left : magnitude << left;
  magnitude <<= dropped;
  exponent += magnitude >> 24 & 1;
  magnitude &= 0x7FFFFF;

  if (exponent <= 0) { return 0; }
  if (how->wide || !how->fp16) {
    return exponent >= 255 ? sign | 0x7F800000 : sign | (uint32_t)exponent << 23 | magnitude;
  }
  return exponent >= 32 ? sign | 0x0FFFE000 : sign | (uint32_t)exponent << 23 | magnitude;
}

// MARK: - Sources

static inline uint32_t kept_bits(uint32_t datum, uint32_t kept) { return (datum & kept) >> 13; }
static inline uint32_t exponent_of(uint32_t datum) { return datum >> 10 & 0xFF; }
static inline bool is_flushed(uint32_t datum) { return (datum & 0x3FFFF) < 0x400; }
static inline uint32_t mantissa_a(uint32_t datum, bool low) {
  return low ? (datum & 0x3FF) >> 1 & 31 : ((datum & 0x3FF) | 0x400) >> 6;
}
static inline uint32_t mantissa_b(uint32_t datum, bool low) {
  return low ? (datum & 15) << 3 : ((datum & 0x3FF) | 0x400) >> 4;
}
static inline int32_t sign_magnitude(uint32_t datum) {
  int32_t magnitude = datum >> 13 & 0x3FF;
  return datum >> 31 ? -magnitude : magnitude;
}

/// Data with 5 bits of exponent have none of the upper three.
static bool exponents_fit(const uint32_t *data, int count) {
  uint32_t all = 0;
  for (int i = 0; i < count; i++) { all |= data[i]; }
  return (all & 0x70000000) == 0;
}

// MARK: - Matrix product

static void multiply_integers(
  const uint32_t *a, const uint32_t *b, ek_dst_rows dst, int rows, int phase) {
  uint32_t kept_a = phase & 1 ? 0x8003E000 : 0x801C0000;
  uint32_t kept_b = phase & 2 ? 0x8001E000 : 0x807E0000;
  for (int row = 0; row < rows; row++) {
    for (int column = 0; column < 16; column++) {
      int32_t sum = 0;
      for (int i = 0; i < 16; i++) {
        uint32_t x = a[16 * i + column], y = b[16 * row + i];
        if ((x & 0x7F800000) == 0 || (y & 0x7F800000) == 0) { continue; }
        sum += sign_magnitude(x & kept_a) * sign_magnitude(y & kept_b);
      }
      store_dst_integer(
        &dst, row, column, add_saturating(load_dst_integer(&dst, row, column), sum));
    }
  }
}

typedef int16_t lanes16 __attribute__((ext_vector_type(32)));
typedef int32_t lanes32 __attribute__((ext_vector_type(16)));
typedef uint16_t halves __attribute__((ext_vector_type(16)));

/// 32 data of a source, from two rows.
typedef struct {
  /// 0 or -1.
  lanes16 sign;
  lanes16 exponent;
  /// 10 bits, without the leading one.
  lanes16 mantissa;
} factor_lanes;

// Everything that takes or returns such vectors is inlined: no calling convention matters.
#pragma clang diagnostic ignored "-Wpsabi"

#define EK_JOIN(name, suffix) name##_##suffix
#define EK_SUFFIXED(name, suffix) EK_JOIN(name, suffix)
#define EK(name) EK_SUFFIXED(name, EK_TARGET)
#define EK_INLINE static __attribute__((always_inline)) inline

// What the instruction sets do differently: a times b with the upper bits rounded, 2^(13 - count), and
// the leading zeros of positive numbers.

#define EK_TARGET portable
EK_INLINE lanes16 EK(multiply_high)(lanes16 a, lanes16 b) {
  typedef int32_t wide_lanes __attribute__((ext_vector_type(32)));
  wide_lanes product = __builtin_convertvector(a, wide_lanes) * __builtin_convertvector(b, wide_lanes);
  return __builtin_convertvector((product + 0x4000) >> 15, lanes16);
}
EK_INLINE lanes16 EK(power)(lanes16 count) {
  return (lanes16)0x2000 >> __builtin_elementwise_min(count, (lanes16)14);
}
EK_INLINE lanes32 EK(leading_zeros)(lanes32 value) {
  typedef float float_lanes __attribute__((ext_vector_type(16)));
  // Without the bit below the leading one, conversion does not round up to the next power.
  float_lanes converted = __builtin_convertvector(value & ~(value >> 1), float_lanes);
  return 158 - ((lanes32)converted >> 23);
}
#include "multiply_body.h"
#undef EK_TARGET

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define EK_TARGET avx2
EK_INLINE lanes16 EK(of_halves)(__m256i low, __m256i high) {
  lanes16 both;
  both.lo = (typeof(both.lo))low;
  both.hi = (typeof(both.hi))high;
  return both;
}
#define EK_HALF(lanes) ((__m256i)(lanes))
EK_INLINE lanes16 EK(multiply_high)(lanes16 a, lanes16 b) {
  return EK(of_halves)(
    _mm256_mulhrs_epi16(EK_HALF(a.lo), EK_HALF(b.lo)),
    _mm256_mulhrs_epi16(EK_HALF(a.hi), EK_HALF(b.hi)));
}
/// Bytes of the power are looked up: the table's entries from 6 on are 2^7 to 1.
EK_INLINE __m256i EK(power_half)(__m256i count) {
  const __m256i table = _mm256_broadcastsi128_si256(
    _mm_setr_epi8(0, 0, 0, 0, 0, 0, (char)128, 64, 32, 16, 8, 4, 2, 1, 0, 0));
  count = _mm256_min_epu16(count, _mm256_set1_epi16(15));
  count = _mm256_or_si256(count, _mm256_slli_epi16(count, 8));
  return _mm256_shuffle_epi8(table, _mm256_add_epi16(count, _mm256_set1_epi16(0x7800)));
}
EK_INLINE lanes16 EK(power)(lanes16 count) {
  return EK(of_halves)(EK(power_half)(EK_HALF(count.lo)), EK(power_half)(EK_HALF(count.hi)));
}
EK_INLINE lanes32 EK(leading_zeros)(lanes32 value) {
  typedef float float_lanes __attribute__((ext_vector_type(16)));
  float_lanes converted = __builtin_convertvector(value & ~(value >> 1), float_lanes);
  return 158 - ((lanes32)converted >> 23);
}
#include "multiply_body.h"
#undef EK_TARGET
#pragma clang attribute pop

#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2"))), \
  apply_to = function)
#define EK_TARGET avx512
EK_INLINE lanes16 EK(multiply_high)(lanes16 a, lanes16 b) {
  return (lanes16)_mm512_mulhrs_epi16((__m512i)a, (__m512i)b);
}
EK_INLINE lanes16 EK(power)(lanes16 count) {
  return (lanes16)_mm512_srlv_epi16(_mm512_set1_epi16(0x2000), (__m512i)count);
}
EK_INLINE lanes32 EK(leading_zeros)(lanes32 value) {
  return (lanes32)_mm512_lzcnt_epi32((__m512i)value);
}
#include "multiply_body.h"
#undef EK_TARGET
#pragma clang attribute pop
#endif

int ek_instruction_set(void) {
#if defined(__x86_64__)
  if (
    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
    __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd")) {
    return ek_avx512;
  }
  if (__builtin_cpu_supports("avx2")) { return ek_avx2; }
#endif
  return ek_portable;
}

bool ek_multiply(
  int instruction_set, const uint32_t *a, const uint32_t *b, ek_dst_rows dst, int rows, int phase,
  const ek_matrix_format *format) {
  if (format->short_exponent || format->integer) {
    if (!exponents_fit(a, 256) || !exponents_fit(b, 16 * rows)) { return false; }
  }
  if (format->integer) {
    multiply_integers(a, b, dst, rows, phase);
    return true;
  }
  accumulation how = accumulation_of(format, phase);
#if defined(__x86_64__)
  if (instruction_set == ek_avx512) {
    multiply_avx512(a, b, dst, rows, format, &how);
    return true;
  }
  if (instruction_set == ek_avx2) {
    multiply_avx2(a, b, dst, rows, format, &how);
    return true;
  }
#endif
  (void)instruction_set;
  multiply_portable(a, b, dst, rows, format, &how);
  return true;
}

// MARK: - Elements

static uint32_t multiply_element(
  uint32_t x, uint32_t y, uint32_t dst, const accumulation *how) {
  int32_t exponent = (int32_t)(exponent_of(x) + exponent_of(y)) + how->bias;
  int32_t product = 0;
  if (is_flushed(x) || is_flushed(y) || exponent <= 0) {
    exponent = how->floor;
  } else {
    product = (int32_t)(mantissa_a(x, how->low_a) * mantissa_b(y, how->low_b)) << 13;
    if ((x ^ y) >> 18) { product = -product; }
  }
  return accumulate(product, exponent, 0, 0, dst, how);
}

static uint32_t add_elements(
  uint32_t x, uint32_t y, uint32_t dst, const accumulation *how) {
  if (is_flushed(x)) { x = 0; }
  if (is_flushed(y)) { y = 0; }
  if ((x & 0x3FFFF) < (y & 0x3FFFF)) {
    uint32_t larger = y;
    y = x;
    x = larger;
  }
  int32_t exponent = (int32_t)exponent_of(x);
  int32_t large = x ? (int32_t)((x & 0x3FF) | 0x400) : 0;
  int32_t small = y ? (int32_t)((y & 0x3FF) | 0x400) : 0;
  small = shift_rounding(small, exponent - (int32_t)exponent_of(y));
  int32_t sum = (x ^ y) >> 18 ? large - small : large + small;
  if (x >> 18) { sum = -sum; }
  if (how->wide && how->fp16) { exponent = exponent ? exponent + 112 : 97; }
  return accumulate(sum * (1 << 13), exponent, 0, 0, dst, how);
}

static int32_t integer_element(int operation, uint32_t x, uint32_t y, int phase) {
  bool zero_a = (x & 0x7F800000) == 0;
  bool zero_b = (y & 0x7F800000) == 0;
  if (operation == ek_elements_multiply) {
    x &= phase & 1 ? 0x8003E000 : 0x801C0000;
    y &= phase & 2 ? 0x8001E000 : 0x807E0000;
  }
  int32_t first = zero_a ? 0 : sign_magnitude(x);
  int32_t second = zero_b ? 0 : sign_magnitude(y);
  return operation == ek_elements_multiply ? first * second : first + second;
}

bool ek_elements(
  int operation, const uint32_t *a, const uint32_t *b, ek_dst_rows dst, int broadcast,
  bool accumulates, int phase, const ek_matrix_format *format) {
  accumulates |= operation == ek_elements_multiply;
  if (format->short_exponent || format->integer) {
    uint32_t all = 0;
    for (int row = 0; row < 8; row++) {
      for (int column = 0; column < 16; column++) {
        all |= b[16 * (broadcast & 2 ? 0 : row) + (broadcast & 1 ? 0 : column)];
      }
    }
    if (!exponents_fit(a, 128) || !exponents_fit(&all, 1)) { return false; }
  }
  accumulation how = accumulation_of(format, phase);
  for (int row = 0; row < 8; row++) {
    for (int column = 0; column < 16; column++) {
      uint32_t x = a[16 * row + column];
      uint32_t y = b[16 * (broadcast & 2 ? 0 : row) + (broadcast & 1 ? 0 : column)];
      if (operation == ek_elements_subtract) { y ^= 0x80000000; }
      if (format->integer) {
        int32_t result = integer_element(operation, x, y, phase);
        if (accumulates) { result = add_saturating(load_dst_integer(&dst, row, column), result); }
        store_dst_integer(&dst, row, column, result);
        continue;
      }
      uint32_t old = accumulates ? load_dst(&dst, row, column, how.wide, how.fp16) : 0;
      x = kept_bits(x, format->kept_a);
      y = kept_bits(y, format->kept_b);
      uint32_t result = operation == ek_elements_multiply
                          ? multiply_element(x, y, old, &how)
                          : add_elements(x, y, old, &how);
      store_dst(&dst, row, column, result, how.wide, how.fp16);
    }
  }
  return true;
}

// MARK: - Maximum

/// Orders floating-point bit patterns as integers.
static inline int32_t order(uint32_t bits) {
  return (int32_t)(bits >> 31 ? bits ^ 0x7FFFFFFF : bits);
}

void ek_column_maxima(const uint32_t *a, ek_dst_rows dst, const ek_matrix_format *format) {
  for (int column = 0; column < 16; column++) {
    // A row that was zeroed is the least of all.
    uint32_t upper = dst.zeroed[0] ? 0xFFFF : dst.upper[column];
    uint32_t lower = dst.zeroed[0] ? 0xFFFF : format->wide ? dst.lower[column] : 0;
    uint32_t largest = (bf16_from_code(upper) << 16 | lower) & (format->wide ? 0xFFFFE000 : 0xFFFF0000);
    for (int i = 0; i < 16; i++) {
      uint32_t datum = a[16 * i + column] & format->kept_a;
      if ((datum & 0x7F800000) == 0) { datum = 0; }
      if (order(datum) > order(largest)) { largest = datum; }
    }
    store_dst(&dst, 0, column, largest, format->wide, false);
  }
}
