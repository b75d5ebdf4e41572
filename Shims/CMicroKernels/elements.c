#define MK_BODY "elements_body.h"
#include "each_target.h"

void mk_add(
  mk_instructions instructions, const float *a, size_t a_step, const float *b, size_t b_step,
  size_t count, float *out) {
  MK_DISPATCH(instructions, mk_add, a, a_step, b, b_step, count, out)
}

void mk_multiply(
  mk_instructions instructions, const float *a, size_t a_step, const float *b, size_t b_step,
  size_t count, float *out) {
  MK_DISPATCH(instructions, mk_multiply, a, a_step, b, b_step, count, out)
}

void mk_activate(
  mk_instructions instructions, const float *x, mk_activation activation, size_t count,
  float *out) {
  MK_DISPATCH(instructions, mk_activate, x, activation, count, out)
}

void mk_sines_cosines(
  mk_instructions instructions, double factor, const double *frequencies, size_t count,
  float *sines, float *cosines) {
  MK_DISPATCH(instructions, mk_sines_cosines, factor, frequencies, count, sines, cosines)
}
