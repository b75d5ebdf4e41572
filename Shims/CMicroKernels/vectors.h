// Vectors of VL floats and what the kernels compute with them; included once for each instruction
// set. Multiplications and additions in one expression contract to FMA where there is one.

#define V MK(mk_floats)
#define VU MK(mk_unsigned)
#define VI MK(mk_signed)
typedef float V __attribute__((ext_vector_type(VL)));
typedef uint32_t VU __attribute__((ext_vector_type(VL)));
typedef int32_t VI __attribute__((ext_vector_type(VL)));

#define MK_INLINE static inline __attribute__((always_inline, unused))

MK_INLINE V MK(load)(const float *p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}

MK_INLINE VU MK(load_bits)(const void *p) {
  VU v;
  memcpy(&v, p, sizeof v);
  return v;
}

MK_INLINE void MK(store)(float *p, V v) { memcpy(p, &v, sizeof v); }

MK_INLINE void MK(store_bits)(void *p, VU v) { memcpy(p, &v, sizeof v); }

// The first `count` floats; zero above.
MK_INLINE V MK(load_part)(const float *p, size_t count) {
  V v = 0;
  memcpy(&v, p, count * sizeof(float));
  return v;
}

MK_INLINE void MK(store_part)(float *p, V v, size_t count) {
  memcpy(p, &v, count * sizeof(float));
}

MK_INLINE V MK(as_floats)(VU bits) {
  V v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

MK_INLINE VU MK(as_bits)(V v) {
  VU bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

MK_INLINE V MK(choose)(VU where, V yes, V no) {
  return MK(as_floats)((where & MK(as_bits)(yes)) | (~where & MK(as_bits)(no)));
}

// The larger; `a` where `b` is not a number.
MK_INLINE V MK(larger)(V a, V b) { return MK(choose)((VU)(b > a), b, a); }

MK_INLINE float MK(sum)(V v) {
  float sum = 0;
  for (int i = 0; i < VL; i++) sum += v[i];
  return sum;
}

// e^x to about one unit in the last place: 2^n * e^r with r within half a ln 2. Subnormal results,
// infinities and NaN come out as they should.
MK_INLINE V MK(exponential)(V x) {
  x = MK(choose)((VU)(x < -104.0f), (V)(-104.0f), x);
  x = MK(choose)((VU)(x > 89.0f), (V)(89.0f), x);
  const V shifter = 12582912.0f; // 1.5 * 2^23: adding it rounds to an integer in the low bits
  V shifted = x * 1.44269504088896341f + shifter;
  V n = shifted - shifter;
  V r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  V p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r;
  p = p + 1.0f;
  // 2^n in two factors, so that neither leaves the range of normal numbers.
  VU integer = MK(as_bits)(shifted) - 0x4B400000u;
  VU half = (VU)((VI)integer >> 1);
  V first = MK(as_floats)((half + 127u) << 23);
  V second = MK(as_floats)((integer - half + 127u) << 23);
  return p * first * second;
}

MK_INLINE V MK(activated)(V x, mk_activation activation) {
  switch (activation) {
  case MK_SILU: return x / (1.0f + MK(exponential)(-x));
  case MK_GELU_TANH: {
    // x/2 * (1 + tanh u) = x / (1 + e^(-2u))
    V u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
    return x / (1.0f + MK(exponential)(-2.0f * u));
  }
  default: return x;
  }
}

#if VL == 16
#define MK_LOWER(a, b) \
  __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define MK_UPPER(a, b) \
  __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif VL == 8
#define MK_LOWER(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define MK_UPPER(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define MK_LOWER(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define MK_UPPER(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

// Transposes a square of VL vectors: in each round, rows i and i + VL / 2 are interleaved.
MK_INLINE void MK(transpose)(VU *rows) {
#pragma clang loop unroll(full)
  for (int round = 1; round < VL; round *= 2) {
    VU next[VL];
#pragma clang loop unroll(full)
    for (int i = 0; i < VL / 2; i++) {
      next[2 * i] = MK_LOWER(rows[i], rows[i + VL / 2]);
      next[2 * i + 1] = MK_UPPER(rows[i], rows[i + VL / 2]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < VL; i++) rows[i] = next[i];
  }
}

#undef MK_LOWER
#undef MK_UPPER
