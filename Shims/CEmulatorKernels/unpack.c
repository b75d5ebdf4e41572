#include "CEmulatorKernels.h"

#include <string.h>

static inline uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

/// Sign and 7 bits of magnitude under an exponent. The exponent may wrap; a negative zero stands for
/// minus infinity.
static inline uint32_t from_block(uint32_t sign, uint32_t magnitude, uint32_t exponent) {
  // As a float, the magnitude comes normalised.
  const uint32_t normal = bits_of((float)(int32_t)magnitude);
  const uint32_t power = ((normal >> 23) + exponent - 133) & 0xFF;
  const uint32_t value = sign << 31 | power << 23 | (normal & 0x7FFFFF);
  return magnitude ? value : sign ? 0xFF800000 : 0;
}

static inline uint32_t half_to_register(uint32_t half) {
  return (half & 0x8000) << 16 | (half & 0x7FFF) << 13;
}

static inline uint32_t fp32_to_fp16(uint32_t value) {
  const uint32_t sign = value & 0x80000000;
  const int32_t exponent = (int32_t)(value >> 23 & 0xFF) - 112;
  if (exponent < 0) return sign;
  if (exponent > 31) return sign | 31u << 23 | 0x7FE000;
  return sign | (uint32_t)exponent << 23 | (value & 0x7FE000);
}

static inline uint32_t int8_to_register(uint32_t byte, bool is_unsigned) {
  const uint32_t sign = is_unsigned ? 0 : byte & 0x80;
  uint32_t value = byte - sign;
  if (value) value |= 16 << 10;
  return half_to_register(value | sign << 8);
}

/// Up to 16 data that share a row of the source.
static void unpack_row(
  const uint8_t *data, uint32_t bit, int from, int to, const uint8_t *exponents, uint32_t place,
  uint8_t exponent, bool is_unsigned, uint32_t *out, uint32_t count
) {
#define EXPONENT(i) (exponents ? exponents[(place + (i)) / 16] : exponent)
  switch (from) {
  case ek_fp32: {
    uint32_t in[16];
    memcpy(in, data, 4 * count);
    if (to == ek_tf32) {
      for (uint32_t i = 0; i < count; i++) out[i] = in[i] & 0xFFFFE000;
    } else if (to == ek_bf16) {
      for (uint32_t i = 0; i < count; i++) {
        out[i] = in[i] & ((in[i] & 0x7F800000) ? 0xFFFF0000 : 0x80000000);
      }
    } else {
      for (uint32_t i = 0; i < count; i++) out[i] = fp32_to_fp16(in[i]);
    }
    break;
  }
  case ek_bf16: case ek_fp16: case ek_int16: {
    uint16_t in[16];
    memcpy(in, data, 2 * count);
    if (from == ek_bf16) {
      for (uint32_t i = 0; i < count; i++) out[i] = (uint32_t)in[i] << 16;
    } else if (from == ek_fp16) {
      for (uint32_t i = 0; i < count; i++) out[i] = half_to_register(in[i]);
    } else {
      for (uint32_t i = 0; i < count; i++) {
        out[i] = (in[i] & 0x8000u) << 16 | (in[i] & 0xFFu) << 23 | (in[i] >> 8 & 0x7Fu) << 16;
      }
    }
    break;
  }
  case ek_bfp8:
    if (place == 0) {
      const uint32_t shared = exponents ? exponents[0] : exponent;
      for (uint32_t i = 0; i < count; i++) {
        out[i] = from_block(data[i] >> 7, data[i] & 0x7F, shared);
      }
    } else {
      for (uint32_t i = 0; i < count; i++) {
        out[i] = from_block(data[i] >> 7, data[i] & 0x7F, EXPONENT(i));
      }
    }
    break;
  case ek_bfp4:
    for (uint32_t i = 0; i < count; i++, bit += 4) {
      const uint32_t datum = data[bit / 8] >> (bit & 4) & 15;
      out[i] = from_block(datum >> 3, (datum & 7) << 4, EXPONENT(i));
    }
    break;
  case ek_bfp2:
    for (uint32_t i = 0; i < count; i++, bit += 2) {
      const uint32_t datum = data[bit / 8] >> (bit & 6) & 3;
      out[i] = from_block(datum >> 1, (datum & 1) << 6, EXPONENT(i));
    }
    break;
  case ek_fp8:
    for (uint32_t i = 0; i < count; i++) out[i] = half_to_register((uint32_t)data[i] << 8);
    break;
  default:
    for (uint32_t i = 0; i < count; i++) out[i] = int8_to_register(data[i], is_unsigned);
    break;
  }
#undef EXPONENT
}

void ek_unpack(
  const ek_unpack_source *source, int from, int to, uint32_t *registers, uint32_t count
) {
  const uint8_t *data = source->data, *exponents = source->exponents;
  for (uint32_t done = 0; done < count; done += 16) {
    const uint32_t left = count - done;
    unpack_row(
      data, source->first_bit, from, to, exponents, source->place, source->exponent,
      source->is_unsigned, registers + done, left < 16 ? left : 16);
    data += source->row_bytes;
    if (exponents) exponents++;
  }
}

void ek_place_transposed(
  const uint32_t *data, uint32_t *registers, uint32_t first, uint32_t count
) {
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t row = (first + i) / 16, column = i % 16;
    registers[((row & ~15u) | column) * 16 + (row & 15)] = data[i];
  }
}

void ek_unpack_to_dst(
  const ek_unpack_source *source, uint16_t *dst, uint32_t first_row, uint32_t count
) {
  const uint8_t *data = source->data;
  for (uint32_t done = 0, row = first_row; done < count; done += 16, row++) {
    const uint32_t left = count - done, columns = left < 16 ? left : 16;
    uint16_t *upper = dst + 16 * ((row & 0x1F8) << 1 | (row & 0x207));
    uint16_t *lower = upper + 16 * 8;
    uint32_t in[16];
    memcpy(in, data, 4 * columns);
    for (uint32_t i = 0; i < columns; i++) {
      const uint32_t bits = in[i] >> 16;
      upper[i] = (uint16_t)((bits & 0x8000) | (bits & 0x7F) << 8 | (bits >> 7 & 0xFF));
      lower[i] = (uint16_t)in[i];
    }
    data += source->row_bytes;
  }
}
