// Products of 8-bit numbers by AVX-512's instructions for them (VNNI). No include guard: see vectors.h.
//
// An instruction multiplies four unsigned numbers of a row with four signed ones of each of 16 columns. Rows are around
// 128, so that 128 times the sum of a column is subtracted from each of its sums.

namespace byte_rows {

constexpr int DEPTH = 4;                  // lines of weights that stand beside each other
constexpr int LINE = PANEL * DEPTH;       // bytes of them
constexpr int CORRECTIONS = PANEL * 4;    // bytes in front of a panel: what its sums begin with

int filled(int inner) { return blocks_of(inner, DEPTH) * DEPTH; }

size_t panel_size(int inner) { return CORRECTIONS + static_cast<size_t>(filled(inner)) * PANEL; }

void pack(const int8_t* weight, int inner, int columns, int8_t* to) {
  for (int panel = 0; panel < panels_of(columns); panel++, to += panel_size(inner))
    for (int column = 0; column < PANEL; column++) {
      const int from = panel * PANEL + column;
      int32_t sum = 0;
      for (int row = 0; row < filled(inner); row++) {
        const int8_t number = row < inner && from < columns ? weight[static_cast<size_t>(row) * columns + from] : int8_t{0};
        to[CORRECTIONS + row / DEPTH * LINE + column * DEPTH + row % DEPTH] = number;
        sum += number;
      }
      const int32_t correction = -128 * sum;
      std::memcpy(to + column * sizeof(correction), &correction, sizeof(correction));
    }
}

size_t tile_size(int inner) { return static_cast<size_t>(TILE_ROWS) * filled(inner); }

// Rows around 128, one behind the other.
void take_tile(const float* rows, int count, int inner, int8_t* to, float* scales) {
  auto* numbers = reinterpret_cast<uint8_t*>(to);
  for (int row = 0; row < count; row++, numbers += filled(inner)) {
    kernels().round_rows(rows + static_cast<size_t>(row) * inner, 1, inner, numbers, scales + row);
    for (int i = inner; i < filled(inner); i++) numbers[i] = 128;
  }
}

// GCC 12 copies the sums about for the intrinsic of this instruction, which took twice the time.
INLINE void add_four(__m512i row, __m512i weights, __m512i& sums) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(row), "v"(weights));
}

// Four numbers of a row in each lane.
INLINE __m512i four_of(const int8_t* row) {
  __m512i numbers;
  asm("vpbroadcastd %1, %0" : "=v"(numbers) : "m"(*reinterpret_cast<const int8_t(*)[4]>(row)));
  return numbers;
}

template <int ROWS>
INLINE void multiply_rows(const int8_t* rows, const float* scales, int inner, const int8_t* panel,
                          const float* weight_scales, const float* bias, int columns, int stride, float* out) {
  __m512i sums[ROWS][2];
#pragma GCC unroll 12
  for (int row = 0; row < ROWS; row++)
    for (int half = 0; half < 2; half++) sums[row][half] = _mm512_load_si512(panel + half * LANES * 4);
  const int8_t* weights = panel + CORRECTIONS;
  const size_t row_size = filled(inner);
  for (int i = 0; i < inner; i += DEPTH, weights += LINE) {
    const __m512i left = _mm512_load_si512(weights), right = _mm512_load_si512(weights + LINE / 2);
#pragma GCC unroll 12
    for (int row = 0; row < ROWS; row++) {
      const __m512i numbers = four_of(rows + row * row_size + i);
      add_four(numbers, left, sums[row][0]);
      add_four(numbers, right, sums[row][1]);
    }
  }
#pragma GCC unroll 12
  for (int row = 0; row < ROWS; row++)
    for (int half = 0; half < 2; half++) {
      const __mmask16 there = first_lanes(columns - half * LANES);
      const __m512 of_weights = _mm512_maskz_loadu_ps(there, weight_scales + half * LANES);
      const __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[row][half]), of_weights);
      _mm512_mask_storeu_ps(
          out + static_cast<size_t>(row) * stride + half * LANES, there,
          with_bias(_mm512_mul_ps(product, _mm512_set1_ps(scales[row])), bias, half * LANES, there));
    }
}

void multiply(const int8_t* tiles, const float* scales, int count, int inner, const int8_t* packed,
              const float* weight_scales, const float* bias, int first_panel, int panels, int columns, float* out) {
  for (int panel = first_panel; panel < first_panel + panels; panel++) {
    const int8_t* weights = packed + panel * panel_size(inner);
    const int column = panel * PANEL;
    const float* of_panel = bias_from(bias, column);
    each_group_of_rows(count, [&](int row, int together) {
      with_rows(together, [&](auto number) {
        multiply_rows<number>(tiles + static_cast<size_t>(row) * filled(inner), scales + row, inner, weights,
                              weight_scales + column, of_panel, columns - column, columns,
                              out + static_cast<size_t>(row) * columns + column);
      });
    });
  }
}

}  // namespace byte_rows
