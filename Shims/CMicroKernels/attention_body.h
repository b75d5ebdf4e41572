#include "tile.h"

// Everything is transposed: a query row is a lane, so that maxima and sums over keys run down the
// vectors and nothing is added up across one.
//
//   scores [keys of a block][lanes] = keys x queryᵀ
//   out    [width][lanes]          += valuesᵀ x exp(scores - maximum)

// Keys in a block: their scores stay in the nearest cache.
#define BLOCK (16 * TILE_ROWS)

static size_t MK(mk_attention_scratch)(size_t width) {
  return COLUMNS * (2 * width + 2 * BLOCK + TILE_ROWS);
}

static void MK(mk_pack_values)(const float *values, size_t keys, size_t width, float *out) {
  for (size_t first = 0; first < width; first += TILE_ROWS) {
    size_t count = width - first < TILE_ROWS ? width - first : TILE_ROWS;
    for (size_t key = 0; key < keys; key++, out += count) {
      memcpy(out, values + key * width + first, count * sizeof(float));
    }
  }
}

// Rows of `depth` floats as the lanes of [depth][COLUMNS]; lanes without a row are zero.
static void MK(rows_to_lanes)(
  const float *const *rows, size_t count, size_t first, size_t depth, float *out) {
  for (size_t half = 0; half < COLUMNS; half += VL) {
    size_t present = count <= half ? 0 : count - half < VL ? count - half : VL;
    size_t k = 0;
    for (; k + VL <= depth; k += VL) {
      VU square[VL];
#pragma clang loop unroll(full)
      for (size_t i = 0; i < VL; i++) {
        square[i] = i < present ? MK(load_bits)(rows[half + i] + first + k) : (VU)0;
      }
      MK(transpose)(square);
#pragma clang loop unroll(full)
      for (size_t i = 0; i < VL; i++) {
        MK(store_bits)(out + (k + i) * COLUMNS + half, square[i]);
      }
    }
    for (; k < depth; k++) {
      for (size_t i = 0; i < VL; i++) {
        out[k * COLUMNS + half + i] = i < present ? rows[half + i][first + k] : 0;
      }
    }
  }
}

// Scores to exp(score - maximum), in place, for half of the lanes. The maximum and the sum so far
// move on; returns what the sums of earlier blocks are to be multiplied by.
static V MK(soften)(
  float *scores, const float *mask, size_t mask_step, float scale, size_t keys, float *maximum,
  float *sum) {
  V before = MK(load)(maximum);
  V highest = before;
  for (size_t t = 0; t < keys; t++) {
    V score = MK(load)(scores + t * COLUMNS) * scale;
    if (mask) score += MK(load)(mask + t * mask_step);
    MK(store)(scores + t * COLUMNS, score);
    highest = MK(larger)(highest, score);
  }
  // Where all is minus infinity so far, nothing is subtracted: every weight is zero, no NaN.
  V base = MK(choose)((VU)(highest == -INFINITY), (V)0, highest);
  V total = 0;
  for (size_t t = 0; t < keys; t++) {
    V weight = MK(exponential)(MK(load)(scores + t * COLUMNS) - base);
    MK(store)(scores + t * COLUMNS, weight);
    total += weight;
  }
  V correction = MK(exponential)(before - base);
  MK(store)(maximum, highest);
  MK(store)(sum, MK(load)(sum) * correction + total);
  return correction;
}

static void MK(mk_attend)(const mk_attention *a) {
  float *query = a->scratch;
  float *out = query + a->width * COLUMNS;
  float *scores = out + a->width * COLUMNS;
  float *mask = scores + BLOCK * COLUMNS;
  float *sums = mask + BLOCK * COLUMNS;
  float maximum[COLUMNS], total[COLUMNS];
  const float *rows[COLUMNS];

  for (size_t i = 0; i < a->rows; i++) rows[i] = a->query + i * a->width;
  MK(rows_to_lanes)(rows, a->rows, 0, a->width, query);
  memset(out, 0, a->width * COLUMNS * sizeof(float));
  for (size_t i = 0; i < COLUMNS; i++) {
    maximum[i] = -INFINITY;
    total[i] = 0;
  }

  for (size_t first = 0; first < a->key_count; first += BLOCK) {
    size_t keys = a->key_count - first < BLOCK ? a->key_count - first : BLOCK;
    for (size_t t = 0; t < keys; t += TILE_ROWS) {
      size_t count = keys - t < TILE_ROWS ? keys - t : TILE_ROWS;
      MK(multiply_tile)(
        count, a->keys + (first + t) * a->width, query, MK_FLOAT32, a->width,
        count * a->width * sizeof(float), scores + t * COLUMNS);
    }

    size_t mask_step = a->mask_is_constant ? 0 : COLUMNS;
    if (a->mask) {
      MK(rows_to_lanes)(
        a->mask, a->rows, a->mask_is_constant ? 0 : first, a->mask_is_constant ? 1 : keys, mask);
    }
    V correction[2];
    for (int half = 0; half < 2; half++) {
      correction[half] = MK(soften)(
        scores + half * VL, a->mask ? mask + half * VL : NULL, mask_step, a->scale, keys,
        maximum + half * VL, total + half * VL);
    }

    for (size_t d = 0; d < a->width; d += TILE_ROWS) {
      size_t count = a->width - d < TILE_ROWS ? a->width - d : TILE_ROWS;
      MK(multiply_tile)(
        count, a->values + d * a->key_count + first * count, scores, MK_FLOAT32, keys,
        count * a->key_count * sizeof(float), sums);
      for (size_t i = 0; i < count; i++) {
        for (int half = 0; half < 2; half++) {
          float *to = out + (d + i) * COLUMNS + half * VL;
          V new = MK(load)(sums + i * COLUMNS + half * VL);
          // Not 0 * correction in the first block: that would be NaN for an infinite one.
          MK(store)(to, first == 0 ? new : MK(load)(to) * correction[half] + new);
        }
      }
    }
  }

  for (size_t i = 0; i < a->rows; i++) {
    for (size_t d = 0; d < a->width; d++) {
      a->out[i * a->width + d] = out[d * COLUMNS + i] / total[i];
    }
  }
}
