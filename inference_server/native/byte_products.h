// Products of 8-bit numbers. No include guard: see tiles.h.

namespace bytes {

constexpr int INNER = 64;
constexpr int BLOCK = PANEL * INNER;
constexpr int AHEAD = BLOCK;  // bytes of weights that are fetched before they are needed

size_t panel_size(int inner) { return static_cast<size_t>(blocks_of(inner, INNER)) * BLOCK; }

// Four rows of a column stand beside each other.
void pack(const int8_t* weight, int inner, int columns, int8_t* to) {
  const int blocks = blocks_of(inner, INNER);
  for (int panel = 0; panel < panels_of(columns); panel++)
    for (int row = 0; row < blocks * INNER; row++)
      for (int column = 0; column < PANEL; column++) {
        const int from = panel * PANEL + column;
        const size_t block = static_cast<size_t>(panel) * blocks + row / INNER;
        to[block * BLOCK + column / LANES * TILE_BYTES + row % INNER / 4 * LINE_BYTES + column % LANES * 4 + row % 4] =
            row < inner && from < columns ? weight[static_cast<size_t>(row) * columns + from] : int8_t{0};
      }
}

size_t tile_size(int inner) { return static_cast<size_t>(blocks_of(inner, INNER)) * TILE_BYTES; }

void take_tile(const float* rows, int count, int inner, int8_t* to, float* scales) {
  const int filled = blocks_of(inner, INNER) * INNER;
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
                    const float* weight_scales, const float* bias, int columns, int stride, float* out) {
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
                          with_bias(_mm512_mul_ps(product, _mm512_set1_ps(scales[row])), bias, column, there));
  });
}

void multiply(const int8_t* tiles, const float* scales, int count, int inner, const int8_t* packed,
              const float* weight_scales, const float* bias, int first_panel, int panels, int columns, float* out) {
  const int blocks = blocks_of(inner, INNER);
  const TilesInUse tiles_in_use;
  for (int row = 0; row < count; row += STEP) {
    const int rows = std::min(STEP, count - row);
    const int8_t* of_rows = tiles + static_cast<size_t>(row / TILE_ROWS) * blocks * TILE_BYTES;
    if (row == 0 || rows < STEP) shape_tiles(rows);
    for (int panel = first_panel; panel < first_panel + panels; panel++) {
      const int8_t* weights = packed + static_cast<size_t>(panel) * blocks * BLOCK;
      const int column = panel * PANEL;
      const float* of_panel = bias_from(bias, column);
      float* to = out + static_cast<size_t>(row) * columns + column;
      if (rows > TILE_ROWS)
        multiply_panel<true>(of_rows, scales + row, rows, blocks, weights, weight_scales + column, of_panel,
                             columns - column, columns, to);
      else
        multiply_panel<false>(of_rows, scales + row, rows, blocks, weights, weight_scales + column, of_panel,
                              columns - column, columns, to);
    }
  }
}

}  // namespace bytes
