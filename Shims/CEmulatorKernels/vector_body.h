// Included by vector.c once for each instruction set. Loops over the 32 lanes have no branches, so
// that the compiler makes vector instructions of them.

/// d = x y + z in every lane.
static void EK(multiply_add)(
  uint32_t *restrict d, const uint32_t *restrict xs, const uint32_t *restrict ys,
  const uint32_t *restrict zs) {
  uint32_t special = 0;
  for (int i = 0; i < ek_lane_count; i++) {
    number x = number_of(xs[i]), y = number_of(ys[i]), z = number_of(zs[i]);
    uint32_t p = product_of(x.mantissa, y.mantissa);
    int32_t p_exponent = x.exponent + y.exponent - 127;
    uint32_t p_sign = x.sign ^ y.sign;
    special |= (uint32_t)(x.exponent == 255) | (uint32_t)(y.exponent == 255) |
               (uint32_t)(z.exponent == 255) | (uint32_t)(p_exponent >= 255);
    bool vanishes = p == 0 || p_exponent < 0;
    uint32_t addend = z.mantissa << 3;
    int32_t exponent = p_exponent > z.exponent ? p_exponent : z.exponent;
    uint32_t aligned = shift_tracing(p, exponent - p_exponent);
    addend = shift_tracing(addend, exponent - z.exponent);
    bool p_is_larger = aligned >= addend;
    uint32_t sign = p_is_larger ? p_sign : z.sign;
    uint32_t difference = p_is_larger ? aligned - addend : addend - aligned;
    uint32_t sum = p_sign == z.sign ? aligned + addend : difference;
    int32_t zeros = sum == 0 ? 32 : __builtin_clz(sum);
    int32_t right = 5 - zeros;
    exponent += right;
    uint32_t narrowed = sum >> (right & 31) | (sum & 1);
    uint32_t widened = sum << (-right & 31);
    uint32_t normal = right <= 0 ? widened : narrowed;
    uint32_t result = ((uint32_t)exponent << 23) + (normal >> 3 & 0x7FFFFF);
    result += (normal & 7) + (result & 1) > 4 ? 1 : 0;
    bool underflows = sum == 0 || exponent < 0 || result >> 23 == 0;
    result = exponent >= 255 ? 0x7F800000 : result;
    result = underflows ? 0 : sign | result;
    uint32_t alone = z.mantissa != 0 ? zs[i] : 0;
    d[i] = vanishes ? alone : result;
  }
  if (special == 0) { return; }
  for (int i = 0; i < ek_lane_count; i++) { d[i] = multiply_add_special(xs[i], ys[i], zs[i]); }
}

static uint32_t EK(vector)(
  ek_lanes *lanes, int operation, int d_index, int a_index, int b_index, int c_index, uint32_t i,
  uint32_t mask, bool swaps_indices) {
  uint32_t *d = lanes->registers[d_index];
  const uint32_t *a = lanes->registers[a_index], *b = lanes->registers[b_index],
                 *c = lanes->registers[c_index];
  uint32_t out[ek_lane_count], first[ek_lane_count], second[ek_lane_count], third[ek_lane_count];
  uint32_t condition = 0;

#define EACH(value) \
  for (int l = 0; l < ek_lane_count; l++) { out[l] = (value); } \
  break
#define CONDITION(value) \
  for (int l = 0; l < ek_lane_count; l++) { condition |= (uint32_t)(value) << l; }

  switch (operation) {
  case ek_vector_multiply_add: EK(multiply_add)(out, a, b, c); break;
  case ek_vector_multiply_immediate:
    for (int l = 0; l < ek_lane_count; l++) { first[l] = i, third[l] = 0; }
    EK(multiply_add)(out, first, d, third);
    break;
  case ek_vector_add_immediate:
    for (int l = 0; l < ek_lane_count; l++) { first[l] = i, second[l] = 0x3F800000; }
    EK(multiply_add)(out, first, second, d);
    break;
  case ek_vector_lookup_bytes: {
    const uint32_t *l3 = lanes->registers[3];
    for (int l = 0; l < ek_lane_count; l++) {
      second[l] = l3[l] & 0x7FFFFFFF;
      uint32_t piece = second[l] < 0x3F800000   ? lanes->registers[0][l]
                       : second[l] < 0x40000000 ? lanes->registers[1][l]
                                                : lanes->registers[2][l];
      first[l] = byte_coefficient(piece >> 8 & 0xFF);
      third[l] = byte_coefficient(piece & 0xFF);
    }
    EK(multiply_add)(out, first, second, third);
    for (int l = 0; l < ek_lane_count; l++) {
      out[l] = (out[l] & 0x7FFFFFFF) | (l3[l] & 0x80000000);
    }
    break;
  }
  case ek_vector_lookup_halves:
    for (int l = 0; l < ek_lane_count; l++) {
      uint32_t x = lanes->registers[3][l] & 0x7FFFFFFF;
      int piece = x < 0x3F800000 ? 0 : x < 0x40000000 ? 1 : 2;
      bool upper = x < 0x3F800000   ? x >= 0x3F000000
                   : x < 0x40000000 ? x >= 0x3FC00000
                                    : x >= 0x40400000;
      second[l] = x;
      first[l] = half_coefficient(lanes->registers[piece][l] >> (upper ? 16 : 0) & 0xFFFF);
      third[l] = half_coefficient(lanes->registers[4 + piece][l] >> (upper ? 16 : 0) & 0xFFFF);
    }
    EK(multiply_add)(out, first, second, third);
    break;
  case ek_vector_load_immediate: EACH(i);
  case ek_vector_load_low: EACH((d[l] & 0xFFFF0000) | i);
  case ek_vector_load_high: EACH((d[l] & 0xFFFF) | i);
  case ek_vector_set_exponent: EACH((c[l] & 0x807FFFFF) | i << 23);
  case ek_vector_add_exponent:
    EACH(
      (c[l] & 0x7F800000) == 0x7F800000 ? c[l]
                                        : (c[l] & 0x807FFFFF) | ((c[l] + (i << 23)) & 0x7F800000));
  case ek_vector_set_exponent_from_low: EACH((c[l] & 0x807FFFFF) | (d[l] & 0xFF) << 23);
  case ek_vector_set_exponent_from: EACH((c[l] & 0x807FFFFF) | (d[l] & 0x7F800000));
  case ek_vector_extract_exponent:
    CONDITION((c[l] >> 23 & 0xFF) < i);
    EACH((c[l] >> 23 & 0xFF) - i);
  case ek_vector_extract_mantissa: EACH((c[l] & 0x7FFFFF) | i);
  case ek_vector_set_mantissa: EACH((c[l] & 0xFF800000) | (d[l] & 0x7FFFFF));
  case ek_vector_set_sign: EACH((c[l] & 0x7FFFFFFF) | i);
  case ek_vector_set_sign_from: EACH((c[l] & 0x7FFFFFFF) | (d[l] & 0x80000000));
  case ek_vector_add_integer:
    CONDITION((c[l] + d[l]) >> 31);
    EACH(c[l] + d[l]);
  case ek_vector_add_integer_immediate:
    CONDITION((c[l] + i) >> 31);
    EACH(c[l] + i);
  case ek_vector_subtract_integer:
    CONDITION((c[l] - d[l]) >> 31);
    EACH(c[l] - d[l]);
  case ek_vector_shift: EACH(shifted(d[l], c[l]));
  case ek_vector_shift_immediate: EACH(shifted(d[l], i));
  case ek_vector_shift_other: EACH(shifted(b[l], c[l]));
  case ek_vector_test_negative:
    CONDITION(c[l] >> 31);
    return condition;
  case ek_vector_test_nonzero:
    CONDITION(c[l] != 0);
    return condition;
  case ek_vector_move: EACH(c[l]);
  case ek_vector_negate: EACH(c[l] ^ 0x80000000);
  case ek_vector_draw:
    for (int l = 0; l < ek_lane_count; l++) {
      out[l] = lanes->random[l];
      if (mask >> l & 1) { lanes->random[l] = next_random(lanes->random[l]); }
    }
    break;
  case ek_vector_absolute_integer: EACH((int32_t)c[l] < 0 ? 0u - c[l] : c[l]);
  case ek_vector_absolute: EACH(c[l] <= 0xFF800000 ? c[l] & 0x7FFFFFFF : c[l]);
  case ek_vector_and: EACH(d[l] & c[l]);
  case ek_vector_or: EACH(d[l] | c[l]);
  case ek_vector_exclusive_or: EACH(d[l] ^ c[l]);
  case ek_vector_not: EACH(~c[l]);
  case ek_vector_leading_zeros:
    CONDITION(c[l] != 0);
    EACH(c[l] ? (uint32_t)__builtin_clz(c[l]) : 32);
  case ek_vector_leading_zeros_unsigned:
    CONDITION((c[l] & 0x7FFFFFFF) != 0);
    EACH(c[l] & 0x7FFFFFFF ? (uint32_t)__builtin_clz(c[l] & 0x7FFFFFFF) : 32);
  case ek_vector_transpose:
    transpose(lanes, 0, mask);
    transpose(lanes, 4, mask);
    return 0;
  case ek_vector_round_bf16:
  case ek_vector_round_integer:
    for (int l = 0; l < ek_lane_count; l++) {
      if (mask >> l & 1) { lanes->random[l] = next_random(lanes->random[l]); }
      out[l] =
        operation == ek_vector_round_bf16 ? rounded_to_bf16(c[l]) : rounded_to_integer(c[l], i);
    }
    break;
  case ek_vector_cast: EACH(cast_from_integer(c[l]));
  case ek_vector_swap:
  case ek_vector_sort:
  case ek_vector_sort_reversed: {
    uint32_t *other = lanes->registers[c_index];
    for (int l = 0; l < ek_lane_count; l++) {
      bool swaps = mask >> l & 1;
      if (operation != ek_vector_swap) {
        bool less = order(other[l]) < order(d[l]);
        bool wanted = i >> l & 1 ? less : !less;
        swaps &= operation == ek_vector_sort ? wanted : !wanted;
      }
      if (!swaps) { continue; }
      uint32_t from_d = d[l], from_other = other[l];
      if (c_index < 8) { other[l] = from_d; }
      if (d_index < 8) { d[l] = from_other; }
      if (swaps_indices) {
        uint32_t *d_indices = lanes->registers[4 + d_index];
        uint32_t *other_indices = lanes->registers[4 + c_index];
        uint32_t index = d_indices[l];
        d_indices[l] = other_indices[l];
        other_indices[l] = index;
      }
    }
    return 0;
  }
  case ek_vector_rotate: EACH(c[l & 7 ? l - 1 : l + 7]);
  default: return 0;
  }
#undef EACH
#undef CONDITION

  if (mask == ~0u) {
    memcpy(d, out, sizeof out);
  } else {
    for (int l = 0; l < ek_lane_count; l++) { d[l] = mask >> l & 1 ? out[l] : d[l]; }
  }
  return condition;
}
