// The register tile: out[rows][2 * VL] = left x right over the depth, `left` packed as
// [depth][rows] and `right` as a panel. Included once for each instruction set.

#define COLUMNS (2 * VL)

// Fetches what this tile's neighbours will need: `next` is the place in the next tile of the left operand,
// the panel's rows come in order. The processor does not look ahead beyond a page by itself.
#define FETCH(next, right) \
  __builtin_prefetch((const void *)(next), 0, 2); \
  __builtin_prefetch((const void *)((uintptr_t)(right) + 16 * sizeof(V)));

// Every number of rows is a function of its own, so that all sums stay in registers. `ahead` is the distance
// to the next tile of the left operand, in bytes.
MK_INLINE void MK(tile_float32)(
  const int rows, const float *left, const float *right, size_t depth, size_t ahead, float *out) {
  V low[TILE_ROWS], high[TILE_ROWS];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) low[i] = high[i] = 0;
  for (size_t k = 0; k < depth; k++) {
    FETCH((uintptr_t)left + ahead, right)
    V b0 = MK(load)(right), b1 = MK(load)(right + VL);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      low[i] += left[i] * b0;
      high[i] += left[i] * b1;
    }
    left += rows;
    right += COLUMNS;
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    MK(store)(out + i * COLUMNS, low[i]);
    MK(store)(out + i * COLUMNS + VL, high[i]);
  }
}

MK_INLINE void MK(tile_bfloat16)(
  const int rows, const float *left, const uint32_t *right, size_t depth, size_t ahead,
  float *out) {
  V low[TILE_ROWS], high[TILE_ROWS];
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) low[i] = high[i] = 0;
  for (size_t k = 0; k < depth; k++) {
    FETCH((uintptr_t)left + ahead, right)
    VU pairs = MK(load_bits)(right);
    V b0 = MK(as_floats)(pairs << 16), b1 = MK(as_floats)(pairs & 0xFFFF0000u);
#pragma clang loop unroll(full)
    for (int i = 0; i < rows; i++) {
      low[i] += left[i] * b0;
      high[i] += left[i] * b1;
    }
    left += rows;
    right += VL;
  }
#pragma clang loop unroll(full)
  for (int i = 0; i < rows; i++) {
    MK(store)(out + i * COLUMNS, low[i]);
    MK(store)(out + i * COLUMNS + VL, high[i]);
  }
}

#if TILE_ROWS > 6
#define MK_MORE_ROWS(f) case 7: f(7); case 8: f(8); case 9: f(9); case 10: f(10); \
  case 11: f(11); case 12: f(12);
#else
#define MK_MORE_ROWS(f)
#endif
#if TILE_ROWS > 12
#define MK_MOST_ROWS(f) case 13: f(13); case 14: f(14);
#else
#define MK_MOST_ROWS(f)
#endif
#define MK_EVERY_ROW_COUNT(rows, f) \
  switch (rows) { \
  case 1: f(1); case 2: f(2); case 3: f(3); case 4: f(4); case 5: f(5); case 6: f(6); \
  MK_MORE_ROWS(f) MK_MOST_ROWS(f) \
  default: return; \
  }

static void MK(multiply_tile)(
  size_t rows, const float *left, const void *right, mk_weights type, size_t depth, size_t ahead,
  float *out) {
  if (type == MK_BFLOAT16) {
#define F(n) MK(tile_bfloat16)(n, left, right, depth, ahead, out); return
    MK_EVERY_ROW_COUNT(rows, F)
#undef F
  }
#define F(n) MK(tile_float32)(n, left, right, depth, ahead, out); return
  MK_EVERY_ROW_COUNT(rows, F)
#undef F
}

#undef FETCH
#undef MK_EVERY_ROW_COUNT
#undef MK_MOST_ROWS
#undef MK_MORE_ROWS
