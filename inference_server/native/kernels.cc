// The kernels, compiled for several instruction sets; the processor's best is chosen when the first one is called.
#include "kernels.h"
#include "scratch.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <cmath>

// Clang selects instruction sets by other means; what it compiles is portable.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SEVERAL_SETS 1
#endif
#define INLINE static inline __attribute__((always_inline))

// Kernels that call `attend` keep their own numbers meanwhile.
static thread_local Scratch scratch, lanes_scratch;

#ifdef SEVERAL_SETS
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi,bmi2")
#define VECTORS_OF_AVX512
namespace avx512 {
#include "vectors.h"
#include "attention.h"
#include "heads.h"
#include "activation.h"
#include "norm.h"
#include "sampling.h"
#include "table.h"
}  // namespace avx512
#undef VECTORS_OF_AVX512
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2")
#define VECTORS_OF_AVX2
namespace avx2 {
#include "vectors.h"
#include "attention.h"
#include "heads.h"
#include "activation.h"
#include "norm.h"
#include "sampling.h"
#include "table.h"
}  // namespace avx2
#undef VECTORS_OF_AVX2
#pragma GCC pop_options
#endif
namespace portable {
#include "vectors.h"
#include "attention.h"
#include "heads.h"
#include "activation.h"
#include "norm.h"
#include "sampling.h"
#include "table.h"
}  // namespace portable

static const Kernels& best() {
#ifdef SEVERAL_SETS
  // Each of the extensions that the compiler was allowed above; the system must support their registers, too.
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                        __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (has_avx2 && has_avx512) return avx512::table;
  if (has_avx2) return avx2::table;
#endif
  return portable::table;
}

const Kernels& kernels() {
  static const Kernels& chosen = best();
  return chosen;
}
