// The programs of a Tensix tile's five cores. Made by Scripts/build-device-kernels; not to be edited.
#pragma once
#include <stdint.h>

/// SHA-256 of what they were built from.
static const char tx_sources_sha256[] =
    "aa032dd6aa7d8a08a439daa09a0261ac7ee7554a73bf43d9a7d01e30cd0bad9d";

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
