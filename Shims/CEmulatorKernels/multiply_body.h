// Included by matrix.c once for each instruction set. In a vector of 32 lanes, those of 16 columns of
// the first eight products' group and of the second's alternate; 16 bits are enough for a product, a
// sum of eight and an exponent.
//
// A product p that is to be shifted right by d with rounding is (4 p 2^(13 - d) + 2^14) >> 15. The
// magnitude's halves are rounded up, so a negative 4 p first becomes one less.

/// Of two rows of a source, whose data alternate.
EK_INLINE factor_lanes EK(factors)(lanes32 first, lanes32 second) {
  lanes16 upper = (lanes16)((second & ~0xFFFF) | (first >> 16 & 0xFFFF));
  lanes16 lower = (lanes16)(second << 16 | (first & 0xFFFF));
  factor_lanes factors;
  factors.sign = upper >> 15;
  factors.exponent = upper >> 7 & 0xFF;
  factors.exponent = factors.exponent == 0 ? (lanes16)-4096 : factors.exponent;
  factors.mantissa = (upper & 0x7F) << 3 | (lower >> 13 & 7);
  return factors;
}

/// `value >> count`, halves rounded up.
EK_INLINE lanes32 EK(shift_rounding)(lanes32 value, lanes32 count) {
  count = __builtin_elementwise_min(count, (lanes32)30);
  return (value + ((lanes32)1 << count >> 1)) >> count;
}

EK_INLINE void EK(multiply_rows)(
  const uint32_t *a, const uint32_t *b, ek_dst_rows dst, int rows, const ek_matrix_format *format,
  const accumulation *how, const bool wide, const bool fp16) {
  // Factors: mantissas with their signs, and exponents. A zero's is far below all others.
  lanes16 mantissas_a[8], exponents_a[8];
  // Data i and i + 8 of SrcB's rows, in 16 bits each.
  int32_t mantissas_b[8][8] __attribute__((aligned(64)));
  int32_t exponents_b[8][8] __attribute__((aligned(64)));
  for (int step = 0; step < 8; step++) {
    lanes32 first, second;
    memcpy(&first, a + 16 * step, sizeof first);
    memcpy(&second, a + 16 * (step + 8), sizeof second);
    factor_lanes factor =
      EK(factors)(first & (int32_t)format->kept_a, second & (int32_t)format->kept_a);
    lanes16 mantissa = how->low_a ? factor.mantissa >> 1 & 31 : (factor.mantissa | 0x400) >> 6;
    mantissas_a[step] = ((mantissa << 2) ^ factor.sign) - factor.sign;
    exponents_a[step] = factor.exponent;
  }
  for (int row = 0; row < rows; row += 2) {
    lanes32 even, odd;
    memcpy(&even, b + 16 * row, sizeof even);
    memcpy(&odd, b + 16 * (row + 1), sizeof odd);
    even &= (int32_t)format->kept_b;
    odd &= (int32_t)format->kept_b;
    lanes32 first, second;
    first.lo = even.lo, first.hi = odd.lo;
    second.lo = even.hi, second.hi = odd.hi;
    factor_lanes factor = EK(factors)(first, second);
    lanes16 mantissa = how->low_b ? (factor.mantissa & 15) << 3 : (factor.mantissa | 0x400) >> 4;
    mantissa = (mantissa ^ factor.sign) - factor.sign;
    memcpy(mantissas_b[row], &mantissa, sizeof mantissa);
    memcpy(exponents_b[row], &factor.exponent, sizeof mantissa);
  }

  for (int row = 0; row < rows; row++) {
    lanes16 products[8], exponents[8], largest = INT16_MIN / 2;
    for (int step = 0; step < 8; step++) {
      products[step] = mantissas_a[step] * (lanes16)(lanes32)mantissas_b[row][step];
      exponents[step] = exponents_a[step] + (lanes16)(lanes32)exponents_b[row][step];
      largest = __builtin_elementwise_max(largest, exponents[step]);
    }
    lanes16 sum = 0;
    for (int step = 0; step < 8; step++) {
      lanes16 product = products[step] + (products[step] >> 15);
      sum += EK(multiply_high)(product, EK(power)(largest - exponents[step]));
    }
    lanes16 exponent = largest + (int16_t)how->bias, floor = (int16_t)how->floor;
    sum &= exponent > floor;
    exponent = __builtin_elementwise_max(exponent, floor);

    // 16 columns from here on.
    lanes32 sum0 = (lanes32)sum << 16 >> 3, sum1 = ((lanes32)sum & ~0xFFFF) >> 3;
    lanes32 exponent0 = (lanes32)exponent << 16 >> 16, exponent1 = (lanes32)exponent >> 16;
    halves upper, lower;
    memcpy(&upper, dst.upper + 16 * row, sizeof upper);
    if (dst.zeroed[row]) { upper = 0; }
    lanes32 code = __builtin_convertvector(upper, lanes32);
    lanes32 exponent_dst = code & (fp16 && !wide ? 0x1F : 0xFF), magnitude_dst;
    if (wide) {
      memcpy(&lower, dst.lower + 16 * row, sizeof lower);
      magnitude_dst = (code << 8 & 0x7F0000) | __builtin_convertvector(lower, lanes32);
    } else {
      magnitude_dst = fp16 ? code << 8 & 0x7FE000 : code << 8 & 0x7F0000;
    }
    magnitude_dst = (magnitude_dst | 0x800000) & (exponent_dst > 0);

    lanes32 common = __builtin_elementwise_max(
      __builtin_elementwise_max(exponent0, exponent1), exponent_dst);
    sum0 = EK(shift_rounding)(sum0, common - exponent0);
    sum1 = EK(shift_rounding)(sum1, common - exponent1);
    magnitude_dst = EK(shift_rounding)(magnitude_dst, common - exponent_dst);
    if (!wide) {
      sum0 = (sum0 + 0x1000) & ~0x1FFF;
      sum1 = (sum1 + 0x1000) & ~0x1FFF;
      magnitude_dst = (magnitude_dst + 0x1000) & ~0x1FFF;
    }
    lanes32 sign_dst = code << 16 >> 31;
    lanes32 total = sum0 + sum1 + ((magnitude_dst ^ sign_dst) - sign_dst);
    lanes32 sign = total >> 31;
    lanes32 magnitude = (total ^ sign) - sign;
    lanes32 left = EK(leading_zeros)(magnitude) - 8;
    if (wide) { left = total == -1 ? (lanes32)-4 : left; }
    lanes32 result = common - left;
    const int dropped = wide ? 0 : fp16 ? 13 : 16;
    lanes32 shift = left - dropped, none = 0;
    magnitude = EK(shift_rounding)(magnitude, __builtin_elementwise_max(none - shift, none));
    if (wide) {
      magnitude = magnitude << (__builtin_elementwise_max(shift, none) & 31);
    } else {
      magnitude <<= dropped;
    }
    result += magnitude >> 24 & 1;
    magnitude &= 0x7FFFFF;
    lanes32 vanishes = (total == 0) | (common <= 0) | (result <= 0);
    const int32_t limit = fp16 && !wide ? 32 : 255;
    lanes32 overflows = result >= limit;
    magnitude = overflows ? (lanes32)(fp16 && !wide ? 0x7FE000 : 0) : magnitude;
    result = overflows ? (lanes32)(fp16 && !wide ? 31 : 255) : result;
    code = (sign & 0x8000) | result | (magnitude >> 8 & (fp16 && !wide ? 0x7FE0 : 0x7F00));
    upper = __builtin_convertvector(code & ~vanishes, halves);
    memcpy(dst.upper + 16 * row, &upper, sizeof upper);
    if (wide) {
      lower = __builtin_convertvector(magnitude & ~vanishes & 0xFFFF, halves);
      memcpy(dst.lower + 16 * row, &lower, sizeof lower);
    }
  }
}

static void EK(multiply)(
  const uint32_t *a, const uint32_t *b, ek_dst_rows dst, int rows, const ek_matrix_format *format,
  const accumulation *how) {
  if (how->wide && how->fp16) {
    EK(multiply_rows)(a, b, dst, rows, format, how, true, true);
  } else if (how->wide) {
    EK(multiply_rows)(a, b, dst, rows, format, how, true, false);
  } else if (how->fp16) {
    EK(multiply_rows)(a, b, dst, rows, format, how, false, true);
  } else {
    EK(multiply_rows)(a, b, dst, rows, format, how, false, false);
  }
}
