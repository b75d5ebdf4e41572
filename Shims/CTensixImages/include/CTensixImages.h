// The programs of a Tensix tile's five cores. Made by Scripts/build-device-kernels; not to be edited.
#pragma once
#include <stdint.h>

/// SHA-256 of what they were built from.
static const char tx_sources_sha256[] =
<<<<<<< HEAD
    "d5f320ab9fcc6b017f9bee2937b58e56ac5d286d79167fc5829381b67dfde935";
=======
    "d7cada339c7238e654189a7e9bfc74be7eebcff9c412a6cf43f1585b5edcc6bc";
>>>>>>> ce6dc6728d68f2e871b1980d9246d627f2680b7b

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
