// PNG and JPEG files to RGB, in two steps: `ic_*_size` reads the header, `ic_*_rgb` decodes into
// the caller's buffer of 3 * width * height bytes. Both return 0, or -1 and a message of the codec.
#pragma once

#if !__has_include(<png.h>) || !__has_include(<turbojpeg.h>)
#error "pi0 needs libpng and libjpeg-turbo: sudo apt-get install libpng-dev libturbojpeg0-dev"
#else
#include <limits.h>
#include <png.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

/// Large enough for every message, the terminating 0 included.
#define IC_MESSAGE_SIZE 256

static inline int ic_failed(char message[IC_MESSAGE_SIZE], const char *text) {
  size_t length = strnlen(text, IC_MESSAGE_SIZE - 1);
  memcpy(message, text, length);
  message[length] = 0;
  return -1;
}

// MARK: PNG

/// Reads the header of a PNG file.
static inline int ic_png_size(const uint8_t *bytes, size_t count, int *width, int *height,
                              char message[IC_MESSAGE_SIZE]) {
  png_image image;
  memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&image, bytes, count)) {
    return ic_failed(message, image.message);
  }
  int fits = image.width <= INT_MAX && image.height <= INT_MAX;
  *width = fits ? (int)image.width : 0;
  *height = fits ? (int)image.height : 0;
  png_image_free(&image);
  return fits ? 0 : ic_failed(message, "the picture is too large");
}

/// Decodes a PNG file whose size is `width` x `height`. Grey becomes RGB, 16 bits become 8, and
/// what is transparent lies on black: round(colour * opacity).
static inline int ic_png_rgb(const uint8_t *bytes, size_t count, int width, int height,
                             uint8_t *rgb, char message[IC_MESSAGE_SIZE]) {
  png_image image;
  memset(&image, 0, sizeof image);
  image.version = PNG_IMAGE_VERSION;
  if (!png_image_begin_read_from_memory(&image, bytes, count)) {
    return ic_failed(message, image.message);
  }
  if (image.width != (png_uint_32)width || image.height != (png_uint_32)height) {
    png_image_free(&image);
    return ic_failed(message, "the header has another size");
  }
  // libpng would blend by itself, but with too few bits; and it would take 16 bits for linear light.
  int blends = (image.format & PNG_FORMAT_FLAG_ALPHA) != 0;
  image.format = blends ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB;
  image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;
  size_t pixels = (size_t)width * (size_t)height;
  uint8_t *target = blends ? malloc(4 * pixels) : rgb;
  if (target == NULL) {
    png_image_free(&image);
    return ic_failed(message, "there is not enough memory");
  }
  int result = 0;
  if (!png_image_finish_read(&image, NULL, target, 0, NULL)) {
    result = ic_failed(message, image.message);
  } else if (blends) {
    for (size_t i = 0; i < 3 * pixels; i++) {
      const uint8_t *pixel = target + i / 3 * 4;
      rgb[i] = (uint8_t)((pixel[i % 3] * pixel[3] + 127) / 255);
    }
  }
  if (blends) free(target);
  return result;
}

// MARK: JPEG

/// Reads the header of a JPEG file.
static inline int ic_jpeg_size(const uint8_t *bytes, size_t count, int *width, int *height,
                               char message[IC_MESSAGE_SIZE]) {
  int subsampling, colours;
  tjhandle decoder = tjInitDecompress();
  if (decoder == NULL) return ic_failed(message, tjGetErrorStr2(NULL));
  int result = tjDecompressHeader3(decoder, bytes, count, width, height, &subsampling, &colours);
  if (result != 0) ic_failed(message, tjGetErrorStr2(decoder));
  tjDestroy(decoder);
  return result;
}

/// Decodes a JPEG file whose size is `width` x `height`; a file with missing or damaged data is
/// an error.
static inline int ic_jpeg_rgb(const uint8_t *bytes, size_t count, int width, int height,
                              uint8_t *rgb, char message[IC_MESSAGE_SIZE]) {
  int actualWidth, actualHeight;
  int result = ic_jpeg_size(bytes, count, &actualWidth, &actualHeight, message);
  if (result != 0) return result;
  if (actualWidth != width || actualHeight != height) {
    return ic_failed(message, "the header has another size");
  }
  tjhandle decoder = tjInitDecompress();
  if (decoder == NULL) return ic_failed(message, tjGetErrorStr2(NULL));
  // TJFLAG_STOPONWARNING and TJFLAG_LIMITSCANS: no grey rest of a truncated file, no hour spent on
  // a hostile one.
  result = tjDecompress2(decoder, bytes, count, rgb, width, 0, height, TJPF_RGB,
                         TJFLAG_ACCURATEDCT | TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS);
  if (result != 0) ic_failed(message, tjGetErrorStr2(decoder));
  tjDestroy(decoder);
  return result;
}
#endif
