// Tiles of the matrix unit. No include guard: matrix_unit.cc includes this once, for the instructions that it needs.

constexpr int TILE_BYTES = 1024;
constexpr int LINE_BYTES = 64;  // of a row of a tile
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
    for (int half = 0; half < 2 && half * LANES < columns; half++)
      of(row, half * LANES, first_lanes(columns - half * LANES),
         sums + (row / TILE_ROWS * 2 + half) * LANES * TILE_ROWS + row % TILE_ROWS * LANES);
}

// 16-bit numbers of a tile.
constexpr int TILE = TILE_BYTES / 2;

// Cut float32 numbers into parts of 8 bits each, the largest first. A number of `even` and one of `odd` stand beside
// each other in a line of a tile; the next part's line is in the same place `stride` numbers further.
template <int parts>
INLINE void split_pair(__m512 even, __m512 odd, uint16_t* line, size_t stride) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000));
  for (int part = 0; part < parts; part++, line += stride) {
    const __m512i even_bits = _mm512_castps_si512(even), odd_bits = _mm512_castps_si512(odd);
    const __m512i odd_upper = _mm512_and_si512(odd_bits, upper);
    _mm512_store_si512(line, _mm512_or_si512(odd_upper, _mm512_srli_epi32(even_bits, 16)));
    even = _mm512_sub_ps(even, _mm512_castsi512_ps(_mm512_and_si512(even_bits, upper)));
    odd = _mm512_sub_ps(odd, _mm512_castsi512_ps(odd_upper));
  }
}
