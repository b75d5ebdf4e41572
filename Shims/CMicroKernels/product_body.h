#include "tile.h"

static mk_tile MK(mk_tile_size)(void) {
  return (mk_tile){.rows = TILE_ROWS, .columns = COLUMNS};
}

// Takes a tile of sums into the result: `columns` columns from `column` on.
static void MK(take_tile)(
  const mk_product *p, const float *sums, size_t row, size_t rows, size_t column,
  size_t columns) {
  for (size_t i = 0; i < rows; i++) {
    float *to = p->result + (row + i) * p->result_stride + column;
    for (size_t j = 0; j < columns; j += VL) {
      V v = MK(load)(sums + i * COLUMNS + j);
      size_t count = columns - j;
      if (count >= VL) {
        if (p->accumulates) v += MK(load)(to + j);
        if (p->finishes) {
          if (p->bias) v += MK(load)(p->bias + column + j);
          if (p->activation != MK_NONE) v = MK(activated)(v, p->activation);
          if (p->factor) v *= MK(load)(p->factor + (to - p->result) + j);
        }
        MK(store)(to + j, v);
      } else {
        if (p->accumulates) v += MK(load_part)(to + j, count);
        if (p->finishes) {
          if (p->bias) v += MK(load_part)(p->bias + column + j, count);
          if (p->activation != MK_NONE) v = MK(activated)(v, p->activation);
          if (p->factor) v *= MK(load_part)(p->factor + (to - p->result) + j, count);
        }
        MK(store_part)(to + j, v, count);
      }
    }
  }
}

static void MK(mk_multiply_panels)(const mk_product *p) {
  float sums[TILE_ROWS * COLUMNS];
  for (size_t row = 0; row < p->rows; row += p->tile_rows) {
    size_t rows = p->rows - row < p->tile_rows ? p->rows - row : p->tile_rows;
    const float *left = p->left + row * p->left_depth + p->first * rows;
    const char *right = p->right;
    for (size_t column = 0; column < p->columns; column += COLUMNS, right += p->right_stride) {
      size_t columns = p->columns - column < COLUMNS ? p->columns - column : COLUMNS;
      // Of a large result nothing is in a cache, nor of its factor: they come while the tile is computed.
      for (size_t i = 0; i < rows; i++) {
        size_t first = (row + i) * p->result_stride + column, last = first + columns - 1;
        __builtin_prefetch(p->result + first, 1);
        __builtin_prefetch(p->result + last, 1);
        if (p->factor && p->finishes) {
          __builtin_prefetch(p->factor + first);
          __builtin_prefetch(p->factor + last);
        }
      }
      MK(multiply_tile)(
        rows, left, right, p->right_type, p->depth, rows * p->left_depth * sizeof(float), sums);
      MK(take_tile)(p, sums, row, rows, column, columns);
    }
  }
}

// Enough independent sums to cover the latency of a multiply-add; the operands are never zero,
// subnormal or growing.
static double MK(mk_multiply_add_peak)(size_t count) {
  V sums[12];
  for (int i = 0; i < 12; i++) sums[i] = (float)(i + 1);
  // Unknown to the compiler, which would find a sum that stays the same and leave it out.
  float factor = 0.999f, addend = 0.001f;
  __asm__ volatile("" : "+m"(factor), "+m"(addend));
  V a = factor, b = addend;
  for (size_t n = 0; n < count; n++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; i++) sums[i] = sums[i] * a + b;
    __asm__ volatile("" : : : "memory");
  }
  float total = 0;
  for (int i = 0; i < 12; i++) total += MK(sum)(sums[i]);
  __asm__ volatile("" : : "r"(&total) : "memory");
  return 2.0 * 12 * VL * (double)count;
}
