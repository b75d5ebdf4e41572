static void MK(mk_softmax_rows)(const float *x, size_t rows, size_t width, float *out) {
  for (size_t row = 0; row < rows; row++, x += width, out += width) {
    size_t whole = width - width % VL;
    V highest = -INFINITY;
    for (size_t d = 0; d < whole; d += VL) highest = MK(larger)(highest, MK(load)(x + d));
    float maximum = -INFINITY;
    for (size_t i = 0; i < VL; i++) maximum = highest[i] > maximum ? highest[i] : maximum;
    for (size_t d = whole; d < width; d++) maximum = x[d] > maximum ? x[d] : maximum;

    V sums = 0;
    for (size_t d = 0; d < whole; d += VL) {
      V e = MK(exponential)(MK(load)(x + d) - maximum);
      MK(store)(out + d, e);
      sums += e;
    }
    float sum = MK(sum)(sums);
    if (whole < width) {
      V e = MK(exponential)(MK(load_part)(x + whole, width - whole) - maximum);
      MK(store_part)(out + whole, e, width - whole);
      for (size_t i = 0; i < width - whole; i++) sum += e[i];
    }
    for (size_t d = 0; d < width; d++) out[d] /= sum;
  }
}

// Sums in float64, in eight interleaved parts: far from zero, a float32 mean would be off by more
// than the result's rounding.
MK_INLINE double MK(wide_sum)(const float *x, double mean, bool squares, size_t width) {
  double sums[8] = {0};
  size_t d = 0;
  for (; d + 8 <= width; d += 8) {
    for (int i = 0; i < 8; i++) {
      double value = x[d + i] - mean;
      sums[i] += squares ? value * value : value;
    }
  }
  for (; d < width; d++) {
    double value = x[d] - mean;
    sums[0] += squares ? value * value : value;
  }
  double sum = 0;
  for (int i = 0; i < 8; i++) sum += sums[i];
  return sum;
}

static void MK(mk_layer_norm_rows)(
  const float *x, const float *weight, const float *bias, float epsilon, size_t rows,
  size_t width, float *out) {
  for (size_t row = 0; row < rows; row++, x += width, out += width) {
    double mean = MK(wide_sum)(x, 0, false, width) / (double)width;
    double variance = MK(wide_sum)(x, mean, true, width) / (double)width;
    double inverse = 1 / sqrt(variance + (double)epsilon);
    for (size_t d = 0; d < width; d++) {
      out[d] = (float)((x[d] - mean) * inverse) * weight[d] + bias[d];
    }
  }
}

static void MK(mk_rms_norm_rows)(
  const float *x, const float *scale, const float *shift, float epsilon, size_t rows,
  size_t width, float *out) {
  for (size_t row = 0; row < rows; row++, x += width, out += width) {
    size_t whole = width - width % (2 * VL);
    V low = 0, high = 0;
    for (size_t d = 0; d < whole; d += 2 * VL) {
      V a = MK(load)(x + d), b = MK(load)(x + d + VL);
      low += a * a;
      high += b * b;
    }
    float sum = MK(sum)(low + high);
    for (size_t d = whole; d < width; d++) sum += x[d] * x[d];
    float inverse = 1 / sqrtf(sum / (float)width + epsilon);
    if (shift) {
      for (size_t d = 0; d < width; d++) {
        out[d] = x[d] * inverse * (1 + scale[d]) + shift[d];
      }
    } else {
      for (size_t d = 0; d < width; d++) out[d] = x[d] * inverse * (1 + scale[d]);
    }
  }
}

static void MK(mk_rotate_rows)(
  const float *x, const float *cosine, const float *sine, size_t rows, size_t width,
  float *out) {
  size_t half = width / 2;
  for (size_t row = 0; row < rows; row++) {
    for (size_t d = 0; d < half; d++) {
      float a = x[d], b = x[half + d], c = cosine[d], s = sine[d];
      out[d] = a * c - b * s;
      out[half + d] = b * c + a * s;
    }
    x += width, out += width, cosine += half, sine += half;
  }
}
