// The programs of a Tensix tile's five cores. Made by Scripts/build-device-kernels; not to be edited.
#pragma once
#include <stdint.h>

/// SHA-256 of what they were built from.
static const char tx_sources_sha256[] =
    "80a463beca15496125dd2346aa31df3598401ab5fa24ecfa730ee8e2b11eb45f";

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
