#include "CEmulatorKernels.h"

#include <string.h>

typedef uint32_t row[16];

static inline float float_of(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

static inline double double_of(uint64_t bits) {
  double value;
  memcpy(&value, &bits, 8);
  return value;
}

// MARK: - From Dst

/// Exponent below, mantissa above: as it stands in Dst.
static inline uint32_t decode_bf16(uint32_t code) {
  return (code & 0x8000) | (code & 0xFF) << 7 | (code >> 8 & 0x7F);
}

static inline uint32_t decode_fp16(uint32_t code) {
  return (code & 0x8000) | (code & 0x1F) << 10 | (code >> 5 & 0x3FF);
}

/// No NaN, no denormals, and half up where `from` has fewer bits.
static void read_wide(
  const ek_packing *packing, const uint16_t *upper, const uint16_t *lower, row values
) {
  if (packing->from == ek_int16) {
    for (int i = 0; i < 16; i++) values[i] = upper[i];
    return;
  }
  for (int i = 0; i < 16; i++) values[i] = decode_bf16(upper[i]) << 16 | lower[i];
  switch (packing->from) {
  case ek_bf16:
    for (int i = 0; i < 16; i++) {
      uint32_t value = values[i];
      value = (value & 0x7FFFFFFF) > 0x7F800000 ? (value & 0x80000000) | 0x7F800000 : value;
      value = (value + 0x8000) >> 16;
      values[i] = (value & 0x7FFF) < 0x80 ? 0 : value;
    }
    break;
  case ek_bfp8:
    for (int i = 0; i < 16; i++) {
      uint32_t value = values[i];
      value = (value & 0x7FFFFFFF) > 0x7F800000 ? (value & 0x80000000) | 0x7F800000 : value;
      value = ((value >> 16) + 1) & ~1u;
      values[i] = (value & 0x7FFF) < 0x80 ? 0 : value;
    }
    break;
  case ek_int8:
    for (int i = 0; i < 16; i++) {
      const uint32_t value = values[i], magnitude = value & 0x7FFFFFFF;
      if (packing->is_unsigned) {
        values[i] = value & 0x80000000 ? 0 : value > 255 ? 255 : value;
      } else {
        values[i] = (value & 0x80000000) >> 24 | (magnitude < 127 ? magnitude : 127);
      }
    }
    break;
  default: break;
  }
}

static void read_narrow(const ek_packing *packing, const uint16_t *bits, row values) {
  switch (packing->from) {
  case ek_fp16: case ek_bfp8a:
    for (int i = 0; i < 16; i++) {
      uint32_t value = decode_fp16(bits[i]);
      if (packing->from == ek_bfp8a) {
        value = (value & 0x7FFF) > 0x7FF7 ? (value & 0x8000) | 0x7FF0 : value;
        value = (value + 8) & ~15u;
      }
      values[i] = (value & 0x7FFF) < 0x400 ? 0 : value;
    }
    break;
  case ek_bf16: case ek_bfp8:
    for (int i = 0; i < 16; i++) {
      uint32_t value = decode_bf16(bits[i]);
      value = (value & 0x7FFF) > 0x7F80 ? (value & 0x8000) | 0x7F80 : value;
      value = (value & 0x7FFF) < 0x80 ? 0 : value;
      values[i] = packing->from == ek_bfp8 ? (value + 1) & ~1u : value;
    }
    break;
  default:
    for (int i = 0; i < 16; i++) values[i] = bits[i];
    break;
  }
}

// MARK: - ReLU

static void clip(const ek_packing *packing, row values) {
  const bool wide = packing->from == ek_fp32 || packing->from == ek_int32;
  const uint32_t sign = wide ? 0x80000000 : 0x8000;
  const uint32_t threshold = wide ? (uint32_t)packing->threshold << 16 : packing->threshold;
  // The threshold of fp32 is compared in 19 bits.
  const int shift = wide ? 13 : 0;
  for (int i = 0; i < 16; i++) {
    uint32_t value = values[i] & sign ? 0 : values[i];
    if (packing->relu == 2 && value <= threshold) value = 0;
    if (packing->relu == 3 && value >> shift > threshold >> shift) value = threshold;
    values[i] = value;
  }
}

// MARK: - To what is written

static void convert(const ek_packing *packing, row values) {
  const int from = packing->from, to = packing->to;
  if (from == ek_fp16 && to == ek_fp32) {
    for (int i = 0; i < 16; i++) {
      const uint32_t value = values[i], sign = (value & 0x8000) << 16;
      values[i] = value & 0x7C00 ? sign | ((value & 0x7FFF) + (112 << 10)) << 13
                                 : sign | (value & 0x3FF) << 13;
    }
  } else if ((from == ek_fp16 && to == ek_bf16) || (from == ek_bfp8a && to == ek_bfp8)) {
    for (int i = 0; i < 16; i++) {
      const uint32_t value = values[i], exponent = value >> 10 & 0x1F;
      values[i] = exponent ? (value & 0x8000) | (exponent + 112) << 7 | (value & 0x3FF) >> 3 : 0;
    }
  } else if (from == ek_fp32 && to == ek_fp16) {
    for (int i = 0; i < 16; i++) {
      const uint32_t value = values[i], sign = value >> 31 << 15;
      const int32_t exponent = (int32_t)(value >> 23 & 0xFF) - 112;
      values[i] = exponent < 0    ? sign
                  : exponent > 31 ? sign | 0x7FFF
                                  : sign | (uint32_t)exponent << 10 | (value & 0x7FFFFF) >> 13;
    }
  } else if (from == ek_fp32 && (to == ek_bfp8 || to == ek_bfp4 || to == ek_bfp2)) {
    for (int i = 0; i < 16; i++) {
      const uint32_t value = values[i] >> 16;
      values[i] = (value & 0x7FFF) < 0x80 ? 0 : value;
    }
  } else if ((from == ek_bf16 || from == ek_bfp8) && to == ek_fp32) {
    for (int i = 0; i < 16; i++) values[i] <<= 16;
  }
}

// MARK: - Adding to L1

static inline uint32_t flush(uint32_t bits) {
  return bits & 0x7F800000 ? bits : bits & 0x80000000;
}

static inline uint32_t add_fp32(uint32_t a, uint32_t b) {
  const uint32_t sum = bits_of(float_of(flush(a)) + float_of(flush(b)));
  return (sum & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC00000 : flush(sum);
}

/// A bfloat16 as the adder takes it: no denormals; of a NaN, what `nan` says.
static inline double widen(uint16_t bits, uint64_t nan) {
  if ((bits & 0x7FFF) > 0x7F80) return double_of((uint64_t)(bits & 0x8000) << 48 | nan);
  return float_of((bits & 0x7F80 ? (uint32_t)bits : bits & 0x8000u) << 16);
}

static uint16_t add_bf16(uint16_t old, uint16_t added) {
  if ((old & 0x7FFF) == 0x7F80 && added == (old ^ 0x8000)) return 0x7FC0;
  // NaNs count as large numbers, the old one as the largest.
  const double sum = widen(old, (0x7FFull << 52) - 1)
    + widen(added, 1151ull << 52 | (uint64_t)(added & 0x7F) << 45);
  uint64_t bits;
  memcpy(&bits, &sum, 8);
  const uint32_t sign = (uint32_t)(bits >> 63) << 15;
  const int32_t exponent = (int32_t)(bits >> 52 & 0x7FF) - 896;
  const uint64_t mantissa = bits & ((1ull << 52) - 1);
  if (exponent <= 0) return (uint16_t)sign;
  if (exponent >= 255) return (uint16_t)(sign | 0x7F80);
  // To the nearest, ties to even; a carry goes into the exponent.
  const uint64_t rounded = (mantissa + (1ull << 44) - 1 + (mantissa >> 45 & 1)) >> 45;
  return (uint16_t)(sign | (((uint32_t)exponent << 7) + (uint32_t)rounded));
}

static inline uint32_t widen_half(uint16_t bits) {
  const uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
  return (bits & 0x7FFF) >= 0x400 ? sign | (((uint32_t)(bits & 0x7FFF) << 13) + (112 << 23)) : sign;
}

static uint16_t add_fp16(uint16_t old, uint16_t added) {
  const uint32_t sum = bits_of(float_of(widen_half(old)) + float_of(widen_half(added)));
  const uint32_t sign = sum >> 16 & 0x8000;
  // Where large numbers cancel, the adder overflows.
  if (!(sum & 0x7FFFFFFF)) return (uint16_t)(sign | ((old >> 10 & 31) >= 30 ? 0x7FFF : 0));
  const int32_t exponent = (int32_t)(sum >> 23 & 0xFF) - 112;
  if (exponent <= 0) return (uint16_t)(sign | (exponent < 0 ? 0x7FFF : 0));
  const uint32_t mantissa = sum & 0x7FFFFF;
  const uint32_t rounded = (mantissa + (1u << 12) - 1 + (mantissa >> 13 & 1)) >> 13;
  const uint32_t packed = ((uint32_t)exponent << 10) + rounded;
  return (uint16_t)(sign | (packed < 0x8000 ? packed : 0x7FFF));
}

// MARK: - Blocks

/// 16 data with the largest of their exponents: `bits` of sign and magnitude each, in bytes.
static void write_block(const row values, uint32_t bits, uint8_t *data, uint8_t *exponent) {
  uint32_t largest = 0;
  for (int i = 0; i < 16; i++) {
    const uint32_t own = values[i] >> 7 & 0xFF;
    largest = own > largest ? own : largest;
  }
  *exponent = (uint8_t)largest;
  uint32_t coded[16];
  for (int i = 0; i < 16; i++) {
    const uint32_t own = values[i] >> 7 & 0xFF;
    const uint32_t mantissa = (values[i] & 0x7F) | (own ? 0x80 : 0);
    const uint32_t shift = largest - own;
    // Half up on the magnitude, shifted by a multiplication with a power of two.
    const float factor = float_of((shift < 8 ? 134 - shift : 0) << 23);
    uint32_t magnitude = ((uint32_t)(int32_t)((float)(int32_t)mantissa * factor) + 128) >> 8;
    magnitude = magnitude > 127 ? 127 : magnitude;
    magnitude >>= 8 - bits;
    // A negative zero would stand for minus infinity.
    coded[i] = magnitude ? magnitude | (values[i] >> 15 & 1) << (bits - 1) : 0;
  }
  if (bits == 8) {
    for (int i = 0; i < 16; i++) data[i] = (uint8_t)coded[i];
  } else {
    const uint32_t in_byte = 8 / bits;
    for (uint32_t i = 0; i < 16 / in_byte; i++) {
      uint32_t byte = 0;
      for (uint32_t j = 0; j < in_byte; j++) byte |= coded[i * in_byte + j] << j * bits;
      data[i] = (uint8_t)byte;
    }
  }
}

// MARK: - All of it

static void write(
  const ek_packing *packing, const row values, uint32_t count, uint8_t **data, uint8_t **exponents
) {
  switch (packing->to) {
  case ek_fp32: case ek_int32: {
    uint32_t out[16];
    memcpy(out, values, sizeof out);
    if (packing->accumulates) {
      uint32_t old[16];
      memcpy(old, *data, 4 * count);
      for (uint32_t i = 0; i < count; i++) out[i] = add_fp32(old[i], out[i]);
    }
    memcpy(*data, out, 4 * count);
    *data += 4 * count;
    break;
  }
  case ek_fp16: case ek_bf16: case ek_int16: {
    uint16_t out[16];
    for (int i = 0; i < 16; i++) out[i] = (uint16_t)values[i];
    if (packing->accumulates) {
      uint16_t old[16];
      memcpy(old, *data, 2 * count);
      for (uint32_t i = 0; i < count; i++) {
        out[i] = packing->to == ek_bf16 ? add_bf16(old[i], out[i]) : add_fp16(old[i], out[i]);
      }
    }
    memcpy(*data, out, 2 * count);
    *data += 2 * count;
    break;
  }
  case ek_int8:
    for (uint32_t i = 0; i < count; i++) (*data)[i] = (uint8_t)values[i];
    *data += count;
    break;
  default: {
    const uint32_t bits = packing->to == ek_bfp8 ? 8 : packing->to == ek_bfp4 ? 4 : 2;
    write_block(values, bits, *data, *exponents);
    *data += 2 * bits;
    *exponents += 1;
    break;
  }
  }
}

void ek_pack(
  const ek_packing *packing, const uint16_t *dst, const uint8_t *zeroed, uint32_t first_row,
  uint32_t count, const uint16_t *masks, uint8_t *data, uint8_t *exponents
) {
  static const uint16_t zeros[16] = {0};
  for (uint32_t done = 0; done < count; done += 16) {
    const uint32_t left = count - done, number = first_row + done / 16;
    row values;
    if (packing->wide) {
      const uint32_t upper = (number & 0x1F8) << 1 | (number & 0x207);
      const bool is_zero = zeroed[upper];
      read_wide(
        packing, is_zero ? zeros : dst + 16 * upper, is_zero ? zeros : dst + 16 * (upper + 8),
        values);
    } else {
      read_narrow(packing, zeroed[number] ? zeros : dst + 16 * number, values);
    }
    if (packing->relu) clip(packing, values);
    convert(packing, values);
    if (masks) {
      for (int i = 0; i < 16; i++) values[i] = masks[done / 16] >> i & 1 ? values[i] : 0;
    }
    write(packing, values, left < 16 ? left : 16, &data, &exponents);
  }
}
