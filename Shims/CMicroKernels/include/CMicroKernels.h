// The inner loops of the cpu backend. They start no thread and allocate nothing; whoever calls
// gives scratch memory and divides the work.
//
// Matrices are row-major float32 unless said otherwise. Nothing needs to be aligned.

#ifndef CMICROKERNELS_H
#define CMICROKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Instructions a kernel is compiled for. Every function takes them first.
typedef enum mk_instructions {
  MK_PORTABLE = 0, // what every processor of the architecture has; NEON on 64-bit Arm
  MK_AVX2 = 1,     // with FMA
  MK_AVX512 = 2,
} mk_instructions;

/// True where this processor and its system run those instructions.
bool mk_supports(mk_instructions instructions);

// MARK: Matrix product

typedef enum mk_activation {
  MK_NONE = 0,
  MK_SILU = 1,
  MK_GELU_TANH = 2,
} mk_activation;

// How the elements of a packed weight are stored.
typedef enum mk_weights {
  MK_FLOAT32 = 0,
  MK_BFLOAT16 = 1, // two columns a 32-bit lane: column i below, column i + columns / 2 above
} mk_weights;

/// The largest tile of a result that stays in registers.
typedef struct mk_tile {
  size_t rows;    // of the left operand, at most
  size_t columns; // of a panel of the packed weight, always
} mk_tile;

mk_tile mk_tile_size(mk_instructions instructions);

/// Packs `rows` rows of x, `depth` elements each and `stride` apart, as one tile [depth][rows].
void mk_pack_left(
  mk_instructions instructions, const float *x, size_t stride, size_t rows, size_t depth,
  float *out);

/// Packs up to `columns` rows of a weight [out, in] as a panel [depth][columns] of float32.
/// `stride` is in elements; rows from `rows` on become zero.
void mk_pack_panel_float32(
  mk_instructions instructions, const void *weight, size_t stride, size_t rows, size_t depth,
  float *out);

/// The same from bfloat16, widened.
void mk_pack_panel_widened(
  mk_instructions instructions, const void *weight, size_t stride, size_t rows, size_t depth,
  float *out);

/// The same from bfloat16, left as they are: a panel [depth][columns / 2] of pairs.
void mk_pack_panel_bfloat16(
  mk_instructions instructions, const void *weight, size_t stride, size_t rows, size_t depth,
  uint32_t *out);

/// result = left x right over one block of the depth, for several panels.
typedef struct mk_product {
  const float *left;     // tiles [left_depth][tile_rows], the last one perhaps of fewer rows
  size_t left_depth;     // of all blocks
  size_t tile_rows;      // at most that of mk_tile_size
  size_t first;          // where this block begins in left_depth
  size_t rows;           // of the result
  const void *right;     // panels
  size_t right_stride;   // bytes from panel to panel
  mk_weights right_type;
  size_t depth;          // of this block
  float *result;         // [rows][columns]
  size_t result_stride;  // elements from row to row
  size_t columns;        // of the result; the last panel may have fewer than a whole one
  bool accumulates;      // adds to what is in the result
  bool finishes;         // then adds the bias and applies the activation
  const float *bias;     // [columns] or NULL
  mk_activation activation;
  const float *factor;   // [rows][result_stride], what the result is multiplied by at last, or NULL
} mk_product;

void mk_multiply_panels(mk_instructions instructions, const mk_product *product);

// MARK: Attention

/// One panel of query rows over all keys, without a score matrix: a running softmax over blocks of
/// keys. The keys' head is shared by the query heads whose rows follow each other.
typedef struct mk_attention {
  const float *query;    // [rows][width]: the rows of this panel
  size_t rows;           // at most the columns of mk_tile_size
  size_t width;
  const float *keys;     // packed left tiles of [keys][width]
  const float *values;   // packed by mk_pack_values
  size_t key_count;
  const float *const *mask; // a row of the mask for each query row, or NULL
  bool mask_is_constant; // a mask row is one number for all keys
  float scale;
  float *out;            // [rows][width]
  float *scratch;        // mk_attention_scratch floats
} mk_attention;

size_t mk_attention_scratch(mk_instructions instructions, size_t width);

/// Packs values [keys][width] as tiles of columns [keys][rows of mk_tile_size].
void mk_pack_values(
  mk_instructions instructions, const float *values, size_t keys, size_t width, float *out);

void mk_attend(mk_instructions instructions, const mk_attention *attention);

// MARK: Rows

/// exp(x - max) / sum over each row.
void mk_softmax_rows(
  mk_instructions instructions, const float *x, size_t rows, size_t width, float *out);

/// (x - mean) / sqrt(variance + epsilon) * weight + bias over each row.
void mk_layer_norm_rows(
  mk_instructions instructions, const float *x, const float *weight, const float *bias,
  float epsilon, size_t rows, size_t width, float *out);

/// x / sqrt(mean(x^2) + epsilon) * (1 + scale) + shift over each row; shift may be NULL.
void mk_rms_norm_rows(
  mk_instructions instructions, const float *x, const float *scale, const float *shift,
  float epsilon, size_t rows, size_t width, float *out);

/// [a | b] becomes [a cos - b sin | b cos + a sin]; cosine and sine are [rows][width / 2].
void mk_rotate_rows(
  mk_instructions instructions, const float *x, const float *cosine, const float *sine,
  size_t rows, size_t width, float *out);

// MARK: Elements

/// out[i] = a[i * a_step] + b[i * b_step]; a step is 0 or 1.
void mk_add(
  mk_instructions instructions, const float *a, size_t a_step, const float *b, size_t b_step,
  size_t count, float *out);

/// out[i] = a[i * a_step] * b[i * b_step]; a step is 0 or 1.
void mk_multiply(
  mk_instructions instructions, const float *a, size_t a_step, const float *b, size_t b_step,
  size_t count, float *out);

void mk_activate(
  mk_instructions instructions, const float *x, mk_activation activation, size_t count,
  float *out);

/// Sines and cosines of `factor * frequencies[i]`, computed in float64. Angles are below
/// MK_LARGEST_ANGLE in magnitude.
void mk_sines_cosines(
  mk_instructions instructions, double factor, const double *frequencies, size_t count,
  float *sines, float *cosines);

#define MK_LARGEST_ANGLE 1e6

void mk_widen(
  mk_instructions instructions, const uint16_t *bfloat16, size_t count, float *out);

// MARK: The machine

/// `count` times all the multiply-adds that fit in registers, to measure the processor's peak.
/// Returns the floating-point operations done.
double mk_multiply_add_peak(mk_instructions instructions, size_t count);

/// Keeps the calling thread on these processors; where the system refuses, it stays free.
void mk_stay_on(const size_t *processors, size_t count);

/// Tells the processor that this is a waiting loop.
static inline void mk_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#endif
