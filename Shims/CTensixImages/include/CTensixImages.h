// The programs of a Tensix tile's five cores. Made by Scripts/build-device-kernels; not to be edited.
#pragma once
#include <stdint.h>

/// SHA-256 of what they were built from.
static const char tx_sources_sha256[] =
    "19c522a4f2c3e565ce39015a6fa568c99cce944290004100fa3bb7a7927d5a3e";

/// Where a function begins.
struct tx_function {
  uint32_t address;
  const char *name;
};

/// A program: its name, where it lies in L1, its words, and its functions by address.
struct tx_image {
  const char *name;
  uint32_t address;
  uint32_t count;
  const uint32_t *words;
  uint32_t function_count;
  const struct tx_function *functions;
};

enum { tx_image_count = 5 };

/// Program `index`; null beyond the last.
const struct tx_image *tx_image(int index);
