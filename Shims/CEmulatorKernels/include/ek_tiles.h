/// Conversions of data on their way between L1 and the coprocessor's registers.
#ifndef ek_tiles_h
#define ek_tiles_h

#include <stdbool.h>
#include <stdint.h>

/// Data formats, as the configuration numbers them.
enum {
  ek_fp32 = 0,
  ek_fp16 = 1,
  ek_bfp8a = 2,
  ek_tf32 = 4,
  ek_bf16 = 5,
  ek_bfp8 = 6,
  ek_bfp4 = 7,
  ek_int32 = 8,
  ek_int16 = 9,
  ek_fp8 = 10,
  ek_int8 = 14,
  ek_bfp2 = 15,
};

/// Where an unpacker reads.
typedef struct {
  /// The byte with the first datum, and its lowest bit in there.
  const uint8_t *data;
  uint32_t first_bit;
  /// Bytes from 16 data to the next 16.
  uint32_t row_bytes;
  /// The byte with the first datum's exponent, and the datum's place among the 16 that share it.
  const uint8_t *exponents;
  uint32_t place;
  /// All exponents, where `exponents` is null.
  uint8_t exponent;
  bool is_unsigned;
} ek_unpack_source;

/// `count` data for a source register: 19 bits at the top of each 32. `to` is what an fp32 becomes.
void ek_unpack(
  const ek_unpack_source *source, int from, int to, uint32_t *registers, uint32_t count);

/// Data that come in the order of rows go to a register bank with the low four bits of row and
/// column exchanged; `first` is a multiple of 16.
void ek_place_transposed(
  const uint32_t *data, uint32_t *registers, uint32_t first, uint32_t count);

/// 32-bit data to rows of Dst, from `first_row` on.
void ek_unpack_to_dst(
  const ek_unpack_source *source, uint16_t *dst, uint32_t first_row, uint32_t count);

/// How the packers convert.
typedef struct {
  /// They read 32 bits of Dst a datum.
  bool wide;
  /// What is read is taken for this, and written as that.
  uint8_t from, to;
  /// 0 none, 1 negative data become 0, 2 those up to the threshold, 3 negative data, and those above
  /// the threshold become it.
  uint8_t relu;
  uint16_t threshold;
  bool is_unsigned;
  /// Data are added to what is there.
  bool accumulates;
} ek_packing;

/// `count` data of Dst, from the start of row `first_row`. `masks` has for each row the columns that
/// are not 0; null: all of them. Block formats take whole rows.
void ek_pack(
  const ek_packing *packing, const uint16_t *dst, const uint8_t *zeroed, uint32_t first_row,
  uint32_t count, const uint16_t *masks, uint8_t *data, uint8_t *exponents);

#endif
