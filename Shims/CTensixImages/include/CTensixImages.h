// The programs of a Tensix tile's five cores. Made by Scripts/build-device-kernels; not to be edited.
#pragma once
#include <stdint.h>

/// SHA-256 of what they were built from.
static const char tx_sources_sha256[] =
    "965db5411057979285e501e7f59b22623ab4fa9c464ae95493cbc7e9e0201a43";

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
