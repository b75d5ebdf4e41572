// The programs of a Tensix tile's five cores. Made by Scripts/build-device-kernels; not to be edited.
#pragma once
#include <stdint.h>

/// SHA-256 of what they were built from.
static const char tx_sources_sha256[] =
    "5f6f8b0888496485ef164c2f7a520c25ea4477d0775bdf7b224979b0f67f6331";

/// A program: its name, where it lies in L1, and its words.
struct tx_image {
  const char *name;
  uint32_t address;
  uint32_t count;
  const uint32_t *words;
};

enum { tx_image_count = 5 };

/// Program `index`; null beyond the last.
const struct tx_image *tx_image(int index);
