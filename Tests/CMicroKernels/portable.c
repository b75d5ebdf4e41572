// The portable kernels against plain loops, without a C library: built for 64-bit Arm and run in QEMU by
// Scripts/test-arm-kernels. Exits with the number of the check that failed.

#include "CMicroKernels.h"

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
  for (size_t i = 0; i < count; i++) ((volatile char *)to)[i] = ((const char *)from)[i];
  return to;
}

void *memset(void *to, int value, size_t count) {
  for (size_t i = 0; i < count; i++) ((volatile char *)to)[i] = (char)value;
  return to;
}

static uint32_t state = 1;

static float random_float(void) {
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / 8388608.0f - 1.0f;
}

// e^x of a small x: (e^(x / 1024))^1024.
static double plain_exponential(double x) {
  double y = x / 1024, e = 1 + y * (1 + y / 2 * (1 + y / 3 * (1 + y / 4)));
  for (int i = 0; i < 10; i++) e *= e;
  return e;
}

static int differs(float actual, double expected) {
  double difference = actual - expected;
  return !(difference < 1e-4 && difference > -1e-4);
}

#define ROWS 29
#define OUTPUTS 21
#define DEPTH 67
#define KEYS 250
#define WIDTH 20

static float x[ROWS * DEPTH], packed_x[ROWS * DEPTH + 64], bias[OUTPUTS], factor[ROWS * OUTPUTS];
static float weight[OUTPUTS * DEPTH], result[ROWS * OUTPUTS], packed[64 * DEPTH];
static uint16_t narrow[OUTPUTS * DEPTH];
static float query[8 * WIDTH], keys[KEYS * WIDTH], values[KEYS * WIDTH], out[8 * WIDTH];
static float packed_keys[KEYS * WIDTH + 64], packed_values[KEYS * WIDTH + 64], scratch[65536];

static int check_products(mk_weights type) {
  mk_tile tile = mk_tile_size(MK_PORTABLE);
  for (size_t rows = 1; rows <= ROWS; rows++) {
    for (size_t first = 0; first < rows; first += tile.rows) {
      size_t count = rows - first < tile.rows ? rows - first : tile.rows;
      mk_pack_left(MK_PORTABLE, x + first * DEPTH, DEPTH, count, DEPTH, packed_x + first * DEPTH);
    }
    size_t panels = (OUTPUTS + tile.columns - 1) / tile.columns;
    size_t row_floats = type == MK_BFLOAT16 ? tile.columns / 2 : tile.columns;
    for (size_t panel = 0; panel < panels; panel++) {
      size_t from = panel * tile.columns;
      size_t count = OUTPUTS - from < tile.columns ? OUTPUTS - from : tile.columns;
      float *to = packed + panel * row_floats * DEPTH;
      if (type == MK_BFLOAT16) {
        mk_pack_panel_bfloat16(
          MK_PORTABLE, narrow + from * DEPTH, DEPTH, count, DEPTH, (uint32_t *)to);
      } else {
        mk_pack_panel_float32(MK_PORTABLE, weight + from * DEPTH, DEPTH, count, DEPTH, to);
      }
    }
    mk_product product = {
      .left = packed_x, .left_depth = DEPTH, .tile_rows = tile.rows, .rows = rows, .right = packed,
      .right_stride = 4 * row_floats * DEPTH, .right_type = type, .depth = DEPTH,
      .result = result, .result_stride = OUTPUTS, .columns = OUTPUTS, .finishes = true,
      .bias = bias, .activation = MK_SILU, .factor = factor};
    mk_multiply_panels(MK_PORTABLE, &product);
    for (size_t i = 0; i < rows; i++) {
      for (size_t j = 0; j < OUTPUTS; j++) {
        double sum = bias[j];
        for (size_t k = 0; k < DEPTH; k++) {
          sum += (double)x[i * DEPTH + k] * weight[j * DEPTH + k];
        }
        double expected = sum / (1 + plain_exponential(-sum)) * factor[i * OUTPUTS + j];
        if (differs(result[i * OUTPUTS + j], expected)) return 1;
      }
    }
  }
  return 0;
}

static int check_attention(void) {
  mk_tile tile = mk_tile_size(MK_PORTABLE);
  for (size_t first = 0; first < KEYS; first += tile.rows) {
    size_t count = KEYS - first < tile.rows ? KEYS - first : tile.rows;
    mk_pack_left(
      MK_PORTABLE, keys + first * WIDTH, WIDTH, count, WIDTH, packed_keys + first * WIDTH);
  }
  mk_pack_values(MK_PORTABLE, values, KEYS, WIDTH, packed_values);
  if (mk_attention_scratch(MK_PORTABLE, WIDTH) > sizeof scratch / sizeof *scratch) return 1;
  size_t rows = tile.columns - 1;
  mk_attention attention = {
    .query = query, .rows = rows, .width = WIDTH, .keys = packed_keys, .values = packed_values,
    .key_count = KEYS, .scale = 0.5f, .out = out, .scratch = scratch};
  mk_attend(MK_PORTABLE, &attention);
  for (size_t i = 0; i < rows; i++) {
    double total = 0, sums[WIDTH] = {0};
    for (size_t key = 0; key < KEYS; key++) {
      double score = 0;
      for (size_t d = 0; d < WIDTH; d++) {
        score += (double)query[i * WIDTH + d] * keys[key * WIDTH + d];
      }
      double share = plain_exponential(score * 0.5);
      total += share;
      for (size_t d = 0; d < WIDTH; d++) sums[d] += share * values[key * WIDTH + d];
    }
    for (size_t d = 0; d < WIDTH; d++) {
      if (differs(out[i * WIDTH + d], sums[d] / total)) return 1;
    }
  }
  return 0;
}

static int check(void) {
  for (size_t i = 0; i < ROWS * DEPTH; i++) x[i] = random_float();
  for (size_t i = 0; i < OUTPUTS * DEPTH; i++) {
    // Its upper half is the same number in bfloat16.
    float value = random_float();
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    narrow[i] = (uint16_t)(bits >> 16);
    bits &= 0xFFFF0000u;
    memcpy(weight + i, &bits, sizeof bits);
  }
  for (size_t i = 0; i < OUTPUTS; i++) bias[i] = random_float();
  for (size_t i = 0; i < ROWS * OUTPUTS; i++) factor[i] = random_float();
  for (size_t i = 0; i < 8 * WIDTH; i++) query[i] = random_float();
  for (size_t i = 0; i < KEYS * WIDTH; i++) keys[i] = random_float();
  for (size_t i = 0; i < KEYS * WIDTH; i++) values[i] = random_float();
  if (check_products(MK_FLOAT32)) return 1;
  if (check_products(MK_BFLOAT16)) return 2;
  return check_attention() ? 3 : 0;
}

void _start(void) {
  register long code __asm__("x0") = check();
  register long call __asm__("x8") = 94; // exit_group
  __asm__ volatile("svc 0" : : "r"(code), "r"(call));
  __builtin_unreachable();
}
