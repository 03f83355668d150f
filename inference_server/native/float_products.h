// Products of float32 numbers as three of bfloat16 each. No include guard: see tiles.h.

namespace floats {

constexpr int INNER = 32;  // numbers of a row in a line of a tile, of 16 bits
using Whole = FloatRows<INNER>;
constexpr int BLOCK = Whole::BLOCK;

// A number is the sum of three parts.
constexpr int PARTS = 3;
constexpr int SPLIT = PARTS * BLOCK;            // their parts
constexpr int PAIRS = BLOCK / (2 * LANES);      // of rows of 16 weights, which share a line of a tile
constexpr int AHEAD = BLOCK;                    // weights that are fetched before they are needed
constexpr int SUMS = 4 * TILE_BYTES / 4;        // of up to 32 rows in a panel

size_t tile_size(int inner) { return static_cast<size_t>(blocks_of(inner, INNER)) * INNER * TILE_ROWS * PARTS; }

// The first part is a number rounded to bfloat16, the second the rest rounded, the third what is left then: each
// takes 8 bits of a float32's 24. Numbers below 2^-126 count as zero, as the instructions have it; one that rounds to
// infinity leaves a rest that is no number, so the row becomes none either.
void take_tile(const float* rows, int count, int inner, uint16_t* to) {
  for (int row = 0; row < count; row++)
    for (int i = 0; i < blocks_of(inner, INNER) * INNER; i += LANES) {
      __m512 rest = _mm512_maskz_loadu_ps(first_lanes(inner - i), rows + static_cast<size_t>(row) * inner + i);
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

// Cut weights into three parts. Rows 2i and 2i + 1 of a column stand beside each other in a line.
template <int from, int end>
INLINE void split(const float* weights, uint16_t* parts) {
#pragma GCC unroll 8
  for (int pair = from; pair < end; pair++) {
    const float* place = weights + pair * 2 * LANES;
    // The processor fetches lines in pairs: a request for each of them takes longer.
    _mm_prefetch(reinterpret_cast<const char*>(place + AHEAD), _MM_HINT_T1);
    split_pair<PARTS>(_mm512_load_ps(place), _mm512_load_ps(place + LANES), parts + pair * 2 * LANES, 2 * TILE);
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

INLINE void write(const float* sums, const float* bias, int count, int columns, int stride, float* out) {
  each_row(sums, count, columns, [&](int row, int column, __mmask16 there, const float* from) {
    _mm512_mask_storeu_ps(out + static_cast<size_t>(row) * stride + column, there,
                          with_bias(_mm512_load_ps(from), bias, column, there));
  });
}

// Up to 32 rows with a panel. The next block's weights are cut while a block is multiplied: where rows are few the
// time is that of reading the weights.
template <bool two>
void multiply_panel(const uint16_t* tiles, int count, int blocks, const float* panel, const float* bias, int columns,
                    int stride, float* out) {
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
  write(sums, bias, count, columns, stride, out);
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
void multiply_few(const uint16_t* tiles, int count, int blocks, const float* packed, const float* bias, int panels,
                  int columns, int stride, float* out) {
  for (int panel = 0; panel < panels; panel++)
    for (int row = 0; row < count; row += STEP) {
      const int rows = std::min(STEP, count - row);
      const uint16_t* of_rows = tiles + static_cast<size_t>(row / TILE_ROWS) * blocks * PARTS * TILE;
      const float* weights = packed + static_cast<size_t>(panel) * blocks * BLOCK;
      const float* of_panel = bias_from(bias, panel * PANEL);
      float* to = out + static_cast<size_t>(row) * stride + panel * PANEL;
      if (panel == 0 || count > STEP) shape_tiles(rows);
      if (rows > TILE_ROWS)
        multiply_panel<true>(of_rows, rows, blocks, weights, of_panel, columns - panel * PANEL, stride, to);
      else
        multiply_panel<false>(of_rows, rows, blocks, weights, of_panel, columns - panel * PANEL, stride, to);
    }
}

// Many rows: the weights of all panels are cut once, some blocks at a time, so that their parts stay in the second
// cache while all rows pass.
void multiply_many(const uint16_t* tiles, int count, int blocks, const float* packed, const float* bias, int panels,
                   int columns, int stride, float* out) {
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
      write(aside + pair * sums_size + static_cast<size_t>(panel) * SUMS,
            bias_from(bias, panel * PANEL), std::min(STEP, count - pair * STEP),
            columns - panel * PANEL, stride, out + static_cast<size_t>(pair) * STEP * stride + panel * PANEL);
}

void multiply(const uint16_t* tiles, int count, int inner, const float* packed, const float* bias, int first_panel,
              int panels, int columns, float* out) {
  const int blocks = blocks_of(inner, INNER);
  const TilesInUse tiles_in_use;
  const auto form = count <= FEW_ROWS ? multiply_few : multiply_many;
  form(tiles, count, blocks, packed + static_cast<size_t>(first_panel) * blocks * BLOCK,
       bias_from(bias, first_panel * PANEL), panels, columns - first_panel * PANEL, columns,
       out + first_panel * PANEL);
}

}  // namespace floats
