// Products of float32 rows as they are, by AVX-512. No include guard: see vectors.h.

// A panel is blocks of LINES lines of weights: their left halves, then their right halves.
template <int LINES>
struct FloatRows {
  static constexpr int BLOCK = PANEL * LINES;

  static size_t panel_size(int inner) { return static_cast<size_t>(blocks_of(inner, LINES)) * BLOCK; }

  static void pack(const float* weight, int inner, int columns, float* to) {
    for (int panel = 0; panel < panels_of(columns); panel++, to += panel_size(inner))
      for (int row = 0; row < blocks_of(inner, LINES) * LINES; row++)
        for (int column = 0; column < PANEL; column++) {
          const int from = panel * PANEL + column;
          to[row / LINES * BLOCK + (column / LANES * LINES + row % LINES) * LANES + column % LANES] =
              row < inner && from < columns ? weight[static_cast<size_t>(row) * columns + from] : 0.0f;
        }
  }

  static void multiply(const float* rows, int count, int inner, const float* packed, const float* bias, int first_panel,
                       int panels, int columns, float* out) {
    for (int panel = first_panel; panel < first_panel + panels; panel++) {
      const float* weights = packed + panel * panel_size(inner);
      const int column = panel * PANEL;
      const float* of_panel = bias_from(bias, column);
      each_group_of_rows(count, [&](int row, int together) {
        with_rows(together, [&](auto number) {
          multiply_rows<number>(rows + static_cast<size_t>(row) * inner, inner, weights, of_panel, columns - column,
                                columns, out + static_cast<size_t>(row) * columns + column);
        });
      });
    }
  }

 private:
  // The processor fetches weights by itself where nothing but their products is calculated.
  template <int ROWS>
  static void multiply_rows(const float* rows, int inner, const float* panel, const float* bias, int columns, int stride,
                            float* out) {
    Vector sums[ROWS][2] = {};
    if constexpr (LINES == 1)
      add_rows<ROWS>(rows, inner, inner, panel, PANEL, LANES, sums);
    else
      for (int begin = 0; begin < inner; begin += LINES, panel += BLOCK)
        add_rows<ROWS>(rows + begin, inner, std::min(LINES, inner - begin), panel, LANES, LINES * LANES, sums);
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; row++)
      for (int half = 0; half < 2; half++) {
        const __mmask16 there = first_lanes(columns - half * LANES);
        _mm512_mask_storeu_ps(out + static_cast<size_t>(row) * stride + half * LANES, there,
                              with_bias(sums[row][half], bias, half * LANES, there));
      }
  }
};
