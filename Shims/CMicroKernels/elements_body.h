// One loop for each pair of steps, so that each can be vectorised.
#define MK_COMBINE(name, operator)                                                           \
  static void MK(name)(                                                                      \
    const float *restrict a, size_t a_step, const float *restrict b, size_t b_step,          \
    size_t count, float *restrict out) {                                                     \
    if (a_step && b_step) {                                                                  \
      for (size_t i = 0; i < count; i++) out[i] = a[i] operator b[i];                        \
    } else if (a_step) {                                                                     \
      for (size_t i = 0; i < count; i++) out[i] = a[i] operator * b;                         \
    } else if (b_step) {                                                                     \
      for (size_t i = 0; i < count; i++) out[i] = *a operator b[i];                          \
    } else {                                                                                 \
      for (size_t i = 0; i < count; i++) out[i] = *a operator * b;                           \
    }                                                                                        \
  }

MK_COMBINE(mk_add, +)
MK_COMBINE(mk_multiply, *)
#undef MK_COMBINE

static void MK(mk_activate)(
  const float *x, mk_activation activation, size_t count, float *out) {
  size_t i = 0;
  for (; i + VL <= count; i += VL) {
    MK(store)(out + i, MK(activated)(MK(load)(x + i), activation));
  }
  if (i < count) {
    MK(store_part)(out + i, MK(activated)(MK(load_part)(x + i, count - i), activation), count - i);
  }
}

// The angle less a multiple n of pi/2, and Taylor's series, whose first term left out is below 1e-16.
// n has less than 20 bits and the first part of pi/2 has 33, so their product is exact.
static void MK(mk_sines_cosines)(
  double factor, const double *restrict frequencies, size_t count, float *restrict sines,
  float *restrict cosines) {
  const double shifter = 6755399441055744.0; // 1.5 * 2^52: adding it rounds to an integer
  for (size_t i = 0; i < count; i++) {
    double angle = factor * frequencies[i];
    double shifted = angle * 0.63661977236758134 + shifter;
    double n = shifted - shifter;
    double r = angle - n * 0x1.921fb544p+0;
    r = r - n * 0x1.0b4611a626331p-34;
    double q = r * r;
    double s = q * (-1.0 / 1307674368000) + 1.0 / 6227020800;
    s = q * s - 1.0 / 39916800;
    s = q * s + 1.0 / 362880;
    s = q * s - 1.0 / 5040;
    s = q * s + 1.0 / 120;
    s = q * s - 1.0 / 6;
    s = r + r * (q * s);
    double c = q * (1.0 / 20922789888000) - 1.0 / 87178291200;
    c = q * c + 1.0 / 479001600;
    c = q * c - 1.0 / 3628800;
    c = q * c + 1.0 / 40320;
    c = q * c - 1.0 / 720;
    c = q * c + 1.0 / 24;
    c = 1.0 - q * (0.5 - q * c);
    uint64_t quadrant;
    memcpy(&quadrant, &shifted, sizeof quadrant);
    bool isOdd = quadrant & 1;
    double sine = isOdd ? c : s, cosine = isOdd ? s : c;
    sines[i] = (float)(quadrant & 2 ? -sine : sine);
    cosines[i] = (float)((quadrant + 1) & 2 ? -cosine : cosine);
  }
}
