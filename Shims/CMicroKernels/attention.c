#define MK_BODY "attention_body.h"
#include "each_target.h"

size_t mk_attention_scratch(mk_instructions instructions, size_t width) {
  MK_DISPATCH(instructions, mk_attention_scratch, width)
}

void mk_pack_values(
  mk_instructions instructions, const float *values, size_t keys, size_t width, float *out) {
  MK_DISPATCH(instructions, mk_pack_values, values, keys, width, out)
}

void mk_attend(mk_instructions instructions, const mk_attention *attention) {
  MK_DISPATCH(instructions, mk_attend, attention)
}
