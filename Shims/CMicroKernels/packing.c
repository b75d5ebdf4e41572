#define MK_BODY "packing_body.h"
#include "each_target.h"

void mk_pack_left(
  mk_instructions instructions, const float *x, size_t stride, size_t rows, size_t depth,
  float *out) {
  MK_DISPATCH(instructions, mk_pack_left, x, stride, rows, depth, out)
}

void mk_pack_panel_float32(
  mk_instructions instructions, const void *weight, size_t stride, size_t rows, size_t depth,
  float *out) {
  MK_DISPATCH(instructions, mk_pack_panel_float32, weight, stride, rows, depth, out)
}

void mk_pack_panel_widened(
  mk_instructions instructions, const void *weight, size_t stride, size_t rows, size_t depth,
  float *out) {
  MK_DISPATCH(instructions, mk_pack_panel_widened, weight, stride, rows, depth, out)
}

void mk_pack_panel_bfloat16(
  mk_instructions instructions, const void *weight, size_t stride, size_t rows, size_t depth,
  uint32_t *out) {
  MK_DISPATCH(instructions, mk_pack_panel_bfloat16, weight, stride, rows, depth, out)
}

void mk_widen(
  mk_instructions instructions, const uint16_t *bfloat16, size_t count, float *out) {
  MK_DISPATCH(instructions, mk_widen, bfloat16, count, out)
}
