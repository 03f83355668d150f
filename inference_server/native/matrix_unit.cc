// Products by AMX: tiles of 16 rows of 64 bytes, two of which are multiplied and added to a third.
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

#define INLINE inline __attribute__((always_inline))
#pragma GCC push_options
#pragma GCC target("amx-tile,amx-bf16,amx-int8,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")

namespace {

thread_local Scratch scratch;

constexpr int TILE_BYTES = 1024;
constexpr int LINE_BYTES = 64;  // of a row of a tile
constexpr int LANES = 16;       // columns of a tile of weights or sums
constexpr int STEP = 2 * TILE_ROWS;  // rows that are multiplied at once

// Sums in tiles 0 to 3: of two tiles of rows, and of two tiles of columns each. Rows in 4 and 5, weights in 6 and 7.
// Rows after the last one are not there.
void shape_tiles(int count) {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t line_bytes[16] = {};
    uint8_t lines[16] = {};
  } shape;
  const int first = std::min(count, TILE_ROWS), second = std::max(1, std::min(count - TILE_ROWS, TILE_ROWS));
  const int lines[] = {first, first, second, second, first, second, TILE_ROWS, TILE_ROWS};
  for (int tile = 0; tile < 8; tile++) {
    shape.line_bytes[tile] = LINE_BYTES;
    shape.lines[tile] = static_cast<uint8_t>(lines[tile]);
  }
  asm volatile("ldtilecfg %0" ::"m"(shape));
}

// What a task leaves in the tiles is not kept, so that changing threads stays cheap.
struct TilesInUse {
  ~TilesInUse() { _tile_release(); }
};

template <bool two>
INLINE void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  if (two) {
    _tile_zero(2);
    _tile_zero(3);
  }
}

template <bool two>
INLINE void load_sums(const void* from) {
  const char* place = static_cast<const char*>(from);
  _tile_loadd(0, place, LINE_BYTES);
  _tile_loadd(1, place + TILE_BYTES, LINE_BYTES);
  if (two) {
    _tile_loadd(2, place + 2 * TILE_BYTES, LINE_BYTES);
    _tile_loadd(3, place + 3 * TILE_BYTES, LINE_BYTES);
  }
}

template <bool two>
INLINE void store_sums(void* to) {
  char* place = static_cast<char*>(to);
  _tile_stored(0, place, LINE_BYTES);
  _tile_stored(1, place + TILE_BYTES, LINE_BYTES);
  if (two) {
    _tile_stored(2, place + 2 * TILE_BYTES, LINE_BYTES);
    _tile_stored(3, place + 3 * TILE_BYTES, LINE_BYTES);
  }
}

template <bool two>
INLINE void load_rows(const void* first, const void* second) {
  _tile_loadd(4, first, LINE_BYTES);
  if (two) _tile_loadd(5, second, LINE_BYTES);
}

INLINE void load_weights(const void* from) {
  _tile_loadd(6, from, LINE_BYTES);
  _tile_loadd(7, static_cast<const char*>(from) + TILE_BYTES, LINE_BYTES);
}

// Call `of` with the sums of each row of up to two tiles in the panel's columns that there are.
template <typename Number, typename Task>
INLINE void each_row(const Number* sums, int count, int columns, const Task& of) {
  for (int row = 0; row < count; row++)
    for (int half = 0; half < 2 && half * LANES < columns; half++) {
      const int left = columns - half * LANES;
      const __mmask16 there = left >= LANES ? 0xffff : static_cast<__mmask16>((1 << left) - 1);
      of(row, half * LANES, there, sums + (row / TILE_ROWS * 2 + half) * LANES * TILE_ROWS + row % TILE_ROWS * LANES);
    }
}

namespace floats {

// A row of `inner` is a line of 32 numbers of 16 bits. A number is the sum of three parts.
constexpr int INNER = 32, PARTS = 3;
constexpr int TILE = TILE_BYTES / 2;            // numbers
constexpr int BLOCK = PANEL * INNER;            // weights of a panel in INNER rows
constexpr int SPLIT = PARTS * BLOCK;            // their parts
constexpr int PAIRS = BLOCK / (2 * LANES);      // of rows of 16 weights, which share a line of a tile
constexpr int AHEAD = BLOCK;                    // weights that are fetched before they are needed
constexpr int SUMS = 4 * TILE_BYTES / 4;        // of up to 32 rows in a panel

int blocks_of(int inner) { return (inner + INNER - 1) / INNER; }

void pack(const float* weight, int inner, int columns, float* to) {
  const int blocks = blocks_of(inner);
  for (int panel = 0; panel < panels_of(columns); panel++)
    for (int row = 0; row < blocks * INNER; row++)
      for (int column = 0; column < PANEL; column++) {
        const int from = panel * PANEL + column;
        const size_t block = static_cast<size_t>(panel) * blocks + row / INNER;
        to[block * BLOCK + column / LANES * INNER * LANES + row % INNER * LANES + column % LANES] =
            row < inner && from < columns ? weight[static_cast<size_t>(row) * columns + from] : 0.0f;
      }
}

// The first part is a number rounded to bfloat16, the second the rest rounded, the third what is left then: each
// takes 8 bits of a float32's 24. Numbers below 2^-126 count as zero, as the instructions have it; one that rounds to
// infinity leaves a rest that is no number, so the row becomes none either.
void take_tile(const float* rows, int count, int inner, uint16_t* to) {
  for (int row = 0; row < count; row++)
    for (int i = 0; i < blocks_of(inner) * INNER; i += LANES) {
      const int left = inner - i;
      const __mmask16 there = left >= LANES ? 0xffff : left <= 0 ? 0 : static_cast<__mmask16>((1 << left) - 1);
      __m512 rest = _mm512_maskz_loadu_ps(there, rows + static_cast<size_t>(row) * inner + i);
      uint16_t* part = to + static_cast<size_t>(i / INNER) * PARTS * TILE + row * INNER + i % INNER;
      for (int p = 0; p < PARTS; p++, part += TILE) {
        const __m256bh rounded = _mm512_cvtneps_pbh(rest);
        __m256i bits;
        std::memcpy(&bits, &rounded, sizeof(bits));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(part), bits);
        rest = _mm512_sub_ps(rest, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)));
      }
    }
}

// Cut weights into three parts of 8 bits each. Rows 2i and 2i + 1 of a column stand beside each other in a line.
template <int from, int end>
INLINE void split(const float* weights, uint16_t* parts) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
#pragma GCC unroll 8
  for (int pair = from; pair < end; pair++) {
    const float* place = weights + pair * 2 * LANES;
    uint16_t* line = parts + pair * 2 * LANES;
    // The processor fetches lines in pairs: a request for each of them takes longer.
    _mm_prefetch(reinterpret_cast<const char*>(place + AHEAD), _MM_HINT_T1);
    __m512 even = _mm512_load_ps(place), odd = _mm512_load_ps(place + LANES);
    for (int part = 0; part < PARTS; part++) {
      const __m512i even_bits = _mm512_castps_si512(even), odd_bits = _mm512_castps_si512(odd);
      const __m512i odd_upper = _mm512_and_si512(odd_bits, upper);
      _mm512_store_si512(line + part * 2 * TILE, _mm512_or_si512(odd_upper, _mm512_srli_epi32(even_bits, 16)));
      even = _mm512_sub_ps(even, _mm512_castsi512_ps(_mm512_and_si512(even_bits, upper)));
      odd = _mm512_sub_ps(odd, _mm512_castsi512_ps(odd_upper));
    }
  }
}

template <bool two>
INLINE void multiply_loaded() {
  _tile_dpbf16ps(0, 4, 6);
  _tile_dpbf16ps(1, 4, 7);
  if (two) {
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

template <int number>
using Number = std::integral_constant<int, number>;

// Add six products of parts of a block, in an order in which one of the two is in the tiles already. The other three
// are below the rounding of a float32. `between` does other work meanwhile.
template <bool two, typename Between>
INLINE void add_block(const uint16_t* first, const uint16_t* second, const uint16_t* weights, const Between& between) {
  // GCC does not know that loading a tile reads memory: what was stored must be there.
  asm volatile("" ::: "memory");
  load_rows<two>(first, second);
  load_weights(weights + 2 * 2 * TILE);
  multiply_loaded<two>();
  between(Number<0>{});
  load_weights(weights + 2 * TILE);
  multiply_loaded<two>();
  between(Number<1>{});
  load_rows<two>(first + TILE, second + TILE);
  multiply_loaded<two>();
  between(Number<2>{});
  load_weights(weights);
  multiply_loaded<two>();
  between(Number<3>{});
  load_rows<two>(first + 2 * TILE, second + 2 * TILE);
  multiply_loaded<two>();
  between(Number<4>{});
  load_rows<two>(first, second);
  multiply_loaded<two>();
  between(Number<5>{});
}

INLINE void write(const float* sums, int count, int columns, int stride, float* out) {
  each_row(sums, count, columns, [&](int row, int column, __mmask16 there, const float* from) {
    _mm512_mask_storeu_ps(out + static_cast<size_t>(row) * stride + column, there, _mm512_load_ps(from));
  });
}

// Up to 32 rows with a panel. The next block's weights are cut while a block is multiplied: where rows are few the
// time is that of reading the weights.
template <bool two>
void multiply_panel(const uint16_t* tiles, int count, int blocks, const float* panel, int columns, int stride,
                    float* out) {
  alignas(LINE_BYTES) uint16_t parts[2][SPLIT];
  alignas(LINE_BYTES) float sums[SUMS];
  const uint16_t* second = tiles + static_cast<size_t>(blocks) * PARTS * TILE;
  clear_sums<two>();
  split<0, PAIRS>(panel, parts[0]);
  for (int block = 0; block < blocks; block++) {
    // The last block is cut once more, which is less than a branch in the middle of the products.
    const float* next = panel + static_cast<size_t>(block + 1 < blocks ? block + 1 : block) * BLOCK;
    const size_t place = static_cast<size_t>(block) * PARTS * TILE;
    add_block<two>(tiles + place, second + place, parts[block & 1], [&](auto step) __attribute__((always_inline)) {
      constexpr int from = step * PAIRS / 6, end = (step + 1) * PAIRS / 6;
      split<from, end>(next, parts[~block & 1]);
    });
  }
  store_sums<two>(sums);
  write(sums, count, columns, stride, out);
}

// Add some blocks of up to 32 rows with panels, whose weights are cut already, to sums that are put aside. The rows
// stay in the nearest cache for a strip of blocks.
template <bool two>
void add_strips(const uint16_t* tiles, int all_blocks, int begin, int end, const uint16_t* parts, int panels,
                float* aside) {
  constexpr int STRIP = 4;
  const uint16_t* second = tiles + static_cast<size_t>(all_blocks) * PARTS * TILE;
  for (int strip = begin; strip < end; strip += STRIP) {
    const int strip_end = std::min(strip + STRIP, end);
    for (int panel = 0; panel < panels; panel++) {
      float* sums = aside + static_cast<size_t>(panel) * SUMS;
      if (strip == 0)
        clear_sums<two>();
      else
        load_sums<two>(sums);
      const uint16_t* weights = parts + (static_cast<size_t>(panel) * (end - begin) + strip - begin) * SPLIT;
      for (int block = strip; block < strip_end; block++, weights += SPLIT) {
        const size_t place = static_cast<size_t>(block) * PARTS * TILE;
        add_block<two>(tiles + place, second + place, weights, [&](auto step) __attribute__((always_inline)) {
          const uint16_t* next = weights + SPLIT + step * (SPLIT / 6);
#pragma GCC unroll 16
          for (int line = 0; line < SPLIT / 6; line += INNER)
            _mm_prefetch(reinterpret_cast<const char*>(next + line), _MM_HINT_T0);
        });
      }
      store_sums<two>(sums);
    }
  }
}

// Few rows: each panel is read from memory once, and cut anew for each 32 rows.
void multiply_few(const uint16_t* tiles, int count, int blocks, const float* packed, int panels, int columns, int stride,
                  float* out) {
  for (int panel = 0; panel < panels; panel++)
    for (int row = 0; row < count; row += STEP) {
      const int rows = std::min(STEP, count - row);
      const uint16_t* of_rows = tiles + static_cast<size_t>(row / TILE_ROWS) * blocks * PARTS * TILE;
      const float* weights = packed + static_cast<size_t>(panel) * blocks * BLOCK;
      float* to = out + static_cast<size_t>(row) * stride + panel * PANEL;
      if (panel == 0 || count > STEP) shape_tiles(rows);
      if (rows > TILE_ROWS)
        multiply_panel<true>(of_rows, rows, blocks, weights, columns - panel * PANEL, stride, to);
      else
        multiply_panel<false>(of_rows, rows, blocks, weights, columns - panel * PANEL, stride, to);
    }
}

// Many rows: the weights of all panels are cut once, some blocks at a time, so that their parts stay in the second
// cache while all rows pass.
void multiply_many(const uint16_t* tiles, int count, int blocks, const float* packed, int panels, int columns,
                   int stride, float* out) {
  constexpr int KEPT = 32;
  const int pairs = (count + STEP - 1) / STEP, most = std::min(KEPT, blocks);
  const size_t sums_size = static_cast<size_t>(panels) * SUMS;
  float* aside = scratch.of<float>(pairs * sums_size + static_cast<size_t>(panels) * most * SPLIT / 2);
  auto* parts = reinterpret_cast<uint16_t*>(aside + pairs * sums_size);
  for (int begin = 0; begin < blocks; begin += KEPT) {
    const int end = std::min(begin + KEPT, blocks);
    for (int panel = 0; panel < panels; panel++)
      for (int block = begin; block < end; block++)
        split<0, PAIRS>(packed + (static_cast<size_t>(panel) * blocks + block) * BLOCK,
                              parts + (static_cast<size_t>(panel) * (end - begin) + block - begin) * SPLIT);
    for (int pair = 0; pair < pairs; pair++) {
      const int rows = std::min(STEP, count - pair * STEP);
      const uint16_t* of_rows = tiles + static_cast<size_t>(pair) * 2 * blocks * PARTS * TILE;
      if (pair == 0 || rows < STEP) shape_tiles(rows);
      if (rows > TILE_ROWS)
        add_strips<true>(of_rows, blocks, begin, end, parts, panels, aside + pair * sums_size);
      else
        add_strips<false>(of_rows, blocks, begin, end, parts, panels, aside + pair * sums_size);
    }
  }
  for (int pair = 0; pair < pairs; pair++)
    for (int panel = 0; panel < panels; panel++)
      write(aside + pair * sums_size + static_cast<size_t>(panel) * SUMS, std::min(STEP, count - pair * STEP),
            columns - panel * PANEL, stride, out + static_cast<size_t>(pair) * STEP * stride + panel * PANEL);
}

void multiply(const uint16_t* tiles, int count, int inner, const float* packed, int first_panel, int panels,
              int columns, float* out) {
  const int blocks = blocks_of(inner);
  const TilesInUse tiles_in_use;
  const auto form = count <= FEW_ROWS ? multiply_few : multiply_many;
  form(tiles, count, blocks, packed + static_cast<size_t>(first_panel) * blocks * BLOCK, panels,
       columns - first_panel * PANEL, columns, out + first_panel * PANEL);
}

// Some rows with a panel. The processor fetches weights by itself where nothing but their products is calculated.
template <int count>
void multiply_rows(const float* rows, int inner, const float* panel, int columns, int stride, float* out) {
  __m512 sums[count][2];
  for (int row = 0; row < count; row++) sums[row][0] = sums[row][1] = _mm512_setzero_ps();
  for (int begin = 0; begin < inner; begin += INNER, panel += BLOCK) {
    const int lines = std::min(INNER, inner - begin);
    for (int line = 0; line < lines; line++) {
      const __m512 left = _mm512_load_ps(panel + line * LANES);
      const __m512 right = _mm512_load_ps(panel + (INNER + line) * LANES);
#pragma GCC unroll 12
      for (int row = 0; row < count; row++) {
        const __m512 number = _mm512_set1_ps(rows[static_cast<size_t>(row) * inner + begin + line]);
        sums[row][0] = _mm512_fmadd_ps(number, left, sums[row][0]);
        sums[row][1] = _mm512_fmadd_ps(number, right, sums[row][1]);
      }
    }
  }
  for (int row = 0; row < count; row++)
    for (int half = 0; half < 2; half++) {
      const int there = std::clamp(columns - half * LANES, 0, LANES);
      _mm512_mask_storeu_ps(out + static_cast<size_t>(row) * stride + half * LANES,
                            static_cast<__mmask16>((1u << there) - 1), sums[row][half]);
    }
}

void multiply_whole(const float* rows, int count, int inner, const float* packed, int first_panel, int panels,
                    int columns, float* out) {
  constexpr int MOST = 12;  // whose sums have a register each
  using Form = void (*)(const float*, int, const float*, int, int, float*);
  static constexpr Form forms[] = {multiply_rows<1>, multiply_rows<2>,  multiply_rows<3>,  multiply_rows<4>,
                                   multiply_rows<5>, multiply_rows<6>,  multiply_rows<7>,  multiply_rows<8>,
                                   multiply_rows<9>, multiply_rows<10>, multiply_rows<11>, multiply_rows<MOST>};
  for (int panel = first_panel; panel < first_panel + panels; panel++) {
    const float* weights = packed + static_cast<size_t>(panel) * blocks_of(inner) * BLOCK;
    const int column = panel * PANEL;
    for (int row = 0; row < count; row += MOST)
      forms[std::min(MOST, count - row) - 1](rows + static_cast<size_t>(row) * inner, inner, weights, columns - column,
                                             columns, out + static_cast<size_t>(row) * columns + column);
  }
}

}  // namespace floats

namespace bytes {

constexpr int INNER = 64;
constexpr int BLOCK = PANEL * INNER;
constexpr int AHEAD = BLOCK;  // bytes of weights that are fetched before they are needed

int blocks_of(int inner) { return (inner + INNER - 1) / INNER; }

// Four rows of a column stand beside each other.
void pack(const int8_t* weight, int inner, int columns, int8_t* to) {
  const int blocks = blocks_of(inner);
  for (int panel = 0; panel < panels_of(columns); panel++)
    for (int row = 0; row < blocks * INNER; row++)
      for (int column = 0; column < PANEL; column++) {
        const int from = panel * PANEL + column;
        const size_t block = static_cast<size_t>(panel) * blocks + row / INNER;
        to[block * BLOCK + column / LANES * TILE_BYTES + row % INNER / 4 * LINE_BYTES + column % LANES * 4 + row % 4] =
            row < inner && from < columns ? weight[static_cast<size_t>(row) * columns + from] : int8_t{0};
      }
}

void take_tile(const float* rows, int count, int inner, int8_t* to, float* scales) {
  const int filled = blocks_of(inner) * INNER;
  auto* numbers = scratch.of<uint8_t>(filled);
  for (int row = 0; row < count; row++) {
    kernels().round_rows(rows + static_cast<size_t>(row) * inner, 1, inner, numbers, scales + row);
    for (int i = inner; i < filled; i++) numbers[i] = 128;
    for (int i = 0; i < filled; i += INNER) {
      const __m512i around_zero = _mm512_xor_si512(_mm512_loadu_si512(numbers + i), _mm512_set1_epi8(-128));
      _mm512_storeu_si512(to + static_cast<size_t>(i / INNER) * TILE_BYTES + row * LINE_BYTES, around_zero);
    }
  }
}

template <bool two>
void multiply_panel(const int8_t* tiles, const float* scales, int count, int blocks, const int8_t* panel,
                    const float* weight_scales, int columns, int stride, float* out) {
  alignas(LINE_BYTES) int32_t sums[4 * TILE_BYTES / sizeof(int32_t)];
  const int8_t* second = tiles + static_cast<size_t>(blocks) * TILE_BYTES;
  clear_sums<two>();
  for (int block = 0; block < blocks; block++) {
    const size_t place = static_cast<size_t>(block) * TILE_BYTES;
    const int8_t* weights = panel + static_cast<size_t>(block) * BLOCK;
#pragma GCC unroll 16
    for (int line = 0; line < BLOCK; line += 2 * LINE_BYTES)
      _mm_prefetch(reinterpret_cast<const char*>(weights + AHEAD + line), _MM_HINT_T1);
    load_rows<two>(tiles + place, second + place);
    load_weights(weights);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
    if (two) {
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
  }
  store_sums<two>(sums);
  each_row(sums, count, columns, [&](int row, int column, __mmask16 there, const int32_t* from) {
    const __m512 of_weights = _mm512_maskz_loadu_ps(there, weight_scales + column);
    const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(from)), of_weights);
    _mm512_mask_storeu_ps(out + static_cast<size_t>(row) * stride + column, there,
                          _mm512_mul_ps(product, _mm512_set1_ps(scales[row])));
  });
}

void multiply(const int8_t* tiles, const float* scales, int count, int inner, const int8_t* packed,
              const float* weight_scales, int first_panel, int panels, int columns, float* out) {
  const int blocks = blocks_of(inner);
  const TilesInUse tiles_in_use;
  for (int row = 0; row < count; row += STEP) {
    const int rows = std::min(STEP, count - row);
    const int8_t* of_rows = tiles + static_cast<size_t>(row / TILE_ROWS) * blocks * TILE_BYTES;
    if (row == 0 || rows < STEP) shape_tiles(rows);
    for (int panel = first_panel; panel < first_panel + panels; panel++) {
      const int8_t* weights = packed + static_cast<size_t>(panel) * blocks * BLOCK;
      const int column = panel * PANEL;
      float* to = out + static_cast<size_t>(row) * columns + column;
      if (rows > TILE_ROWS)
        multiply_panel<true>(of_rows, scales + row, rows, blocks, weights, weight_scales + column, columns - column,
                             columns, to);
      else
        multiply_panel<false>(of_rows, scales + row, rows, blocks, weights, weight_scales + column, columns - column,
                              columns, to);
    }
  }
}

}  // namespace bytes

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
      {floats::INNER, floats::PARTS, floats::pack, floats::take_tile, floats::multiply, floats::multiply_whole},
      {bytes::INNER, bytes::pack, bytes::take_tile, bytes::multiply},
  };
  static const bool found = available();
  return found ? &unit : nullptr;
}
#else
const MatrixUnit* matrix_unit() { return nullptr; }
#endif
