// Sixteen float32 at a time, in the compiler's vector types: one source for every instruction set.
// No include guard: kernels.cc includes this once for each instruction set, in a namespace of its own.

typedef float Vector __attribute__((vector_size(64)));
typedef float UnalignedVector __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t IntVector __attribute__((vector_size(64)));
typedef int8_t UnalignedBytes __attribute__((vector_size(16), aligned(1), may_alias));

constexpr int LANES = 16;

#if defined(VECTORS_OF_AVX512)
constexpr const char* INSTRUCTION_SET = "avx512";
#elif defined(VECTORS_OF_AVX2)
constexpr const char* INSTRUCTION_SET = "avx2";
#else
constexpr const char* INSTRUCTION_SET = "portable";
#endif

INLINE int rounded_up(int count, int multiple) { return (count + multiple - 1) / multiple * multiple; }

INLINE Vector load(const float* from) { return *reinterpret_cast<const UnalignedVector*>(from); }

// The compiler turns a conversion of vector types from bytes into one of every byte by itself.
INLINE Vector load(const int8_t* from) {
#if defined(VECTORS_OF_AVX512)
  __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return reinterpret_cast<Vector>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));
#elif defined(VECTORS_OF_AVX2)
  Vector numbers;
  for (int half = 0; half < 2; half++) {
    __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + half * 8));
    __m256 converted = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    __builtin_memcpy(reinterpret_cast<char*>(&numbers) + half * 32, &converted, 32);
  }
  return numbers;
#else
  return __builtin_convertvector(*reinterpret_cast<const UnalignedBytes*>(from), Vector);
#endif
}

INLINE void store(float* to, Vector x) { *reinterpret_cast<UnalignedVector*>(to) = x; }

// The subtraction of zero keeps every number, so the compiler leaves it out.
INLINE Vector broadcast(float x) { return x - Vector{}; }

INLINE Vector larger(Vector a, Vector b) { return a > b ? a : b; }

// e^x for x at most 0, to 2 units in the last place; below -87 it is e^-87. A NaN stays a NaN.
// The polynomial is the Cephes library's for single precision.
INLINE Vector exponential(Vector x) {
  x = x < broadcast(-87.0f) ? broadcast(-87.0f) : x;
  constexpr float to_nearest = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
  Vector count = x * 1.44269504088896341f + to_nearest - to_nearest;
  Vector rest = x - count * 0.693359375f;
  rest = rest - count * -2.12194440e-4f;
  Vector power = broadcast(1.9875691500e-4f);
  power = power * rest + 1.3981999507e-3f;
  power = power * rest + 8.3334519073e-3f;
  power = power * rest + 4.1665795894e-2f;
  power = power * rest + 1.6666665459e-1f;
  power = power * rest + 5.0000001201e-1f;
  power = power * rest * rest + rest + 1.0f;
  IntVector exponent = (__builtin_convertvector(count, IntVector) + 127) << 23;
  Vector scale;
  __builtin_memcpy(&scale, &exponent, sizeof(scale));
  return power * scale;
}

// The numbers at these places of a (0 to 15) and b (16 to 31).
template <int... places>
INLINE Vector shuffled(Vector a, Vector b) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, places...);
#else
  return __builtin_shuffle(a, b, IntVector{places...});
#endif
}

INLINE float sum_of(Vector x) {
  x += shuffled<8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7>(x, x);
  x += shuffled<4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11>(x, x);
  x += shuffled<2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13>(x, x);
  x += shuffled<1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14>(x, x);
  return x[0];
}

// Sums of 16 vectors, one in each lane; x is overwritten.
INLINE Vector sums_of(Vector* x) {
  for (int i = 0; i < 8; i++)
    x[i] = shuffled<0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23>(x[i], x[i + 8]) +
           shuffled<8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31>(x[i], x[i + 8]);
  for (int i = 0; i < 4; i++)
    x[i] = shuffled<0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27>(x[i], x[i + 4]) +
           shuffled<4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31>(x[i], x[i + 4]);
  for (int i = 0; i < 2; i++)
    x[i] = shuffled<0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29>(x[i], x[i + 2]) +
           shuffled<2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31>(x[i], x[i + 2]);
  return shuffled<0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30>(x[0], x[1]) +
         shuffled<1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31>(x[0], x[1]);
}
