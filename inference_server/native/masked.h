// Columns behind the last full vector, for AVX-512. No include guard: see vectors.h.

// How many blocks of a size it takes to hold so many.
INLINE int blocks_of(int count, int size) { return (count + size - 1) / size; }

// The lanes of `count` numbers, of which there may be none or more than lanes.
INLINE __mmask16 first_lanes(int count) { return static_cast<__mmask16>((1u << std::clamp(count, 0, LANES)) - 1); }

// A bias from a column on, if there is one.
INLINE const float* bias_from(const float* bias, int column) { return bias == nullptr ? nullptr : bias + column; }

// A product and its bias, if it has one.
INLINE __m512 with_bias(__m512 product, const float* bias, int column, __mmask16 there) {
  // Otherwise the compiler may join the addition to a multiplication before it, which is rounded in the operator's function.
  asm("" : "+v"(product));
  return bias == nullptr ? product : _mm512_add_ps(product, _mm512_maskz_loadu_ps(there, bias + column));
}
