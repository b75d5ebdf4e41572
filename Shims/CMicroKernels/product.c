#define MK_BODY "product_body.h"
#include "each_target.h"

bool mk_supports(mk_instructions instructions) {
  switch (instructions) {
  case MK_PORTABLE: return true;
#if defined(__x86_64__)
  case MK_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  case MK_AVX512:
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
      && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
      && __builtin_cpu_supports("fma");
#endif
  default: return false;
  }
}

mk_tile mk_tile_size(mk_instructions instructions) {
  MK_DISPATCH(instructions, mk_tile_size)
}

void mk_multiply_panels(mk_instructions instructions, const mk_product *product) {
  MK_DISPATCH(instructions, mk_multiply_panels, product)
}

double mk_multiply_add_peak(mk_instructions instructions, size_t count) {
  MK_DISPATCH(instructions, mk_multiply_add_peak, count)
}
