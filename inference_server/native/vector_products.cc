#include "vector_products.h"

// Clang selects instruction sets by other means.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels.h"

#define INLINE static inline __attribute__((always_inline))
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2")

#define VECTORS_OF_AVX512

namespace {

#include "vectors.h"

#include "masked.h"

#include "row_products.h"

#include "float_rows.h"

#include "byte_rows.h"

}  // namespace

#pragma GCC pop_options

static bool available() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned VNNI = 1u << 11;
  // The first includes that the system keeps the registers of AVX-512.
  return (c & VNNI) != 0 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") &&
         __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

const WeightProducts* vector_products() {
  static constexpr WeightProducts products{
      {FloatRows<1>::panel_size, FloatRows<1>::pack, FloatRows<1>::multiply},
      {nullptr, nullptr, nullptr},
      {byte_rows::panel_size, byte_rows::pack, byte_rows::tile_size, byte_rows::take_tile, byte_rows::multiply},
  };
  static const bool found = available();
  return found ? &products : nullptr;
}
#else
const WeightProducts* vector_products() { return nullptr; }
#endif
