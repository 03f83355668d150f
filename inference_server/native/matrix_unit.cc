// Products and attention by AMX: tiles of 16 rows of 64 bytes, two of which are multiplied and added to a third.
//
// Sums go through `inner` in one order, whatever the number of rows.
#include "matrix_unit.h"

// GCC knows the instructions from its version 11 on. Clang selects instruction sets by other means.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "kernels.h"
#include "scratch.h"

#define INLINE static inline __attribute__((always_inline))
#pragma GCC push_options
#pragma GCC target("amx-tile,amx-bf16,amx-int8,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

#define VECTORS_OF_AVX512

namespace {

thread_local Scratch scratch;

#include "vectors.h"

#include "masked.h"

#include "row_products.h"

#include "float_rows.h"

#include "tiles.h"

#include "float_products.h"

#include "byte_products.h"

#include "tiled_attention.h"

}  // namespace

#pragma GCC pop_options

// Linux lets a process use the matrix unit once it has asked for it.
static bool permitted() {
  constexpr long REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

static bool available() {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  constexpr unsigned TILE = 1u << 24, INT8 = 1u << 25, BF16 = 1u << 22;
  if ((d & TILE) == 0 || (d & INT8) == 0 || (d & BF16) == 0) return false;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a & (1u << 5)) == 0) return false;  // AVX512_BF16
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && permitted();
}

const MatrixUnit* matrix_unit() {
  static constexpr MatrixUnit unit{
      {
          {floats::Whole::panel_size, floats::Whole::pack, floats::Whole::multiply},
          {floats::tile_size, floats::take_tile, floats::multiply},
          {bytes::panel_size, bytes::pack, bytes::tile_size, bytes::take_tile, bytes::multiply},
      },
      attention::attend,
  };
  static const bool found = available();
  return found ? &unit : nullptr;
}
#else
const MatrixUnit* matrix_unit() { return nullptr; }
#endif
