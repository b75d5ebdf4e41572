/// The matrix unit's arithmetic. Data of SrcA and SrcB have 19 bits at the top of 32; data of Dst
/// are encoded as Dst keeps them.
#ifndef ek_matrix_h
#define ek_matrix_h

#include <stdbool.h>
#include <stdint.h>

/// What the configuration says about an operation's operands.
typedef struct {
  /// Bits of a source datum that its format has.
  uint32_t kept_a, kept_b;
  /// Dst keeps 32 bits.
  bool wide;
  /// Source data have 5 bits of exponent.
  bool short_exponent;
  /// Source data are sign and 10 bits of magnitude, Dst 32-bit integers.
  bool integer;
} ek_matrix_format;

/// Rows of Dst, 16 columns each: upper halves of data, lower halves if there are, and whether a row
/// reads as zero.
typedef struct {
  uint16_t *upper, *lower;
  const uint8_t *zeroed;
} ek_dst_rows;

/// Instruction set that the fastest implementation may use.
enum { ek_portable, ek_avx2, ek_avx512 };
int ek_instruction_set(void);

/// `dst += b a`: `rows` rows of 16 columns, from `rows` x 16 of SrcB and 16 x 16 of SrcA. False
/// where a datum has more exponent than its format.
bool ek_multiply(
  int instruction_set, const uint32_t *a, const uint32_t *b, ek_dst_rows dst, int rows, int phase,
  const ek_matrix_format *format);

enum { ek_elements_multiply, ek_elements_add, ek_elements_subtract };

/// Eight rows of `dst += a * b`, or `dst = a + b` or `a - b`, which `accumulates` adds to Dst;
/// `broadcast` 1 takes SrcB's first column, 2 its first row. False as above.
bool ek_elements(
  int operation, const uint32_t *a, const uint32_t *b, ek_dst_rows dst, int broadcast,
  bool accumulates, int phase, const ek_matrix_format *format);

/// A row of Dst becomes the maximum of it and 16 rows of SrcA.
void ek_column_maxima(const uint32_t *a, ek_dst_rows dst, const ek_matrix_format *format);

#endif
