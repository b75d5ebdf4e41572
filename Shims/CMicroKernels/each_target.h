// Compiles the file MK_BODY once for each instruction set. In it, VL is the number of floats in a
// vector, TILE_ROWS the rows of a register tile, and MK(name) the name with the set's suffix.

#include "CMicroKernels.h"

#include <math.h>
#include <string.h>

#define MK_JOIN(name, suffix) name##_##suffix
#define MK_SUFFIXED(name, suffix) MK_JOIN(name, suffix)
#define MK(name) MK_SUFFIXED(name, MK_TARGET)

#define MK_TARGET portable
#define VL 4
#if defined(__aarch64__)
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif
#include "vectors.h"
#include MK_BODY
#undef MK_TARGET
#undef VL
#undef TILE_ROWS

#if defined(__x86_64__)

#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define MK_TARGET avx2
#define VL 8
#define TILE_ROWS 6
#include "vectors.h"
#include MK_BODY
#undef MK_TARGET
#undef VL
#undef TILE_ROWS
#pragma clang attribute pop

#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))), apply_to = function)
#define MK_TARGET avx512
#define VL 16
#define TILE_ROWS 14
#include "vectors.h"
#include MK_BODY
#undef MK_TARGET
#undef VL
#undef TILE_ROWS
#pragma clang attribute pop

#define MK_DISPATCH(instructions, name, ...)                \
  switch (instructions) {                                   \
  case MK_AVX512: return MK_JOIN(name, avx512)(__VA_ARGS__); \
  case MK_AVX2: return MK_JOIN(name, avx2)(__VA_ARGS__);     \
  default: return MK_JOIN(name, portable)(__VA_ARGS__);      \
  }

#else

#define MK_DISPATCH(instructions, name, ...) \
  (void)instructions;                        \
  return MK_JOIN(name, portable)(__VA_ARGS__);

#endif
