#define MK_BODY "rows_body.h"
#include "each_target.h"

void mk_softmax_rows(
  mk_instructions instructions, const float *x, size_t rows, size_t width, float *out) {
  MK_DISPATCH(instructions, mk_softmax_rows, x, rows, width, out)
}

void mk_layer_norm_rows(
  mk_instructions instructions, const float *x, const float *weight, const float *bias,
  float epsilon, size_t rows, size_t width, float *out) {
  MK_DISPATCH(instructions, mk_layer_norm_rows, x, weight, bias, epsilon, rows, width, out)
}

void mk_rms_norm_rows(
  mk_instructions instructions, const float *x, const float *scale, const float *shift,
  float epsilon, size_t rows, size_t width, float *out) {
  MK_DISPATCH(instructions, mk_rms_norm_rows, x, scale, shift, epsilon, rows, width, out)
}

void mk_rotate_rows(
  mk_instructions instructions, const float *x, const float *cosine, const float *sine,
  size_t rows, size_t width, float *out) {
  MK_DISPATCH(instructions, mk_rotate_rows, x, cosine, sine, rows, width, out)
}
