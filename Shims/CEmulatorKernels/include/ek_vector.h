/// The vector unit's arithmetic: 32 lanes of 32 bits.
#ifndef ek_vector_h
#define ek_vector_h

#include <stdbool.h>
#include <stdint.h>

enum { ek_lane_count = 32 };

/// Registers of all lanes, and the state of each lane's random numbers.
typedef struct {
  uint32_t registers[16][ek_lane_count];
  uint32_t random[ek_lane_count];
} ek_lanes;

/// d, a, b, c are registers, i the immediate.
enum {
  ek_vector_multiply_add,            // d = a b + c
  ek_vector_multiply_immediate,      // d = i d
  ek_vector_add_immediate,           // d = i + d
  ek_vector_lookup_bytes,            // d = linear in |L3|, 3 pieces of 8-bit coefficients
  ek_vector_lookup_halves,           // d = linear in |L3|, 6 pieces of 16-bit coefficients
  ek_vector_load_immediate,          // d = i
  ek_vector_load_low,                // lower half of d = i
  ek_vector_load_high,               // upper half of d = i
  ek_vector_set_exponent,            // d = c with exponent i
  ek_vector_add_exponent,            // d = c with exponent + i, unless infinite
  ek_vector_set_exponent_from_low,   // d = c with exponent from d's low byte
  ek_vector_set_exponent_from,       // d = c with d's exponent
  ek_vector_extract_exponent,        // d = c's exponent - i; condition: negative
  ek_vector_extract_mantissa,        // d = c's mantissa | i
  ek_vector_set_mantissa,            // d = c with d's mantissa
  ek_vector_set_sign,                // d = |c| | i
  ek_vector_set_sign_from,           // d = c with d's sign
  ek_vector_add_integer,             // d = c + d; condition: negative
  ek_vector_add_integer_immediate,   // d = c + i; condition: negative
  ek_vector_subtract_integer,        // d = c - d; condition: negative
  ek_vector_shift,                   // d = d << c, to the right where c is negative
  ek_vector_shift_immediate,         // d = d << i, likewise
  ek_vector_shift_other,             // d = b << c, likewise
  ek_vector_test_negative,           // condition: c < 0
  ek_vector_test_nonzero,            // condition: c != 0
  ek_vector_move,                    // d = c
  ek_vector_negate,                  // d = c with the other sign
  ek_vector_draw,                    // d = next random number
  ek_vector_absolute_integer,        // d = |c|
  ek_vector_absolute,                // d = |c|, unless c is not a number and negative
  ek_vector_and,                     // d = d & c
  ek_vector_or,                      // d = d | c
  ek_vector_exclusive_or,            // d = d ^ c
  ek_vector_not,                     // d = ~c
  ek_vector_leading_zeros,           // d = leading zeros of c; condition: c != 0
  ek_vector_leading_zeros_unsigned,  // the same of c without its sign
  ek_vector_transpose,               // four rows of lanes of L0...L3, and of L4...L7
  ek_vector_round_bf16,              // d = c rounded to 16 bits
  ek_vector_round_integer,           // d = c rounded, at most i; i's top bit: with a sign
  ek_vector_cast,                    // d = c, sign and magnitude, as fp32
  ek_vector_swap,                    // d and c
  ek_vector_sort,                    // the smaller to d in the lanes of i, to c in the others
  ek_vector_sort_reversed,           // the larger, likewise
  ek_vector_rotate,                  // d = c, each row of eight lanes rotated by one
};

/// Carries an operation out in the lanes of `mask`. `swaps_indices`: what swaps c and d swaps c + 4
/// and d + 4, too. The result has a bit for each lane's condition, where the operation has one.
uint32_t ek_vector(
  int instruction_set, ek_lanes *lanes, int operation, int d, int a, int b, int c, uint32_t i,
  uint32_t mask, bool swaps_indices);

/// How Dst's bits become a lane's and back; the modes of SFPLOAD and SFPSTORE.
enum {
  ek_lanes_fp16 = 1,
  ek_lanes_bf16 = 2,
  ek_lanes_fp32 = 3,
  ek_lanes_int32 = 4,
  ek_lanes_uint16 = 6,
  ek_lanes_raw32 = 7,
  ek_lanes_raw32_swapped = 9,
  ek_lanes_twos_complement = 12,
  ek_lanes_low16 = 14,
  ek_lanes_high16 = 15,
};

/// Four rows of Dst's even (`odd` 0) or odd columns. `zeroed` says which rows read as zero.
void ek_lanes_load(
  uint32_t *lanes, const uint16_t *upper, const uint16_t *lower, const uint8_t *zeroed, int odd,
  int mode, uint32_t mask);
void ek_lanes_store(
  const uint32_t *lanes, uint16_t *upper, uint16_t *lower, int odd, int mode, uint32_t mask);

/// All lanes' random numbers from one seed.
void ek_vector_seed(ek_lanes *lanes, uint32_t seed);

#endif
