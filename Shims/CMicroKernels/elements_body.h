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
