#define COLUMNS (2 * VL)

// Loads are byte-wise: a tensor in a file need not stand at a multiple of its element's size.

MK_INLINE float MK(float_at)(const float *p) {
  float value;
  memcpy(&value, p, sizeof value);
  return value;
}

MK_INLINE uint32_t MK(half_at)(const uint16_t *p) {
  uint16_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

static void MK(mk_pack_left)(
  const float *x, size_t stride, size_t rows, size_t depth, float *out) {
  size_t k = 0;
#if TILE_ROWS <= VL
  // Whole vectors are stored: what sticks out of a row is overwritten by the next one. The last
  // rows are left to the loop below.
  for (; k + 2 * VL <= depth; k += VL) {
    VU square[VL];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < VL; i++) {
      square[i] = i < rows ? MK(load_bits)(x + i * stride + k) : (VU)0;
    }
    MK(transpose)(square);
#pragma clang loop unroll(full)
    for (size_t i = 0; i < VL; i++) MK(store_bits)(out + (k + i) * rows, square[i]);
  }
#endif
  for (; k < depth; k++) {
    for (size_t i = 0; i < rows; i++) out[k * rows + i] = x[i * stride + k];
  }
}

static void MK(mk_pack_panel_float32)(
  const float *weight, size_t stride, size_t rows, size_t depth, float *out) {
  for (size_t half = 0; half < COLUMNS; half += VL) {
    size_t count = rows <= half ? 0 : rows - half < VL ? rows - half : VL;
    const float *from = weight + half * stride;
    size_t k = 0;
    for (; k + VL <= depth; k += VL) {
      VU square[VL];
#pragma clang loop unroll(full)
      for (size_t i = 0; i < VL; i++) {
        square[i] = i < count ? MK(load_bits)(from + i * stride + k) : (VU)0;
      }
      MK(transpose)(square);
#pragma clang loop unroll(full)
      for (size_t i = 0; i < VL; i++) {
        MK(store_bits)(out + (k + i) * COLUMNS + half, square[i]);
      }
    }
    for (; k < depth; k++) {
      for (size_t i = 0; i < VL; i++) {
        out[k * COLUMNS + half + i] = i < count ? MK(float_at)(from + i * stride + k) : 0;
      }
    }
  }
}

static void MK(mk_pack_panel_widened)(
  const uint16_t *weight, size_t stride, size_t rows, size_t depth, float *out) {
  for (size_t half = 0; half < COLUMNS; half += VL) {
    size_t count = rows <= half ? 0 : rows - half < VL ? rows - half : VL;
    const uint16_t *from = weight + half * stride;
    size_t k = 0;
    for (; k + 2 * VL <= depth; k += 2 * VL) {
      VU square[VL]; // of pairs: depth k + 2i below, k + 2i + 1 above
#pragma clang loop unroll(full)
      for (size_t i = 0; i < VL; i++) {
        square[i] = i < count ? MK(load_bits)(from + i * stride + k) : (VU)0;
      }
      MK(transpose)(square);
#pragma clang loop unroll(full)
      for (size_t i = 0; i < VL; i++) {
        float *to = out + (k + 2 * i) * COLUMNS + half;
        MK(store_bits)(to, square[i] << 16);
        MK(store_bits)(to + COLUMNS, square[i] & 0xFFFF0000u);
      }
    }
    for (; k < depth; k++) {
      for (size_t i = 0; i < VL; i++) {
        uint32_t bits = i < count ? MK(half_at)(from + i * stride + k) << 16 : 0;
        memcpy(out + k * COLUMNS + half + i, &bits, sizeof bits);
      }
    }
  }
}

static void MK(mk_pack_panel_bfloat16)(
  const uint16_t *weight, size_t stride, size_t rows, size_t depth, uint32_t *out) {
  size_t low = rows < VL ? rows : VL;
  size_t high = rows - low;
  const uint16_t *upper = high > 0 ? weight + VL * stride : weight;
  size_t k = 0;
  for (; k + 2 * VL <= depth; k += 2 * VL) {
    VU a[VL], b[VL];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < VL; i++) {
      a[i] = i < low ? MK(load_bits)(weight + i * stride + k) : (VU)0;
    }
    MK(transpose)(a);
#pragma clang loop unroll(full)
    for (size_t i = 0; i < VL; i++) {
      b[i] = i < high ? MK(load_bits)(upper + i * stride + k) : (VU)0;
    }
    MK(transpose)(b);
#pragma clang loop unroll(full)
    for (size_t i = 0; i < VL; i++) {
      uint32_t *to = out + (k + 2 * i) * VL;
      MK(store_bits)(to, (a[i] & 0xFFFFu) | (b[i] << 16));
      MK(store_bits)(to + VL, (a[i] >> 16) | (b[i] & 0xFFFF0000u));
    }
  }
  for (; k < depth; k++) {
    for (size_t i = 0; i < VL; i++) {
      uint32_t below = i < low ? MK(half_at)(weight + i * stride + k) : 0;
      uint32_t above = i < high ? MK(half_at)(upper + i * stride + k) : 0;
      out[k * VL + i] = below | above << 16;
    }
  }
}

static void MK(mk_widen)(const uint16_t *bfloat16, size_t count, float *out) {
  for (size_t i = 0; i < count; i++) {
    uint32_t bits = MK(half_at)(bfloat16 + i) << 16;
    memcpy(out + i, &bits, sizeof bits);
  }
}
